/**
 * A made-up order for developing the pages without a server: Kafka, RabbitMQ, NATS, RocketMQ, with a retry, a dead
 * letter, a group that stays behind, clocks that disagree and a value that tries to be markup. A tool for developers:
 * nothing of it is built into the pages or the server.
 */

const MS = 1_000_000n;
const S = 1_000n * MS;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

export const begin = BigInt(Date.now()) * MS - 22_500n * S;
const at = (ms) => String(begin + BigInt(Math.round(ms * 1000)) * 1000n);
const long = (ms) => String(Math.round(ms * 1000) * 1000);

/** Numbers of events begin anew with each answer, so that the same event keeps its id. */
let ids = 0;
const hex = (n, length) => (n * 2654435761 + 97).toString(16).padStart(length, 'a7c3').slice(-length);

const event = (stage, service, startMs, durationMs, over = {}) => {
  ids += 1;
  return {
    id: hex(ids, 16).repeat(2), stage, operation: { send: 'publish', receive: 'poll', process: 'process', settle: 'commit' }[stage] ?? stage,
    joined_by: stage === 'send' ? 'subject' : 'creation', trace_id: TRACE, span_id: hex(ids, 16), parent_span_id: '',
    creation: `${TRACE}-${hex(1, 16)}`, links: [], start_ns: at(startMs), duration_ns: durationMs === null ? null : long(durationMs),
    received_ns: at(startMs + 400), broker_ns: null, origin_ns: null, outcome: 'ok', reason: '', disposition: null,
    system: 'kafka', cluster: '', server: 'kafka-1:9092', destination: 'orders', address: '', lane: '0', position: '15',
    message_id: '', correlation_id: '', keys: ['order-4711'], group: '', attempt: null, client: `${service}-client`,
    service, instance: `${service}-7c9f`, body_bytes: '1234', source: 'otlp', grade: 'observed',
    attributes: [
      { key: 'server.address', value: 'kafka-1', type: 'text' },
      { key: 'messaging.kafka.message.key', value: 'order-4711', type: 'text' },
      { key: 'app.note', value: '<img src=x onerror=alert(1)><script>alert(2)</script>', type: 'text' },
      { key: 'app.long', value: 'x'.repeat(300), type: 'text' },
      { key: 'telemetry.sdk.language', value: 'rust', type: 'text' },
    ],
    ...over,
  };
};
const latency = (ms, from, to, across = false, uncertain = null) => ({
  ns: long(ms), from, to, across_clocks: across, uncertainty_ns: uncertain === null ? null : long(uncertain),
});
const why = (over) => ({
  code: 'reported', text: '', group: null, destination: null, lane: null, stands_at: null, position: null, at_ns: null,
  attempt: null, reason: null, ...over,
});
const attempt = (number, service, startMs, over) => ({
  number, events: [], of_copy: null, outcome: 'ok', reason: '', disposition: 'accept', service, instance: `${service}-7c9f`,
  start_ns: at(startMs), end_ns: null, queue: null, wait: null, process: null, settle: null, retries: [], batch: null, ...over,
});
const summary = (over) => ({
  cluster: '', address: '', lane: '', position: null, message_id: '', keys: ['order-4711'], trace_id: TRACE, groups: [], ...over,
});
const state = (group, state, attempts, grade = 'observed') => ({ group, state, grade, attempts });

const HOURS = 6.2 * 3600 * 1000;

const orders = summary({
  reference: 'kafka:orders/0/15', system: 'kafka', destination: 'orders', lane: '0', position: '15', sender: 'checkout',
  sent_ns: at(0), groups: [state('payment', 'succeeded', 3), state('analytics', 'not_consumed_yet', 0, 'inferred'), state('fraud', 'dead_lettered', 2)],
});
const payments = summary({
  reference: `ctx:${TRACE}-b7ad6b7169203331`, system: 'rabbitmq', destination: 'payments', address: 'eu.captured', message_id: 'pay-4711',
  sender: 'payment', sent_ns: at(3080), groups: [state('fulfilment', 'succeeded', 2)],
});
const shipments = summary({
  reference: 'nats:shipments//8812', system: 'nats', destination: 'shipments', address: 'shipments.created', position: '8812',
  message_id: 'ship-4711', sender: 'fulfilment', sent_ns: at(HOURS + 80), groups: [state('shipping', 'succeeded', 2)],
});
const notifications = summary({
  reference: 'rocketmq:notifications/broker-a%2F2/311', system: 'rocketmq', destination: 'notifications', lane: 'broker-a/2', position: '311',
  message_id: '7F0000010A2B18B4AAC20B1C5F2E0000', sender: 'shipping', sent_ns: at(HOURS + 230), groups: [state('notify', 'retrying', 2), state('audit', 'unknown', 0, 'inferred')],
});
const fraudDead = summary({
  reference: 'kafka:orders.fraud.dlt/0/3', system: 'kafka', destination: 'orders.fraud.dlt', lane: '0', position: '3', sender: 'fraud',
  sent_ns: at(600), groups: [],
});
export const messages = [notifications, shipments, payments, fraudDead, orders];

const node = (message, caused_by, distance, through_service, after) => ({
  message, caused_by, distance, through_service, after_ns: after === null ? null : long(after), more: false,
});
const chain = [
  node(orders, null, 0, '', null),
  node(fraudDead, orders.reference, 1, 'fraud', 55),
  node(payments, orders.reference, 1, 'payment', 21),
  node(shipments, payments.reference, 2, 'fulfilment', 38),
  node(notifications, shipments.reference, 3, 'shipping', 18),
];
const treeOf = (message) => {
  const self = chain.find((one) => one.message.reference === message.reference)?.distance ?? 0;
  return chain.map((one) => ({ ...one, distance: one.distance - self }));
};

const orderEvents = () => [
  event('send', 'checkout', 0, 2.1, { broker_ns: at(1.2) }),
  event('receive', 'payment', 2.9, 0.3, { group: 'payment', attempt: 1 }),
  event('process', 'payment', 3.8, 40, { group: 'payment', attempt: 1, outcome: 'failed', reason: 'timeout', disposition: 'retry', joined_by: 'creation' }),
  event('receive', 'fraud', 3.1, 0.2, { group: 'fraud', attempt: 1 }),
  event('process', 'fraud', 545, 12, { group: 'fraud', attempt: 2, outcome: 'failed', reason: 'schema.unknown_field', disposition: 'reject' }),
  event('process', 'payment', 1044, 41, { group: 'payment', attempt: 2, outcome: 'failed', reason: 'timeout', disposition: 'retry' }),
  event('process', 'payment', 3064, 40, { group: 'payment', attempt: 3, disposition: 'accept' }),
  event('settle', 'payment', 3104, 1.4, { group: 'payment', attempt: 3, disposition: 'accept', joined_by: 'parent', grade: 'broker' }),
];

function story(message, events, over = {}) {
  return {
    message_ids: message.message_id ? [message.message_id] : [], correlation_ids: [], trace_ids: [TRACE],
    creation: `${TRACE}-b7ad6b7169203331`, body_bytes: '1234', sends: [{ event: 0, produce: latency(2.1, 'send_start', 'send_end'), outcome: 'ok', reason: '' }],
    groups: [], events, copies: [], gaps: [], as_of_ns: String(BigInt(Date.now()) * MS), ...over,
  };
}

function orderStory() {
  const events = orderEvents();
  return story(orders, events, {
    groups: [
      {
        group: 'analytics', state: 'not_consumed_yet', grade: 'inferred', attempts: [], total: null,
        why: why({ code: 'behind', text: 'analytics is at 12 of orders/0, this message is at 15', group: 'analytics', destination: 'orders', lane: '0', stands_at: '12', position: '15', at_ns: String(BigInt(Date.now() - 8000) * MS) }),
      },
      {
        group: 'fraud', state: 'dead_lettered', grade: 'observed', total: latency(600, 'send_start', 'process_end', true),
        why: why({ code: 'dead_letter', destination: 'orders.fraud.dlt', reason: 'schema.unknown_field' }),
        attempts: [
          attempt(1, 'fraud', 3.1, { events: [3], outcome: 'failed', reason: 'schema.unknown_field', disposition: 'retry', end_ns: at(15), queue: latency(-0.2, 'stored', 'received', true, 1), process: latency(11, 'process_start', 'process_end') }),
          attempt(2, 'fraud', 545, { events: [4], outcome: 'failed', reason: 'schema.unknown_field', disposition: 'reject', end_ns: at(557), process: latency(12, 'process_start', 'process_end') }),
        ],
      },
      {
        group: 'payment', state: 'succeeded', grade: 'observed', total: latency(3105.4, 'send_start', 'settled', true), why: why({ attempt: 3 }),
        attempts: [
          attempt(1, 'payment', 2.9, { events: [1, 2], outcome: 'failed', reason: 'timeout', disposition: 'retry', end_ns: at(43.8), queue: latency(1.7, 'stored', 'received', true, 2.1), wait: latency(0.9, 'received', 'process_start'), process: latency(40, 'process_start', 'process_end') }),
          attempt(2, 'payment', 1044, { events: [5], outcome: 'failed', reason: 'timeout', disposition: 'retry', end_ns: at(1085), process: latency(41, 'process_start', 'process_end') }),
          attempt(3, 'payment', 3064, { events: [6, 7], end_ns: at(3105.4), process: latency(40, 'process_start', 'process_end'), settle: latency(1.4, 'process_end', 'settled') }),
        ],
      },
    ],
    copies: [{ kind: 'dead_letter', other_is_original: false, other: fraudDead.reference, destination: 'orders.fraud.dlt', group: 'fraud', attempts: 2, reason: 'field coupon is not known', error_type: 'schema.unknown_field' }],
    gaps: [{ kind: 'clock_skew', detail: 'fraud-7c9f received the message 0.2 ms before the broker stored it' }],
  });
}

function simpleStory(message, group, waitMs, failReason) {
  const sent = Number((BigInt(message.sent_ns) - begin) / 1000n) / 1000;
  const same = { system: message.system, destination: message.destination, address: message.address, lane: message.lane, position: message.position, message_id: message.message_id };
  const events = [
    event('send', message.sender, sent, 3.2, same),
    event('process', group, sent + waitMs, 62, { ...same, group, attempt: 1, outcome: 'failed', reason: failReason, disposition: 'retry' }),
    event('process', group, sent + waitMs + 1200, 60, { ...same, group, attempt: 2, disposition: 'accept' }),
  ];
  return story(message, events, {
    sends: [{ event: 0, produce: latency(3.2, 'send_start', 'send_end'), outcome: 'ok', reason: '' }],
    groups: message.groups.map((one) => one.group !== group
      ? { ...one, attempts: [], total: null, why: why({ code: 'nothing' }) }
      : {
        group, state: one.state, grade: 'observed', total: latency(waitMs + 1262, 'send_start', 'process_end', true), why: why({ attempt: 2 }),
        attempts: [
          attempt(1, group, sent + waitMs, { events: [1], outcome: 'failed', reason: failReason, disposition: 'retry', end_ns: at(sent + waitMs + 62), queue: latency(waitMs - 3.2, 'send_end', 'received', true), process: latency(62, 'process_start', 'process_end') }),
          attempt(2, group, sent + waitMs + 1200, { events: [2], outcome: one.state === 'retrying' ? 'unknown' : 'ok', end_ns: one.state === 'retrying' ? null : at(sent + waitMs + 1260), process: one.state === 'retrying' ? null : latency(60, 'process_start', 'process_end') }),
        ],
      }),
  });
}

export function messageAnswer(reference) {
  ids = messages.findIndex((one) => one.reference === reference) * 100;
  const message = messages.find((one) => one.reference === reference);
  if (!message) return null;
  const trajectory = message === orders ? orderStory()
    : message === payments ? simpleStory(payments, 'fulfilment', HOURS - 3080, 'warehouse_unavailable')
      : message === shipments ? simpleStory(shipments, 'shipping', 14, 'carrier.busy')
        : message === notifications ? simpleStory(notifications, 'notify', 9, 'smtp.451')
          : story(fraudDead, [event('send', 'fraud', 600, 2, { destination: 'orders.fraud.dlt', position: '3' })], {
            copies: [{ kind: 'dead_letter', other_is_original: true, other: orders.reference, destination: 'orders', group: 'fraud', attempts: 2, reason: 'field coupon is not known', error_type: 'schema.unknown_field' }],
            gaps: [{ kind: 'receiver_not_seen', detail: 'no receiver of orders.fraud.dlt was seen' }],
          });
  if (message === notifications) trajectory.events[2].duration_ns = null;
  return { message, trajectory, tree: treeOf(message), coverage: coverage() };
}

export const traceEvents = () => [...messageAnswer(orders.reference).trajectory.events, ...messageAnswer(payments.reference).trajectory.events];
export const coverage = () => ({ segments: 3, from_ns: at(0), to_ns: String(BigInt(Date.now()) * MS), complete: true, why_not: [] });

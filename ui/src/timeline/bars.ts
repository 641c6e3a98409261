/** What the timeline draws, from a trajectory: one lane per sender and group, bars with true begin and end. */

import type { Attempt, GroupStory, Latency, Trajectory, TreeNode } from '../api/types';
import { inOrder } from '../words/sentence';

export type BarKind = 'send' | 'queue' | 'wait' | 'process' | 'settle' | 'receive';

export interface Bar {
  kind: BarKind;
  start: bigint;
  end: bigint;
  /** True where it ended badly, by somebody who saw it. */
  failed: boolean;
  /** True where its end is not known: it is drawn open. */
  open: boolean;
  /** The latency it shows, with its clocks. */
  latency: Latency | null;
  /** Id of the event it rests on. */
  event: string | null;
  attempt: number | null;
}

/** A message that was sent out of this lane. */
export interface Mark {
  at: bigint;
  reference: string;
  name: string;
}

export interface Lane {
  role: 'sender' | 'group';
  /** Service or group; empty where it names none. */
  name: string;
  /** State and grade of a group; empty for senders. */
  state: string;
  grade: string;
  /** Rows of bars: attempts that overlap lie below each other. */
  rows: Bar[][];
  attempts: number;
  /** Earlier attempts that are left out. */
  omitted: number;
  /** Begin of a state that lasts (not consumed yet, unknown): drawn with an open end. */
  openSince: bigint | null;
  marks: Mark[];
}

/** Most attempts of one group that are drawn; the list below the timeline has them all. */
const ATTEMPTS_MAX = 12;

/** States that go on until something happens. */
const LASTING = new Set([
  'not_consumed_yet', 'stored', 'scheduled', 'group_offline', 'unknown', 'produced_unconfirmed', 'not_instrumented',
]);

export function lanes(of: Trajectory, tree: TreeNode[], self: string): Lane[] {
  const senders = senderLanes(of);
  const since = storedAt(of, senders);
  return [...senders, ...inOrder(of.groups).map((group) => groupLane(of, group, since, tree, self))];
}

function senderLanes(of: Trajectory): Lane[] {
  const byService = new Map<string, Bar[]>();
  for (const send of of.sends) {
    const event = of.events[send.event];
    if (!event) continue;
    const start = BigInt(event.start_ns);
    const length = send.produce ? BigInt(send.produce.ns) : event.duration_ns === null ? null : BigInt(event.duration_ns);
    const bar: Bar = {
      kind: 'send', start, end: start + (length ?? 0n), failed: send.outcome === 'failed', open: length === null,
      latency: send.produce, event: event.id, attempt: null,
    };
    byService.set(event.service, [...(byService.get(event.service) ?? []), bar]);
  }
  if (byService.size === 0) byService.set('', []);
  return [...byService].map(([name, bars]) => ({
    role: 'sender', name, state: '', grade: '', rows: pack(bars.map((bar) => [bar])), attempts: bars.length,
    omitted: 0, openSince: null, marks: [],
  }));
}

/** When the broker had it: the end of the first send, else the first sign of it. */
function storedAt(of: Trajectory, senders: Lane[]): bigint | null {
  const send = senders.flatMap((lane) => lane.rows.flat()).at(0);
  const first = of.events[0];
  return send?.end ?? (first ? BigInt(first.broker_ns ?? first.start_ns) : null);
}

function groupLane(of: Trajectory, group: GroupStory, since: bigint | null, tree: TreeNode[], self: string): Lane {
  const drawn = group.attempts.slice(-ATTEMPTS_MAX);
  const omitted = group.attempts.length - drawn.length;
  const bars: Bar[][] = [];
  let earlierEnd: bigint | null = null;
  for (const attempt of drawn) {
    const own = attemptBars(of, attempt, earlierEnd);
    bars.push(own);
    earlierEnd = own.reduce<bigint | null>((max, bar) => (max === null || bar.end > max ? bar.end : max), earlierEnd);
  }
  return {
    role: 'group', name: group.group, state: group.state, grade: group.grade, rows: pack(bars),
    attempts: group.attempts.length, omitted, marks: marksOf(group, tree, self),
    openSince: group.attempts.length === 0 && LASTING.has(group.state) ? since : null,
  };
}

/** The bars of one attempt: in the queue, waiting, in the handler, settling. Negative durations are not drawn. */
function attemptBars(of: Trajectory, attempt: Attempt, earlierEnd: bigint | null): Bar[] {
  const events = attempt.events.flatMap((index) => of.events[index] ?? []);
  const staged = (stage: string) => events.find((event) => event.stage === stage);
  const [receive, process, settle] = [staged('receive'), staged('process'), staged('settle')];
  const began = BigInt(attempt.start_ns);
  const received = process && attempt.wait ? BigInt(process.start_ns) - positive(attempt.wait) : began;
  const bars: Bar[] = [];
  const put = (kind: BarKind, start: bigint, end: bigint, latency: Latency | null, event: string | null) =>
    bars.push({ kind, start, end, failed: false, open: false, latency, event, attempt: attempt.number });

  const queued = positive(attempt.queue);
  if (queued > 0n) {
    const start = received - queued;
    // The queue time of a redelivery is counted from its first storing; what lay before it is drawn already.
    const from = earlierEnd !== null && earlierEnd > start ? earlierEnd : start;
    if (from < received) put('queue', from, received, attempt.queue, receive?.id ?? process?.id ?? null);
  }
  if (process) {
    const start = BigInt(process.start_ns);
    const length = attempt.process ? positive(attempt.process) : BigInt(process.duration_ns ?? '0');
    if (positive(attempt.wait) > 0n) put('wait', received, start, attempt.wait, receive?.id ?? process.id);
    put('process', start, start + length, attempt.process, process.id);
  } else if (attempt.process) {
    const start = received + positive(attempt.wait);
    if (start > received) put('wait', received, start, attempt.wait, receive?.id ?? null);
    put('process', start, start + positive(attempt.process), attempt.process, receive?.id ?? null);
  } else {
    put('receive', began, began, null, receive?.id ?? events[0]?.id ?? null);
  }
  const last = bars.at(-1);
  if (last) {
    last.failed = attempt.outcome === 'failed' && events.some((event) => event.grade !== 'inferred');
    last.open = process !== undefined && attempt.process === null && process.duration_ns === null;
    const settled = positive(attempt.settle);
    if (settled > 0n) put('settle', last.end, last.end + settled, attempt.settle, settle?.id ?? null);
  }
  return bars;
}

const positive = (latency: Latency | null): bigint => {
  const ns = latency ? BigInt(latency.ns) : 0n;
  return ns > 0n ? ns : 0n;
};

/** Messages that a member of the group sent while it handled this one. */
function marksOf(group: GroupStory, tree: TreeNode[], self: string): Mark[] {
  const services = new Set(group.attempts.map((attempt) => attempt.service));
  return tree
    .filter((node) => node.caused_by === self && services.has(node.through_service))
    .map((node) => ({
      at: BigInt(node.message.sent_ns), reference: node.message.reference, name: node.message.destination,
    }));
}

/** Rows without overlap: each attempt goes to the first row that is free when it begins. */
export function pack(attempts: Bar[][]): Bar[][] {
  const rows: Bar[][] = [];
  for (const bars of attempts) {
    const start = bars[0]?.start;
    if (start === undefined) continue;
    const row = rows.find((row) => (row.at(-1)?.end ?? start) <= start);
    if (row) row.push(...bars);
    else rows.push([...bars]);
  }
  return rows;
}

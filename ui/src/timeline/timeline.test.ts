import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt, event, group, latency, story } from '../api/examples';
import { axis, BAR_WIDTH_MIN, FOLD_WIDTH, type Span } from './axis';
import { lanes, pack } from './bars';

const MS = 1_000_000n;
const HOUR = 3_600_000n * MS;
const span = (start: bigint, end: bigint, work = true): Span => ({ start, end, work });

test('5 ms of sending, 6 h in the queue, 40 ms of work: all three bars are visible and the gap is folded', () => {
  const spans = [span(0n, 5n * MS), span(5n * MS, 6n * HOUR, false), span(6n * HOUR, 6n * HOUR + 40n * MS)];
  const drawn = axis(spans, 900, false);
  for (const { start, end } of spans) assert.ok(drawn.x(end) - drawn.x(start) >= BAR_WIDTH_MIN);
  assert.equal(drawn.folds.length, 1);
  assert.equal(drawn.folds[0]?.width, FOLD_WIDTH);
  assert.ok(Math.abs(drawn.width - 900) < 1);
  assert.ok(drawn.x(6n * HOUR + 40n * MS) <= 900.001);
});

test('true scale folds nothing, and both scales keep the order of all times', () => {
  const spans = [span(0n, MS), span(MS, 2n * HOUR, false), span(2n * HOUR, 2n * HOUR + 3n * MS), span(5n * HOUR, 5n * HOUR)];
  const times = spans.flatMap((one) => [one.start, one.end]).sort((a, b) => Number(a - b));
  for (const scale of [true, false]) {
    const drawn = axis(spans, 640, scale);
    assert.equal(drawn.folds.length, scale ? 0 : 2);
    times.forEach((time, index) => {
      const before = times[index - 1];
      if (before !== undefined && before < time) assert.ok(drawn.x(time) > drawn.x(before) - 1e-9);
    });
  }
  const even = axis([span(0n, 3_100_000_000n)], 1_000, true).ticks.map((tick) => tick.at);
  assert.deepEqual(even.slice(0, 3), [0n, 500_000_000n, 1_000_000_000n]);
  const exact = axis([span(0n, 10n), span(10n, 40n, false)], 400, true);
  assert.equal(exact.x(10n), 100);
});

test('idle time of at most three times the work beside it is drawn to scale', () => {
  const spans = (idle: bigint) => [span(0n, 10n), span(10n, 10n + idle, false), span(10n + idle, 20n + idle)];
  assert.equal(axis(spans(60n), 500, false).folds.length, 0);
  assert.equal(axis(spans(61n), 500, false).folds.length, 1);
});

test('a short wait in the queue after a long pause stays visible', () => {
  const wait = span(3_000n * MS, 3_001n * MS, false);
  const drawn = axis([span(0n, 20n * MS), wait, span(3_001n * MS, 3_021n * MS)], 900, false);
  assert.deepEqual(drawn.folds.map(({ start, end }) => [start, end]), [[20n * MS, 3_000n * MS]]);
  assert.ok(drawn.x(wait.end) - drawn.x(wait.start) >= BAR_WIDTH_MIN - 1e-9);
});

test('many bars get their least width even where the total grows', () => {
  const spans = Array.from({ length: 100 }, (_, n) => span(BigInt(n), BigInt(n + 1)));
  const drawn = axis(spans, 300, false);
  assert.ok(drawn.width >= 100 * BAR_WIDTH_MIN);
  for (const { start, end } of spans) assert.ok(drawn.x(end) - drawn.x(start) >= BAR_WIDTH_MIN - 1e-9);
});

test('an instant, and nothing at all', () => {
  const one = axis([span(7n, 7n)], 300, false);
  assert.equal(one.x(7n), 0);
  assert.equal(one.folds.length, 0);
  assert.equal(axis([], 300, false).width, 300);
});

test('lanes: sender, a group with a retry, a group that did not consume', () => {
  const of = story({
    events: [
      event({ id: 'a', stage: 'send', service: 'checkout', start_ns: '1000', duration_ns: '100' }),
      event({ id: 'b', stage: 'process', service: 'payment', start_ns: '1300', duration_ns: '50' }),
      event({ id: 'c', stage: 'process', service: 'payment', start_ns: '2000', duration_ns: '60' }),
    ],
    sends: [{ event: 0, produce: latency(100n), outcome: 'ok', reason: '', batch: null }],
    groups: [
      group('payment', 'succeeded', [
        attempt({ number: 1, events: [1], outcome: 'failed', start_ns: '1200', queue: latency(100n), wait: latency(100n), process: latency(50n) }),
        attempt({ number: 2, events: [2], outcome: 'ok', start_ns: '2000', queue: latency(900n), process: latency(60n), settle: latency(5n) }),
      ]),
      group('analytics', 'not_consumed_yet', []),
    ],
  });
  const [sender, payment, analytics] = lanes(of, [], '');
  assert.deepEqual(sender?.rows.flat().map((bar) => [bar.kind, bar.start, bar.end]), [['send', 1000n, 1100n]]);
  assert.deepEqual(payment?.rows.flat().map((bar) => [bar.kind, bar.start, bar.end, bar.failed]), [
    ['queue', 1100n, 1200n, false],
    ['wait', 1200n, 1300n, false],
    ['process', 1300n, 1350n, true],
    ['queue', 1350n, 2000n, false],
    ['process', 2000n, 2060n, false],
    ['settle', 2060n, 2065n, false],
  ]);
  assert.equal(analytics?.openSince, 1100n);
});

test('a negative latency is not drawn, an unknown end is open', () => {
  const of = story({
    events: [event({ id: 'b', stage: 'process', start_ns: '1300', duration_ns: null })],
    groups: [group('g', 'processing', [attempt({ events: [0], start_ns: '1300', queue: latency(-50n) })])],
  });
  const bars = lanes(of, [], '').at(-1)?.rows.flat();
  assert.deepEqual(bars?.map((bar) => [bar.kind, bar.open]), [['process', true]]);
});

test('attempts that overlap lie below each other', () => {
  const bar = (start: bigint, end: bigint) => [{
    kind: 'process' as const, start, end, failed: false, open: false, latency: null, event: null, attempt: 1,
  }];
  assert.deepEqual(pack([bar(0n, 10n), bar(5n, 15n), bar(12n, 20n)]).map((row) => row.length), [2, 1]);
});

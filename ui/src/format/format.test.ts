import assert from 'node:assert/strict';
import { test } from 'node:test';
import { speaker } from '../words/say';
import { ago, bytes, count, duration } from './duration';
import { absolute, clock, near, toSecond } from './time';

const en = speaker('en');
const zh = speaker('zh');

test('durations keep three digits and their unit', () => {
  const cases: [bigint, string, string][] = [
    [0n, '0 ns', '0 ns'],
    [950n, '950 ns', '950 ns'],
    [850_000n, '850 µs', '850 µs'],
    [943_210n, '943 µs', '943 µs'],
    [2_100_000n, '2.1 ms', '2.1 ms'],
    [41_000_000n, '41 ms', '41 ms'],
    [999_700_000n, '1 s', '1 秒'],
    [3_080_000_000n, '3.08 s', '3.08 秒'],
    [59_990_000_000n, '1 m', '1 分钟'],
    [125_000_000_000n, '2 m 5 s', '2 分 5 秒'],
    [22_335_000_000_000n, '6 h 12 m', '6 小时 12 分'],
    [3_599_900_000_000n, '1 h', '1 小时'],
    [172_800_000_000_000n, '2 d', '2 天'],
    [180_000_000_000_000n, '2 d 2 h', '2 天 2 小时'],
    [-5_000_000n, '−5 ms', '−5 ms'],
  ];
  for (const [ns, english, chinese] of cases) {
    assert.equal(duration(ns, en), english);
    assert.equal(duration(ns, zh), chinese);
  }
});

test('relative times, also of clocks that run ahead', () => {
  assert.equal(ago(0n, 8_000_000_000n, en), '8 s ago');
  assert.equal(ago(0n, 8_000_000_000n, zh), '8 秒前');
  assert.equal(ago(0n, 7_200_000_000_000n, en), '2 h ago');
  assert.equal(ago(0n, 7_200_000_000_000n, zh), '2 小时前');
  assert.equal(ago(120_000_000_000n, 0n, en), 'in 2 m');
  assert.equal(ago(0n, 10n, en), 'just now');
});

test('absolute times, from 1969 to past the end of Date', () => {
  const at = 1_795_243_327_118_359_043n;
  assert.equal(absolute(at, true), '2026-11-21 06:42:07.118');
  assert.equal(clock(at, true), '06:42:07.118');
  assert.equal(toSecond(at, true), '2026-11-21 06:42:07');
  assert.equal(near(at, at + 3_600_000_000_000n, true), '06:42:07.118');
  assert.equal(near(at, at + 86_400_000_000_000n, true), '2026-11-21 06:42:07.118');
  assert.equal(absolute(-1n, true), '1969-12-31 23:59:59.999');
  assert.equal(absolute(9_223_372_036_854_775_807n, true), '2262-04-11 23:47:16.854');
});

test('sizes and counts', () => {
  assert.equal(bytes('0', en), '0 B');
  assert.equal(bytes('1234', en), '1.23 KB');
  assert.equal(bytes('5000000', zh), '5 MB');
  assert.equal(count('12845'), '12,845');
  assert.equal(count('9223372036854775807'), '9,223,372,036,854,775,807');
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CODES, type Finding } from '../api/types';
import { speaker } from '../words/say';
import { facts, next, what } from './told';

const FINDING: Finding = {
  code: 'propagation_broken', severity: 'error', text: 'in English', next: 'a step', service: 'payment', instance: '',
  other_service: 'checkout', system: 'kafka', destination: 'orders', group: 'payment',
  facts: [{ name: 'missing', value: '7', unit: 'count' }, { name: 'received', value: '9', unit: 'count' },
    { name: 'suspect', value: 'consumer', unit: 'text' }, { name: 'skew', value: '5', unit: 'ns' }],
  examples: [], first_ns: null, last_ns: null,
};
const SHOWN = { duration: (ns: string) => `${ns} ns`, bytes: (text: string) => text };

test('a finding is told by its code, and by whom it suspects', () => {
  const [en, zh] = [speaker('en'), speaker('zh')];
  assert.match(what(FINDING, en), /^7 of 9 messages that payment .* another consumer finds it; checkout sends there\.$/);
  assert.match(next(FINDING, en), /^Look at payment/);
  assert.match(what(FINDING, zh), /^payment 从 orders 收到的 9 条消息中有 7 条/);
  const between = { ...FINDING, facts: [{ name: 'suspect', value: 'sender_or_between', unit: 'text' }] };
  assert.match(next(between, en), /^Look at checkout first/);
  assert.match(what(between, en), /^\? of \? messages/, 'a value that the server did not give is unknown');
});

test('a code of a newer server is told in the words of the server', () => {
  const newer = { ...FINDING, code: 'teleported' };
  assert.equal(what(newer, speaker('zh')), 'in English');
  assert.equal(next(newer, speaker('zh')), 'a step');
});

test('the evidence is shown in the language of the page', () => {
  const told = facts(FINDING, speaker('zh'), SHOWN);
  assert.deepEqual(told.map(({ value }) => value), ['7', '9', '消费方', '5 ns']);
  assert.ok(told.every(({ name }) => /[\u3400-\u9fff]/.test(name)), 'names');
});

test('the page knows every code that the server documents', () => {
  const text = readFileSync('../docs/doctor.md', 'utf8');
  const codes = [...text.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1] ?? '');
  const ofServer = codes.filter((code) => !code.startsWith('endpoint_') && code !== 'clock_of_this_machine');
  assert.deepEqual([...CODES].sort(), ofServer.sort());
});

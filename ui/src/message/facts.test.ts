import assert from 'node:assert/strict';
import { test } from 'node:test';
import { event, latency, summary, why } from '../api/examples';
import { STAGES } from '../api/types';
import { speaker } from '../words/say';
import { fact, fields, referenceOf } from './facts';
import { latencyText, latencyTitle } from './latency';
import { conclusion } from './why';

const [en, zh] = [speaker('en'), speaker('zh')];

test('each stage and outcome says its own', () => {
  const say = (over: Parameters<typeof event>[0]) => fact(event({ service: 'payment', destination: 'orders', lane: '0', position: '7', ...over }), null, en);
  assert.equal(say({ stage: 'send' }), 'payment sent it to orders/0/7');
  assert.equal(say({ stage: 'send', outcome: 'failed' }), 'payment could not send it to orders/0/7');
  assert.equal(say({ stage: 'receive', group: 'g' }), 'payment received it for g');
  assert.equal(say({ stage: 'process', outcome: 'unknown' }), 'payment worked on it; how that ended was not said');
  assert.equal(say({ stage: 'settle', disposition: 'retry' }), 'payment asked for it again');
  assert.equal(say({ stage: 'work', operation: 'POST /orders' }), 'POST /orders in payment');
  for (const stage of STAGES) assert.doesNotMatch(fact(event({ stage }), summary(), zh), /\?|undefined/);
});

test('the message of an event can be asked for', () => {
  const of = (over: Parameters<typeof event>[0]) => referenceOf(event(over));
  assert.equal(of({ destination: 'orders', lane: '0', position: '15' }), 'kafka:orders/0/15');
  assert.equal(of({ system: 'nats', cluster: 'a:b', destination: 'S', position: '12' }), 'nats@a%3Ab:S//12');
  assert.equal(of({ system: 'rocketmq', destination: '%RETRY%g', lane: 'broker-a/2', position: '3' }), 'rocketmq:%25RETRY%25g/broker-a%2F2/3');
  assert.equal(of({ system: 'rabbitmq', destination: 'payments', creation: 'aa-bb' }), 'ctx:aa-bb');
  assert.equal(of({ stage: 'work', creation: 'aa-bb' }), null);
});

test('absent fields are left out, zero is not absent', () => {
  const names = fields(event({ position: '0', body_bytes: '0' })).map(([name]) => name);
  assert.ok(names.includes('position') && names.includes('body_bytes'));
  assert.ok(!names.includes('group') && !names.includes('attempt'));
});

test('a negative latency is a bound, and says which clocks', () => {
  const negative = { ...latency(-3n, true), uncertainty_ns: '2000000' };
  assert.equal(latencyText(negative, en), '≤ skew');
  assert.equal(latencyText(latency(41_000_000n), zh), '41 ms');
  assert.equal(latencyTitle(negative, en),
    'from stored to received · The two clocks disagree by more than this took. · read from two clocks · may be off by 2 ms');
});

test('conclusions name their figures, and fall back to what the server says', () => {
  const behind = why({ code: 'behind', destination: 'orders', lane: '0', stands_at: '12', position: '15', text: 'as the server says' });
  assert.equal(conclusion(behind, 'analytics', en), 'analytics stands at 12 of orders/0; this message is at 15');
  assert.equal(conclusion({ ...behind, stands_at: null }, 'analytics', zh), 'as the server says');
  assert.equal(conclusion(why({ code: 'of_the_future', text: 'so it is' }), 'g', zh), 'so it is');
});

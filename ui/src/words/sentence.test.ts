import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt, group, latency, story, summary, why } from '../api/examples';
import { STATES, type GroupStory, type Trajectory } from '../api/types';
import { plain } from './fill';
import { speaker } from './say';
import { inOrder, sentences } from './sentence';

const tell = (of: Partial<Trajectory>, language: 'en' | 'zh', sender = 'checkout'): string =>
  sentences(summary({ sender }), story(of), speaker(language)).map(plain).join(language === 'en' ? ' ' : '');

const check = (groups: GroupStory[], en: string, zh: string) => {
  assert.equal(tell({ groups }, 'en'), `checkout sent it to orders/0/15. ${en}`);
  assert.equal(tell({ groups }, 'zh'), `checkout 把它发送到 orders/0/15。${zh}`);
};

test('the whole story: a retry, a group behind, most of the time in the queue', () => {
  const failed = attempt({ outcome: 'failed', reason: 'timeout' });
  const third = attempt({ number: 3, start_ns: '22335000000000' });
  check(
    [
      group('payment', 'succeeded', [
        { ...failed, queue: latency(22_320_000_000_000n) }, { ...failed, number: 2 }, third,
      ], { total: latency(22_440_000_000_000n) }),
      group('analytics', 'not_consumed_yet', [], {
        grade: 'inferred', why: why({ code: 'behind', stands_at: '12', position: '15' }),
      }),
    ],
    'payment processed it on the third attempt, after timeout. analytics has not consumed it yet: it stands at 12, '
      + '3 behind. 6 h 14 m from send to the last step, 6 h 12 m of them in the queue.',
    'payment 在第 3 次尝试时处理成功，此前失败：timeout。analytics 尚未消费：位点 12，落后 3 条。'
      + '从发送到最后一步共 6 小时 14 分，其中 6 小时 12 分 在队列中。',
  );
});

test('groups that had it come first, as they began', () => {
  const names = inOrder([
    group('absent', 'unknown', []), group('late', 'succeeded', [attempt({ start_ns: '9' })]),
    group('early', 'succeeded', [attempt({ start_ns: '3' })]), group('behind', 'not_consumed_yet', []),
  ]).map((one) => one.group);
  assert.deepEqual(names, ['early', 'late', 'absent', 'behind']);
});

test('single states', () => {
  check([group('payment', 'succeeded', [attempt({ process: latency(40_000_000n) })])],
    'payment processed it in 40 ms.', 'payment 处理成功，用时 40 ms。');
  check([group('a', 'not_consumed_yet', [], { why: why({ stands_at: '15', position: '15' }) })],
    'a has not consumed it yet: it is the next one to be read.', 'a 尚未消费：它就是下一条。');
  check([group('f', 'dead_lettered', [], { why: why({ destination: 'payments.dlq', reason: 'rejected' }) })],
    'f gave it up; it went to the dead letters in payments.dlq (rejected).',
    'f 放弃了它，它进入了死信 payments.dlq（rejected）。');
  check([group('f', 'failed_will_retry', [attempt({ number: 4, outcome: 'failed', reason: 'db' })])],
    'f failed on the 4th attempt (db) and asked for it again.', 'f 在第 4 次尝试时失败（db），已要求重投。');
  check([], 'No group is known to have to do with it.', '尚未发现与它有关的消费组。');
});

test('every state gives a sentence of its own, also without facts', () => {
  for (const language of ['en', 'zh'] as const) {
    const told = STATES.map((state) => tell({ groups: [group('g', state, [])] }, language));
    assert.equal(new Set(told).size, STATES.length);
    for (const text of told) assert.doesNotMatch(text, /\?|\{|undefined|null/);
  }
  assert.match(tell({ groups: [group('g', 'of_the_future', [])] }, 'en'), /What g did with it is not known/);
});

test('an unseen sender, a failed send, a receiver without group', () => {
  assert.match(tell({}, 'en', ''), /^It lay in orders\/0\/15; who sent it was not seen\./);
  const sends = [{ event: 0, produce: null, outcome: 'failed', reason: 'NotEnoughReplicas', batch: null }];
  assert.match(tell({ sends }, 'en'), /^checkout could not send it to orders\/0\/15: NotEnoughReplicas\./);
  assert.match(tell({ groups: [group('', 'succeeded', [attempt({ service: 'mailer' })])] }, 'en'), /mailer processed it/);
  assert.match(tell({ groups: [group('', 'unknown', [])] }, 'zh'), /未命名消费组的接收者/);
});

test('a negative latency across clocks is never told as a duration', () => {
  const groups = [group('p', 'succeeded', [attempt({ process: latency(-5n) })], { total: latency(-9n, true) })];
  assert.equal(tell({ groups }, 'en'), 'checkout sent it to orders/0/15. p processed it.');
});

/** One sentence per fact, in plain words: what happened to this message. Built from states, in either language. */

import type { GroupStory, MessageSummary, Trajectory } from '../api/types';
import { duration } from '../format/duration';
import { type Piece, unbroken } from './fill';
import type { Speaker } from './say';

/** Where a message lies: `orders / 0 / 15`, with the parts that it has. */
export function place(message: Pick<MessageSummary, 'destination' | 'lane' | 'position'>): string {
  return [message.destination, message.lane, message.position ?? ''].filter((part) => part !== '').join('/');
}

/** What a message is called where its destination alone says too little. */
export function messageName(message: MessageSummary): string {
  if (message.position !== null) return place(message);
  const label = message.keys[0] ?? message.message_id;
  return label ? `${place(message)} · ${label}` : place(message);
}

/** `first`, `second`, `4th`. */
export const nth = (n: number, say: Speaker): string =>
  n === 1 ? say.text('nth.1') : n === 2 ? say.text('nth.2') : n === 3 ? say.text('nth.3') : say.text('nth.n', { n });

/** The name of a group, or of whoever received it where the group has none. */
export function groupName(story: GroupStory, say: Speaker): string {
  return story.group || story.attempts.find((attempt) => attempt.service)?.service || say.text('say.receiver');
}

/** Groups in the order to tell of them: those that had it, as they began; then those that did not. */
export function inOrder(groups: GroupStory[]): GroupStory[] {
  const began = (group: GroupStory): bigint | null => {
    const first = group.attempts[0];
    return first ? BigInt(first.start_ns) : null;
  };
  return [...groups].sort((one, other) => {
    const [a, b] = [began(one), began(other)];
    if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0);
    return a < b ? -1 : a > b ? 1 : 0;
  });
}

/** Everything that happened, a sentence each. */
export function sentences(message: MessageSummary, story: Trajectory, say: Speaker): Piece[][] {
  const told = inOrder(story.groups).map((group) => groupSentence(group, say));
  if (told.length === 0) told.push(say.pieces('say.nobody'));
  return [sendSentence(message, story, say), ...told, ...totalSentence(story, say)];
}

function sendSentence(message: MessageSummary, story: Trajectory, say: Speaker): Piece[] {
  const at = { strong: place(message) };
  if (!message.sender) return say.pieces('say.sent.unknown', { place: at });
  const sender = { strong: message.sender };
  const failed = story.sends.length > 0 && story.sends.every((send) => send.outcome === 'failed');
  if (!failed) return say.pieces('say.sent', { sender, place: at });
  const reason = story.sends.at(-1)?.reason ?? '';
  return reason
    ? say.pieces('say.send.failed.reason', { sender, place: at, reason })
    : say.pieces('say.send.failed', { sender, place: at });
}

function groupSentence(story: GroupStory, say: Speaker): Piece[] {
  const group = { strong: groupName(story, say) };
  const { why } = story;
  const last = story.attempts.at(-1);
  const number = last?.number ?? why.attempt ?? 1;
  switch (story.state) {
    case 'succeeded': return succeeded(story, group, say);
    case 'not_consumed_yet': {
      if (why.stands_at === null || why.position === null) return say.pieces('say.not_consumed_yet', { group });
      const behind = BigInt(why.position) - BigInt(why.stands_at);
      if (behind <= 0n) return say.pieces('say.not_consumed_yet.next', { group });
      return say.pieces('say.not_consumed_yet.behind', { group, stands_at: why.stands_at, n: behind });
    }
    case 'failed_will_retry': return last?.reason
      ? say.pieces('say.failed_will_retry.reason', { group, nth: nth(number, say), reason: last.reason })
      : say.pieces('say.failed_will_retry', { group, nth: nth(number, say) });
    case 'retrying': return say.pieces('say.retrying', { group, nth: nth(number, say) });
    case 'dead_lettered': return deadLettered(story, group, say);
    case 'not_instrumented': return why.stands_at === null
      ? say.pieces('say.not_instrumented', { group })
      : say.pieces('say.not_instrumented.at', { group, stands_at: why.stands_at });
    case 'produced_unconfirmed': return say.pieces('say.produced_unconfirmed', { group });
    case 'stored': return say.pieces('say.stored', { group });
    case 'scheduled': return say.pieces('say.scheduled', { group });
    case 'fetched': return say.pieces('say.fetched', { group });
    case 'processing': return say.pieces('say.processing', { group });
    case 'filtered': return say.pieces('say.filtered', { group });
    case 'skipped': return say.pieces('say.skipped', { group });
    case 'expired': return say.pieces('say.expired', { group });
    case 'unroutable': return say.pieces('say.unroutable');
    case 'group_offline': return say.pieces('say.group_offline', { group });
    default: return say.pieces('say.unknown', { group });
  }
}

function succeeded(story: GroupStory, group: Piece, say: Speaker): Piece[] {
  const last = story.attempts.at(-1);
  if (!last || last.number <= 1) {
    const took = last?.process && BigInt(last.process.ns) >= 0n ? last.process : null;
    return took
      ? say.pieces('say.succeeded.in', { group, duration: unbroken(duration(BigInt(took.ns), say)) })
      : say.pieces('say.succeeded', { group });
  }
  const values = { group, nth: nth(last.number, say) };
  const reasons = [...new Set(story.attempts.slice(0, -1).map((attempt) => attempt.reason).filter(Boolean))];
  return reasons.length > 0
    ? say.pieces('say.succeeded.after', { ...values, reasons: list(reasons, say) })
    : say.pieces('say.succeeded.attempt', values);
}

function deadLettered(story: GroupStory, group: Piece, say: Speaker): Piece[] {
  const destination = story.why.destination ? { strong: story.why.destination } : null;
  const reason = story.why.reason || story.attempts.at(-1)?.reason || '';
  if (destination && reason) return say.pieces('say.dead_lettered.place.reason', { group, destination, reason });
  if (destination) return say.pieces('say.dead_lettered.place', { group, destination });
  if (reason) return say.pieces('say.dead_lettered.reason', { group, reason });
  return say.pieces('say.dead_lettered', { group });
}

/** `a`, `a and b`, `a, b and c`. */
function list(items: string[], say: Speaker): string {
  const last = items.at(-1) ?? '';
  const before = items.slice(0, -1).join(say.text('say.comma'));
  return before ? `${before}${say.text('say.and')}${last}` : last;
}

/** How long it took in all, and where most of that went, when one place took most of it. */
function totalSentence(story: Trajectory, say: Speaker): Piece[][] {
  const slowest = story.groups
    .filter((group) => group.total !== null && BigInt(group.total.ns) > 0n)
    .reduce<GroupStory | null>((max, group) => (!max || total(group) > total(max) ? group : max), null);
  if (!slowest) return [];
  const all = total(slowest);
  const values = { duration: { strong: unbroken(duration(all, say)) } };
  const between = betweenAttempts(slowest);
  if (between * 2n > all) return [say.pieces('say.total.retries', { ...values, between: unbroken(duration(between, say)) })];
  const queue = BigInt(slowest.attempts[0]?.queue?.ns ?? '0');
  if (queue * 2n > all) return [say.pieces('say.total.queue', { ...values, queue: unbroken(duration(queue, say)) })];
  return [say.pieces('say.total', values)];
}

const total = (group: GroupStory): bigint => BigInt(group.total?.ns ?? '0');

/** Time between the end of an attempt and the begin of the next. */
export function betweenAttempts(story: GroupStory): bigint {
  return story.attempts.reduce((sum, attempt, index) => {
    const end = story.attempts[index - 1]?.end_ns;
    const gap = end ? BigInt(attempt.start_ns) - BigInt(end) : 0n;
    return sum + (gap > 0n ? gap : 0n);
  }, 0n);
}

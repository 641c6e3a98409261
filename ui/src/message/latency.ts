/** A latency in words: its value, and what is to be known of it. */

import type { Latency } from '../api/types';
import { duration } from '../format/duration';
import type { Speaker } from '../words/say';

/** The value; below zero (two clocks that disagree) it is no value but a bound. */
export const latencyText = (latency: Latency, say: Speaker): string =>
  BigInt(latency.ns) < 0n ? say.text('latency.skew') : duration(BigInt(latency.ns), say);

/** Its end points and how sure it is. */
export function latencyTitle(latency: Latency, say: Speaker): string {
  const parts = [say.text('latency.title', { from: say.name('point', latency.from), to: say.name('point', latency.to) })];
  if (BigInt(latency.ns) < 0n) parts.push(say.text('latency.skew.title'));
  if (latency.across_clocks) parts.push(say.text('latency.clocks'));
  if (latency.uncertainty_ns !== null) {
    parts.push(say.text('latency.uncertain', { duration: duration(BigInt(latency.uncertainty_ns), say) }));
  }
  return parts.join(' · ');
}

/** Times and durations as the page shows them: in the reader's language and time zone, and relative to now. */

import * as length from '../format/duration';
import * as time from '../format/time';
import { chosen, say } from './words.svelte';

const MS = 1_000_000n;
/** How often relative times move on, in milliseconds. */
const TICK_MS = 5_000;

let now = $state.raw(BigInt(Date.now()) * MS);
setInterval(() => (now = BigInt(Date.now()) * MS), TICK_MS);

const utc = (): boolean => chosen.zone === 'utc';

export const shown = {
  now: (): bigint => now,
  duration: (ns: bigint | string): string => length.duration(BigInt(ns), say()),
  ago: (ns: bigint | string): string => length.ago(BigInt(ns), now > BigInt(ns) ? now : BigInt(Date.now()) * MS, say()),
  bytes: (text: string): string => length.bytes(text, say()),
  absolute: (ns: bigint | string): string => time.absolute(BigInt(ns), utc()),
  /** The time alone where the day is today's. */
  near: (ns: bigint | string): string => time.near(BigInt(ns), now, utc()),
  clock: (ns: bigint | string): string => time.clock(BigInt(ns), utc()),
  toSecond: (ns: bigint | string): string => time.toSecond(BigInt(ns), utc()),
  zone: (): string => time.zoneName(utc()),
  otherZone: (): string => time.zoneName(!utc()),
};

/** Durations, sizes and counts for people. Times are nanoseconds as `bigint`; nothing is rounded to zero. */

import type { Speaker } from '../words/say';

const US = 1_000n;
const MS = 1_000_000n;
const S = 1_000_000_000n;
const MINUTE = 60n * S;
const HOUR = 60n * MINUTE;
const DAY = 24n * HOUR;

/** At most three digits that matter: 0.94, 3.08, 41, 850. */
function short(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

/** `6 h 12 m`, `3.08 s`, `41 ms`, `850 µs`. The sign of a negative one is kept. */
export function duration(ns: bigint, say: Speaker): string {
  if (ns < 0n) return `−${duration(-ns, say)}`;
  // Just below a unit rounds up to it ("1000 ms"): such a value belongs to the next unit.
  if (ns < US) return say.text('duration.ns', { ns });
  if (ns < MS - US / 2n) return say.text('duration.us', { us: short(Number(ns) / 1e3) });
  if (ns < S - MS / 2n) return say.text('duration.ms', { ms: short(Number(ns) / 1e6) });
  if (ns < MINUTE - S / 20n) return say.text('duration.s', { s: short(Number(ns) / 1e9) });
  const seconds = (ns + S / 2n) / S;
  if (seconds < 3_600n) {
    const [m, s] = [seconds / 60n, seconds % 60n];
    return s === 0n ? say.text('duration.m', { m }) : say.text('duration.m_s', { m, s });
  }
  const minutes = (ns + MINUTE / 2n) / MINUTE;
  if (minutes < 1_440n) {
    const [h, m] = [minutes / 60n, minutes % 60n];
    return m === 0n ? say.text('duration.h', { h }) : say.text('duration.h_m', { h, m });
  }
  const hours = (ns + HOUR / 2n) / HOUR;
  const [d, h] = [hours / 24n, hours % 24n];
  return h === 0n ? say.text('duration.d', { d }) : say.text('duration.d_h', { d, h });
}

/** `8 s ago`, in whole units: the exact time stands beside it. */
export function ago(then: bigint, now: bigint, say: Speaker): string {
  const between = now - then;
  const size = between < 0n ? -between : between;
  if (size < S) return say.text('ago.now');
  const unit = size < MINUTE ? S : size < HOUR ? MINUTE : size < DAY ? HOUR : DAY;
  const text = coarse(size / unit, unit, say);
  return between < 0n ? say.text('ago.future', { duration: text }) : say.text('ago', { duration: text });
}

/** Whole units only: `8 s`, `5 m`, `3 h`, `12 d`. */
function coarse(n: bigint, unit: bigint, say: Speaker): string {
  if (unit === S) return say.text('duration.s', { s: n });
  if (unit === MINUTE) return say.text('duration.m', { m: n });
  return unit === HOUR ? say.text('duration.h', { h: n }) : say.text('duration.d', { d: n });
}

/** `1.2 KB` (thousands, as networks count). */
export function bytes(text: string, say: Speaker): string {
  const n = Number(text);
  if (n < 1_000) return say.text('bytes.b', { n });
  if (n < 1_000_000) return say.text('bytes.kb', { n: short(n / 1e3) });
  return say.text('bytes.mb', { n: short(n / 1e6) });
}

/** A count where room is scarce: `1.23 M` from a million on. */
export const compact = (text: string): string =>
  text.length > 9 ? `${short(Number(text) / 1e9)} G` : text.length > 6 ? `${short(Number(text) / 1e6)} M` : count(text);

/** Messages a second: three digits that matter, and never 0 for what is not. */
export const rate = (perSecond: number): string =>
  perSecond > 0 && perSecond < 0.01 ? '< 0.01' : perSecond >= 1_000 ? count(String(Math.round(perSecond))) : short(perSecond);

/** Digits in groups: `12,845`. The text is a whole number of any size. */
export const count = (text: string): string => text.replace(/\B(?=(\d{3})+$)/g, ',');

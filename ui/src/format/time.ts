/** Points in time for people: `2026-11-21 06:42:07.118`, the same in every language, milliseconds always shown. */

const MS = 1_000_000n;

/** How far a browser's `Date` reaches, in milliseconds either side of 1970. */
const DATE_MS_MAX = 8_640_000_000_000_000n;

const two = (n: number): string => String(n).padStart(2, '0');

interface Parts {
  day: string;
  clock: string;
}

function parts(ns: bigint, utc: boolean): Parts | null {
  // Floor, so that times before 1970 do not jump a millisecond.
  const ms = ns / MS - (ns % MS < 0n ? 1n : 0n);
  if (ms > DATE_MS_MAX || ms < -DATE_MS_MAX) return null;
  const date = new Date(Number(ms) + (utc ? 0 : -new Date(Number(ms)).getTimezoneOffset() * 60_000));
  const [day = '', rest = ''] = date.toISOString().split('T');
  return { day, clock: rest.replace('Z', '') };
}

/** Date and time with milliseconds. */
export function absolute(ns: bigint, utc: boolean): string {
  const at = parts(ns, utc);
  return at ? `${at.day} ${at.clock}` : `${ns} ns`;
}

/** Time of day with milliseconds. */
export const clock = (ns: bigint, utc: boolean): string => parts(ns, utc)?.clock ?? `${ns} ns`;

/** Time of day, with the date before it where that is not the date of `now`. */
export function near(ns: bigint, now: bigint, utc: boolean): string {
  return parts(ns, utc)?.day === parts(now, utc)?.day ? clock(ns, utc) : absolute(ns, utc);
}

/** Date and time to the second; for ranges. */
export const toSecond = (ns: bigint, utc: boolean): string => absolute(ns, utc).replace(/\.\d{3}$/, '');

/** `Asia/Shanghai (UTC+08:00)`, or `UTC`. */
export function zoneName(utc: boolean, at = new Date()): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -at.getTimezoneOffset();
  if (utc || (minutes === 0 && /^(UTC|Etc\/)/.test(name))) return 'UTC';
  const size = Math.abs(minutes);
  return `${name} (UTC${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)})`;
}

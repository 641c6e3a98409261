/** Which colour a state may have. Green and red are for what was seen; what is concluded or unknown is dashed grey. */

export type Tone = 'good' | 'bad' | 'busy' | 'warn' | 'open';

const TONES: Record<string, Tone> = {
  succeeded: 'good',
  dead_lettered: 'bad',
  unroutable: 'bad',
  expired: 'bad',
  failed_will_retry: 'warn',
  retrying: 'warn',
  skipped: 'warn',
  fetched: 'busy',
  processing: 'busy',
  scheduled: 'busy',
};

export const tone = (state: string, grade: string): Tone =>
  grade === 'observed' || grade === 'broker' ? (TONES[state] ?? 'open') : 'open';

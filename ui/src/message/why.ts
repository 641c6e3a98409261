/** The facts that a state rests on, as a clause. */

import type { Why } from '../api/types';
import type { Speaker } from '../words/say';

export function conclusion(why: Why, group: string, say: Speaker): string {
  const lane = [why.destination, why.lane].filter(Boolean).join('/');
  const { stands_at, position } = why;
  switch (why.code) {
    case 'behind': return stands_at !== null && position !== null
      ? say.text('why.behind', { group, lane, stands_at, position })
      : why.text;
    case 'passed': return stands_at !== null && position !== null
      ? say.text('why.passed', { group, stands_at, position })
      : why.text;
    case 'dead_letter': {
      const destination = why.destination || '?';
      return why.reason
        ? say.text('why.dead_letter.reason', { group, destination, reason: why.reason })
        : say.text('why.dead_letter', { group, destination });
    }
    case 'silent': return say.text('why.silent', { group });
    case 'nothing': return say.text('why.nothing', { group });
    default: return why.text;
  }
}

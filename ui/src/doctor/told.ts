/** What a finding says in the language of the page: by its code, with the server's English where a code is newer. */

import { CODES, type Check, type Fact, type Finding } from '../api/types';
import type { Value } from '../words/fill';
import { fill, plain } from '../words/fill';
import { DICTIONARIES, type Key, type Speaker } from '../words/say';

const isKnown = (code: string): boolean => (CODES as readonly string[]).includes(code);

/** The sentence of a key that may ask for any of a finding's values; those that it lacks are shown as unknown. */
function sentence(key: string, finding: Finding, say: Speaker): string {
  const values: Record<string, Value> = {
    service: finding.service || say.text('fact.service.unknown'),
    other: finding.other_service || say.text('fact.service.unknown'),
    destination: finding.destination || '?',
  };
  for (const { name, value } of finding.facts) values[name] = value;
  return plain(fill(DICTIONARIES[say.language][key as Key], values));
}

/** A finding is told in other words where it is known who is to blame. */
function keyOf(kind: 'finding' | 'next', finding: Finding): string {
  const suspect = finding.facts.find((fact) => fact.name === 'suspect')?.value;
  const special = `${kind}.${finding.code}.${suspect}`;
  return special in DICTIONARIES.en ? special : `${kind}.${finding.code}`;
}

export const what = (finding: Finding, say: Speaker): string =>
  isKnown(finding.code) ? sentence(keyOf('finding', finding), finding, say) : finding.text;

export const next = (finding: Finding, say: Speaker): string =>
  isKnown(finding.code) ? sentence(keyOf('next', finding), finding, say) : finding.next;

/** How values are shown. */
export interface Shown {
  duration(ns: string): string;
  bytes(text: string): string;
}

/** The evidence, each with its name. A word of the server's own vocabulary is said in the page's language too. */
export function facts(finding: Finding, say: Speaker, shown: Shown): { name: string; value: string }[] {
  const valueOf = ({ name, value, unit }: Fact): string => {
    if (unit === 'ns' && /^-?\d+$/.test(value)) return shown.duration(value);
    if (unit === 'bytes') return shown.bytes(value);
    return say.name(`evidence.${name}`, value) || '–';
  };
  return finding.facts.map((fact) => ({ name: say.name('evidence.name', fact.name), value: valueOf(fact) }));
}

/** How many were looked at, and of what. */
export const counted = (check: Check, say: Speaker): string =>
  check.looked_at === '0' ? say.text('doctor.nothing', { of: say.name('checked', check.of) })
    : say.text('doctor.looked_at', { n: check.looked_at, of: say.name('checked', check.of) });

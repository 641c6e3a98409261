/** A speaker: one language's way of saying each key. Pure; the page chooses which one speaks. */

import { en } from './en';
import { fill, plain, type Names, type Piece, type Value } from './fill';
import { zh } from './zh';

export type Language = 'en' | 'zh';
export type Key = keyof typeof en;

/** The values that a key needs: none, or all that its English template names. */
export type Values<K extends Key> = [Names<(typeof en)[K]>] extends [never]
  ? []
  : [values: Record<Names<(typeof en)[K]>, Value>];

export interface Speaker {
  readonly language: Language;
  /** The text of a key. */
  text<K extends Key>(key: K, ...values: Values<K>): string;
  /** The same as pieces, some of which stand out. */
  pieces<K extends Key>(key: K, ...values: Values<K>): Piece[];
  /** The word of a stable name (`state`, `grade`, ...); a name that a newer server made stays as it is. */
  name(group: string, name: string): string;
}

export const DICTIONARIES: Record<Language, Record<Key, string>> = { en, zh };

export function speaker(language: Language): Speaker {
  const dictionary = DICTIONARIES[language];
  const pieces = <K extends Key>(key: K, ...values: Values<K>): Piece[] => fill(dictionary[key], values[0] ?? {});
  return {
    language,
    pieces,
    text: (key, ...values) => plain(pieces(key, ...values)),
    name: (group, name) => {
      const key = `${group}.${name}`;
      return key in dictionary ? dictionary[key as Key] : name;
    },
  };
}

/** The language of a browser that asks for `wanted`, first wish first. */
export function languageFor(wanted: readonly string[]): Language {
  const known = wanted.map((tag) => tag.toLowerCase().split('-')[0]).find((tag) => tag === 'en' || tag === 'zh');
  return known === 'zh' ? 'zh' : 'en';
}

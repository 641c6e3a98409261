/** What the reader chose: language, theme and time zone. Kept in the browser, else as the browser says. */

import { languageFor, speaker, type Key, type Language, type Speaker, type Values } from './say';

export type Theme = 'system' | 'light' | 'dark';
export type Zone = 'local' | 'utc';

const remembered = (name: string): string | null => {
  try {
    return localStorage.getItem(`hopscope.${name}`);
  } catch {
    return null; // storage may be forbidden; then a choice lasts as long as the page
  }
};

function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`hopscope.${name}`, value);
  } catch {
    // see `remembered`
  }
}

const oneOf = <T extends string>(all: readonly T[], value: string | null): T | undefined =>
  all.find((one) => one === value);

const asked = new URLSearchParams(location.search);
let language = $state<Language>(
  oneOf(['en', 'zh'], asked.get('lang') ?? remembered('language')) ?? languageFor(navigator.languages),
);
let theme = $state<Theme>(oneOf(['system', 'light', 'dark'], asked.get('theme') ?? remembered('theme')) ?? 'system');
let zone = $state<Zone>(oneOf(['local', 'utc'], remembered('zone')) ?? 'local');

const speakers = { en: speaker('en'), zh: speaker('zh') };

/** Who speaks now. Read it in a template and the template follows the language. */
export const say = (): Speaker => speakers[language];

/** The text of a key in the language of the page. */
export const t = <K extends Key>(key: K, ...values: Values<K>): string => say().text(key, ...values);

export const chosen = {
  get language(): Language { return language; },
  set language(next: Language) {
    language = next;
    remember('language', next);
    applyChoices();
  },
  get theme(): Theme { return theme; },
  set theme(next: Theme) {
    theme = next;
    remember('theme', next);
    applyChoices();
  },
  get zone(): Zone { return zone; },
  set zone(next: Zone) {
    zone = next;
    remember('zone', next);
  },
};

/** Tells the document what was chosen: fonts, hyphenation and screen readers follow `lang`, colours `data-theme`. */
export function applyChoices(): void {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.documentElement.dataset['theme'] = theme;
}

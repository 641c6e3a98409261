import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODES, COPIES, GAPS, GRADES, JOINS, POINTS, STATES } from '../api/types';
import { fill, namesIn, plain } from './fill';
import { DICTIONARIES, languageFor, speaker } from './say';

test('both dictionaries have the same keys, and each template asks for the same values', () => {
  const { en, zh } = DICTIONARIES;
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const [key, template] of Object.entries(en)) {
    assert.deepEqual(namesIn(zh[key as keyof typeof zh]), namesIn(template), key);
  }
});

test('no text was left in English', () => {
  const same = ['message.copy.json', 'bytes.b', 'bytes.kb', 'bytes.mb', 'duration.ms', 'duration.us',
    'duration.ns', 'bar.label', 'say.comma'];
  for (const [key, template] of Object.entries(DICTIONARIES.zh)) {
    if (!same.includes(key)) assert.match(template, /[\u3400-\u9fff]|ID|Trace|Broker/, key);
  }
});

test('every stable name of the API has a word in both languages', () => {
  const vocabularies: [string, readonly string[]][] = [
    ['state', STATES], ['grade', GRADES], ['join', JOINS], ['point', POINTS], ['gap', GAPS],
    ['say', STATES],
    ['copy', COPIES.flatMap((kind) => [`${kind}.original`, `${kind}.copy`])],
    ['recognised', ['trace_id', 'span_id', 'context', 'position', 'word']],
    ['finding', CODES], ['next', CODES], ['severity', ['error', 'warning', 'info']],
    ['check', ['data', 'propagation', 'clocks', 'sampling', 'export', 'endings', 'instances', 'attributes', 'server']],
    ['error', ['invalid', 'not_found', 'busy', 'unavailable', 'internal']],
    ['disposition', ['accept', 'retry', 'reject']],
  ];
  for (const language of ['en', 'zh'] as const) {
    for (const [group, names] of vocabularies) {
      for (const name of names) assert.ok(`${group}.${name}` in DICTIONARIES[language], `${language} ${group}.${name}`);
    }
  }
});

test('a name of a newer server stays as it is', () => {
  assert.equal(speaker('zh').name('state', 'teleported'), 'teleported');
});

test('templates: values, nouns, and text that looks like markup or like a template', () => {
  assert.deepEqual(fill('{n#segment|segments} of {who}', { n: 1, who: { strong: '<b>{n}</b>' } }),
    ['1 segment', ' of ', { strong: '<b>{n}</b>' }]);
  assert.equal(plain(fill('{n#segment|segments}', { n: 0 })), '0 segments');
  assert.equal(plain(fill('{missing}', {})), '?');
});

test('the language follows the browser, English where it asks for another', () => {
  assert.equal(languageFor(['zh-CN', 'en']), 'zh');
  assert.equal(languageFor(['de-DE', 'zh-TW', 'en']), 'zh');
  assert.equal(languageFor(['fr']), 'en');
  assert.equal(languageFor([]), 'en');
});

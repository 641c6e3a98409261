/**
 * Templates of the dictionaries: `{name}` is a value, `{n#segment|segments}` is a number with its noun.
 * The result is a list of pieces, never markup: what a message says can only ever become text.
 */

/** A piece of a sentence: plain text, or text that matters. */
export type Piece = string | { strong: string; href?: string };

/** What stands for `{name}`. */
export type Value = string | number | bigint | Piece;

/** The names that a template asks for, so that a forgotten value is a compile error. */
export type Names<Template extends string> = Template extends `${string}{${infer Hole}}${infer Rest}`
  ? (Hole extends `${infer Name}#${string}` ? Name : Hole) | Names<Rest>
  : never;

/** The template with its values, as pieces. A value that is missing shows as `?`. */
export function fill(template: string, values: Record<string, Value>): Piece[] {
  const pieces: Piece[] = [];
  for (const part of template.split(/(\{[^}]*\})/)) {
    if (part === '') continue;
    if (!part.startsWith('{')) {
      pieces.push(part);
      continue;
    }
    const [name = '', forms] = part.slice(1, -1).split('#');
    const value = values[name] ?? '?';
    if (typeof value === 'object') pieces.push(value);
    else pieces.push(forms === undefined ? String(value) : `${value} ${nounFor(value, forms)}`);
  }
  return pieces;
}

/** `one|many`: English has two forms. */
function nounFor(value: string | number | bigint, forms: string): string {
  const [one = '', many = one] = forms.split('|');
  return String(value) === '1' ? one : many;
}

/** The text of pieces, with ordinary blanks. */
export const plain = (pieces: Piece[]): string =>
  pieces.map((piece) => (typeof piece === 'string' ? piece : piece.strong)).join('').replaceAll(NBSP, ' ');

/** A blank that no line breaks at. */
const NBSP = '\u00a0';

/** The text in one piece: a figure stays with its unit. */
export const unbroken = (text: string): string => text.replaceAll(' ', NBSP);

/** The names in a template at run time; for the test that both languages ask for the same. */
export const namesIn = (template: string): string[] =>
  [...new Set([...template.matchAll(/\{([^}#]*)/g)].map((match) => match[1] ?? ''))].sort();

/** What is committed in `dist` is what the source builds to, is small enough, and obeys the server's policy. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { build } from 'vite';

/** Most bytes, after gzip, that a first visit may load. */
const FIRST_LOAD_BYTES_MAX = 150 * 1024;

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'dist');
const fresh = mkdtempSync(join(tmpdir(), 'hopscope-ui-'));
after(() => rmSync(fresh, { recursive: true, force: true }));

const files = (folder) =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

/** The content of a file. Compressors differ from one version of Node to the next, what they hold must not. */
function content(folder, name) {
  const bytes = readFileSync(join(folder, name));
  if (name.endsWith('.gz')) return gunzipSync(bytes);
  return name.endsWith('.br') ? brotliDecompressSync(bytes) : bytes;
}

test('dist is what the source builds to', async () => {
  await build({ root, logLevel: 'warn', build: { outDir: fresh, emptyOutDir: true } });
  assert.deepEqual(files(committed), files(fresh), 'run `npm run build` and commit dist');
  for (const name of files(fresh)) {
    assert.ok(content(committed, name).equals(content(fresh, name)), `${name} is stale`);
  }
});

test('the first load is small', () => {
  const loaded = files(committed).filter((name) => !/\.(gz|br)$/.test(name));
  const total = loaded.reduce((sum, name) => sum + gzipSync(readFileSync(join(committed, name))).length, 0);
  console.log(`first load: ${total} bytes gzip, limit ${FIRST_LOAD_BYTES_MAX}`);
  assert.ok(total <= FIRST_LOAD_BYTES_MAX, `${total} bytes`);
});

test('nothing is inline and nothing comes from elsewhere', () => {
  const html = readFileSync(join(committed, 'index.html'), 'utf8');
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/);
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=/);
  for (const [, address] of html.matchAll(/(?:src|href)="([^"]*)"/g)) {
    assert.match(address, /^\/assets\/[\w-]+-[\w-]{8}\.\w+$/, 'local, with a hash in its name');
  }
  for (const name of files(committed).filter((name) => name.endsWith('.css'))) {
    assert.doesNotMatch(readFileSync(join(committed, name), 'utf8'), /@import|url\(\s*['"]?(https?:)?\/\//);
  }
});

test('no message can become markup: {@html} and style attributes are not used', () => {
  const sources = files(join(root, 'src')).filter((name) => name.endsWith('.svelte'));
  for (const name of sources) {
    const text = readFileSync(join(root, 'src', name), 'utf8');
    assert.doesNotMatch(text, /\{@html|innerHTML|insertAdjacentHTML/, name);
    assert.doesNotMatch(text, /<[^>]*\sstyle=/, `${name}: use style: directives, the policy forbids the attribute`);
  }
});

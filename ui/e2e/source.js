/** The source of the pages: its types, its own tests, and that what is committed is what it builds to. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ui = fileURLToPath(new URL('..', import.meta.url));

function npm(...words) {
  const { status, stdout, stderr } = spawnSync('npm', [...words, '--prefix', ui], { encoding: 'utf8' });
  assert.equal(status, 0, `npm ${words.join(' ')}\n${stdout}\n${stderr}`);
}

/** Installs what the build needs, once for each state of the lock file. */
function install() {
  const installed = join(ui, 'node_modules', '.package-lock.json');
  const wanted = join(ui, 'package-lock.json');
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) npm('ci', '--no-audit', '--no-fund');
}

export const sourceCases = {
  async 'source: types and components are sound'() {
    install();
    npm('run', 'check');
  },
  async 'source: unit tests pass, and dist is what the source builds to'() {
    install();
    npm('test');
  },
};

/** Builds every `src/**\/*.test.ts` with Vite (no test framework needed) and runs the result with Node's runner. */
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'node_modules', '.tests');
const tests = readdirSync(join(root, 'src'), { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.test.ts'));

rmSync(out, { recursive: true, force: true });
await build({
  root,
  configFile: false,
  logLevel: 'warn',
  build: {
    ssr: true,
    outDir: out,
    rolldownOptions: {
      input: Object.fromEntries(tests.map((name) => [basename(name, '.ts'), join(root, 'src', name)])),
      output: { entryFileNames: '[name].mjs' },
    },
  },
});
const files = tests.map((name) => join(out, `${basename(name, '.ts')}.mjs`));
process.exit(spawnSync(process.execPath, ['--test', ...files, join(root, 'scripts', 'dist.test.js')], { stdio: 'inherit' }).status ?? 1);

/** The server under test: one that runs already, or the demo of the program. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Longest time until the demo says where it listens, in milliseconds. */
const START_MS_MAX = 60_000;
/** Longest time a stopped demo may take to end, in milliseconds. */
const STOP_MS_MAX = 15_000;

export async function serve() {
  const given = process.env.HOPSCOPE_URL;
  if (given) return { url: given.replace(/\/$/, ''), stop: async () => {} };
  const binary = process.env.HOPSCOPE_TEST_BINARY ?? process.env.HOPSCOPE_BIN;
  if (!binary) throw new Error('no server: set HOPSCOPE_URL, or HOPSCOPE_TEST_BINARY to the hopscope program');

  const folder = mkdtempSync(join(tmpdir(), 'hopscope-e2e-'));
  const demo = spawn(
    binary,
    ['demo', '--data', join(folder, 'data'), '--listen', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } },
  );
  const ended = new Promise((resolve) => demo.on('exit', resolve));
  const stop = async () => {
    demo.kill('SIGTERM');
    const late = setTimeout(() => demo.kill('SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(late);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return { url: await addressIn(demo), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The first address of a page in what the program prints. */
function addressIn(demo) {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why) => reject(new Error(`${why}; it said:\n${said}`));
    const late = setTimeout(() => fail('the demo did not say where it listens'), START_MS_MAX);
    const read = (bytes) => {
      said += bytes;
      const address = /http:\/\/(127\.0\.0\.1|localhost|\[::1\]):\d+(?=[/\s])/.exec(said)?.[0];
      if (address === undefined) return;
      clearTimeout(late);
      resolve(address);
    };
    demo.stdout.on('data', read);
    demo.stderr.on('data', read);
    demo.on('error', (error) => fail(String(error)));
    demo.on('exit', (code) => fail(`the demo ended, code=${code}`));
  });
}

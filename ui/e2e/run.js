/**
 * The browser tests: `npm test --prefix ui/e2e`. They open the pages of a real server in a real browser.
 *
 * The server is `HOPSCOPE_URL`, where that is given; else the program `HOPSCOPE_TEST_BINARY` (or `HOPSCOPE_BIN`) is
 * started with `demo` on free ports and a folder of its own. The browser is `HOPSCOPE_TEST_BROWSER`. Screenshots go to
 * `HOPSCOPE_TEST_SCREENSHOTS`, by default `e2e/screenshots`. The last line is `N passed, N failed`.
 */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { doctorCases } from './doctor.js';
import { messageCases } from './message.js';
import { openWorld } from './open.js';
import { searchCases } from './search.js';
import { serve } from './server.js';
import { sourceCases } from './source.js';
import { trafficCases } from './traffic.js';
import { wholeCases } from './whole.js';

/** Longest time of one case, in milliseconds. */
const CASE_MS_MAX = 90_000;

const screenshots = process.env.HOPSCOPE_TEST_SCREENSHOTS ?? fileURLToPath(new URL('./screenshots', import.meta.url));
mkdirSync(screenshots, { recursive: true });
const wanted = process.argv.slice(2);

const server = await serve();
const browser = await chromium.launch({
  executablePath: process.env.HOPSCOPE_TEST_BROWSER ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
});

let passed = 0;
const failures = [];
try {
  const world = await openWorld(browser, server.url, screenshots);
  const cases = { ...searchCases, ...messageCases, ...wholeCases, ...trafficCases, ...doctorCases, ...sourceCases };
  for (const [name, run] of Object.entries(cases)) {
    if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
    const begin = Date.now();
    const failure = await attempt(run, world);
    const seconds = ((Date.now() - begin) / 1000).toFixed(1);
    if (failure === null) passed += 1;
    else failures.push(name);
    console.log(`test ${name} ... ${failure === null ? 'ok' : 'FAILED'} (${seconds} s)`);
    if (failure !== null) console.log(failure);
  }
} catch (error) {
  failures.push('setting up');
  console.log(`test setting up ... FAILED\n${error.stack ?? error}`);
} finally {
  await browser.close();
  await server.stop();
}
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);

/** Runs a case. Answers what went wrong, or `null`. */
async function attempt(run, world) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${CASE_MS_MAX} ms`)), CASE_MS_MAX);
  });
  try {
    await Promise.race([run(world), late]);
    return null;
  } catch (error) {
    return error.stack ?? String(error);
  } finally {
    clearTimeout(timer);
    await world.closeAll();
  }
}

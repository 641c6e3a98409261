/** What the cases share: pages that notice every error, the API, waiting for conditions, axe, screenshots. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Longest wait for a condition, in milliseconds. */
const WAIT_MS_MAX = 15_000;

/** The four ways that every page is looked at. */
export const LOOKS = [
  { locale: 'en-US', colorScheme: 'light' },
  { locale: 'en-US', colorScheme: 'dark' },
  { locale: 'zh-CN', colorScheme: 'light' },
  { locale: 'zh-CN', colorScheme: 'dark' },
];

export async function openWorld(browser, url, screenshots) {
  const open = new Set();
  const world = {
    url,
    /** An answer of the API. */
    async api(path) {
      const response = await fetch(`${url}/api/v1/${path}`);
      assert.equal(response.status, 200, `${path}: ${response.status}`);
      return response.json();
    },
    find: (q) => world.api(`find?limit=50&q=${encodeURIComponent(q)}`),
    message: (reference) => world.api(`messages/${encodeURIComponent(reference)}`),
    /** Sends spans by OTLP over HTTP, JSON. */
    async send(service, spans) {
      const { otlp_http: address } = await world.api('status');
      const attributes = (values) => Object.entries(values).map(([key, value]) => ({
        key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
      }));
      const body = {
        resourceSpans: [{
          resource: { attributes: attributes({ 'service.name': service }) },
          scopeSpans: [{ spans: spans.map((span) => ({ ...span, attributes: attributes(span.attributes) })) }],
        }],
      };
      const response = await fetch(`http://${address}/v1/traces`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
      });
      assert.equal(response.status, 200, await response.text());
    },
    /** A page at `path`, where an error on the console fails the case. `expected` names those that are meant. */
    async page(path, { width = 1280, expected = null, ...look } = {}) {
      const context = await browser.newContext({ viewport: { width, height: 900 }, locale: 'en-US', ...look });
      const page = await context.newPage();
      const errors = [];
      page.on('pageerror', (error) => errors.push(`uncaught: ${error.message}`));
      page.on('console', (line) => {
        if (['error', 'warning'].includes(line.type()) && !expected?.test(line.text())) errors.push(line.text());
      });
      page.on('dialog', (dialog) => {
        errors.push(`dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      open.add({ context, errors });
      await page.goto(url + path);
      await settled(page);
      return page;
    },
    /** Closes the pages of a case. An error that one of them noticed fails the case. */
    async closeAll() {
      for (const { context } of open) await context.close();
      open.clear();
    },
    /** No page noticed an error. */
    quiet() {
      assert.deepEqual([...open].flatMap(({ errors }) => errors), [], 'errors on the console');
    },
    async shot(page, name) {
      await page.evaluate(() => window.scrollTo(0, 0));
      await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    },
  };
  world.order = await findOrder(world);
  return world;
}

/** The order that the cases look at: the newest that `payment` finished and `analytics` has not consumed. */
async function findOrder(world) {
  return until('the order flow is stored', async () => {
    const { messages } = await world.find('dest:orders');
    const state = (message, group) => message.groups.find((one) => one.group === group)?.state;
    const order = messages.find((one) =>
      one.system === 'kafka' && state(one, 'payment') === 'succeeded' && state(one, 'analytics') === 'not_consumed_yet');
    if (!order) return null;
    const { tree } = await world.message(order.reference);
    const systems = new Set(tree.map((node) => node.message.system));
    return systems.size === 4 ? order : null;
  });
}

/** Waits until `condition` answers something; asks again until then. */
export async function until(what, condition) {
  const end = Date.now() + WAIT_MS_MAX;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`never came true: ${what}${last ? ` (${last.message})` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The page has its first answers. */
export async function settled(page) {
  await page.waitForSelector('#content > *');
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"]'));
  await page.waitForLoadState('load');
}

/** No serious finding of axe. */
export async function accessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
  assert.deepEqual(serious, []);
}

/** Nothing makes the page scroll sideways. */
export async function fits(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(over, 0, `the page is ${over} px too wide`);
}

export const path = (page) => new URL(page.url()).pathname;

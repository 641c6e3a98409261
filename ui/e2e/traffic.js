/** The traffic page. */
import assert from 'node:assert/strict';
import { accessible, fits, LOOKS, until } from './open.js';

const MINUTE_MS = 60_000;
const nano = (ms) => `${BigInt(ms) * 1_000_000n}`;
const attributes = (values) => Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }));

/** Counts of one service, as its metrics report them: sent, consumed, and how long processing took. */
async function report(world, service, instance) {
  const { otlp_http: address } = await world.api('status');
  const now = Date.now();
  const point = (count, values) => ({
    attributes: attributes({ 'messaging.system': 'kafka', 'messaging.destination.name': 'e2e-traffic', ...values }),
    startTimeUnixNano: nano(now - 10 * MINUTE_MS), timeUnixNano: nano(now), asInt: String(count),
  });
  const group = { 'messaging.consumer.group.name': 'e2e-group' };
  const { asInt, ...timed } = point(600, group);
  const sum = (name, dataPoints) => ({ name, unit: '{message}', sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints } });
  const metrics = [
    sum('messaging.client.sent.messages', [point(6000, {})]),
    sum('messaging.client.consumed.messages', [point(600, group)]),
    { name: 'messaging.process.duration', unit: 's', histogram: { aggregationTemporality: 2, dataPoints: [
      { ...timed, count: '600', sum: 6, bucketCounts: ['590', '0', '10'], explicitBounds: [0.01, 0.1] }] } },
  ];
  const resource = { attributes: attributes({ 'service.name': service, ...(instance && { 'service.instance.id': instance }) }) };
  const response = await fetch(`http://${address}/v1/metrics`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ metrics }] }] }),
  });
  assert.equal(response.status, 200, await response.text());
}

export const trafficCases = {
  async 'traffic: exact where services count, from spans where they do not'(world) {
    await report(world, 'e2e-counter', 'one');
    const page = await world.page('/traffic?since=15m');
    const row = page.locator('#traffic tbody tr', { hasText: 'e2e-traffic' });
    await until('the row is there', async () => (await row.count()) === 1);
    const text = (await row.innerText()).replaceAll('\n', ' ');
    assert.match(text, /e2e-group/);
    assert.match(text, /exact/);
    assert.doesNotMatch(text, /sampled/);
    assert.match(text, /≤ 10 ms · > 100 ms/);
    const start = BigInt(Date.now() - MINUTE_MS) * 1_000_000n;
    await world.send('e2e-sender', [{
      traceId: 'e2'.repeat(16), spanId: 'e2'.repeat(8), name: 'send e2e-spans', kind: 4,
      startTimeUnixNano: String(start), endTimeUnixNano: String(start + 1_000_000n),
      attributes: { 'messaging.system': 'kafka', 'messaging.operation.type': 'send', 'messaging.destination.name': 'e2e-spans' },
    }]);
    await page.reload();
    const spans = page.locator('#traffic tbody tr', { hasText: 'e2e-spans' });
    await until('the row is there', async () => (await spans.count()) === 1);
    assert.match(await spans.innerText(), /≥[\s\S]*from sampled spans/);
    world.quiet();
  },

  async 'traffic: a series without an instance is told'(world) {
    await report(world, 'e2e-nameless', null);
    const page = await world.page('/traffic?since=15m');
    await page.waitForSelector('#traffic [role=note]');
    assert.match(await page.locator('#traffic [role=note]').innerText(), /e2e-nameless[\s\S]*service\.instance\.id/);
    world.quiet();
  },

  async 'traffic: both languages and themes, wide and narrow'(world) {
    const titles = { 'en-US': 'Traffic', 'zh-CN': '流量' };
    for (const look of LOOKS) {
      for (const width of [1280, 390]) {
        const page = await world.page('/traffic', { ...look, width });
        await page.waitForSelector('#traffic tbody tr');
        assert.equal(await page.locator('h1').innerText(), titles[look.locale]);
        await accessible(page);
        await fits(page);
        await world.shot(page, `traffic-${look.locale.slice(0, 2)}-${look.colorScheme}-${width}`);
      }
    }
    world.quiet();
  },

  async 'traffic: from the start page, and another range'(world) {
    const page = await world.page('/');
    await page.click('header a[href="/traffic"]');
    await page.waitForSelector('#traffic tbody tr');
    await page.click('#traffic nav a:has-text("24h")');
    await page.waitForURL('**/traffic?since=24h');
    await page.waitForSelector('#traffic tbody tr');
    world.quiet();
  },
};

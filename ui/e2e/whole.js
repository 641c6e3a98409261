/** What holds for all pages: live, hostile text, narrow pages, the first load, the trace page. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { accessible, fits, settled, until } from './open.js';

/** Most bytes that a first visit may load, as they travel. */
const FIRST_LOAD_BYTES_MAX = 150 * 1024;

const hex = (bytes) => randomBytes(bytes).toString('hex');
const nowNs = () => BigInt(Date.now()) * 1_000_000n;

/** A send and, later, the handler that takes it. */
function messageOf(destination, key) {
  const [traceId, sendId, offset] = [hex(16), hex(8), randomBytes(4).readUInt32BE()];
  const start = nowNs() - 50_000_000n;
  const common = {
    'messaging.system': 'kafka', 'messaging.destination.name': destination, 'messaging.destination.partition.id': '0',
    'messaging.kafka.offset': offset, 'messaging.kafka.message.key': key,
  };
  const span = (spanId, kind, from, ms, over, attributes) => ({
    traceId, spanId, kind, startTimeUnixNano: String(from), endTimeUnixNano: String(from + BigInt(ms) * 1_000_000n),
    name: `x ${destination}`, ...over, attributes: { ...common, ...attributes },
  });
  return {
    reference: `kafka:${encodeURIComponent(destination)}/0/${offset}`,
    send: span(sendId, 4, start, 2, {}, { 'messaging.operation.type': 'send' }),
    process: (group) => span(hex(8), 5, start + 10_000_000n, 20, { parentSpanId: sendId, links: [{ traceId, spanId: sendId }] }, {
      'messaging.operation.type': 'process', 'messaging.consumer.group.name': group,
    }),
  };
}

export const wholeCases = {
  async 'live: a new event appears on the message page without a reload'(world) {
    const message = messageOf('live-check', `live-${hex(3)}`);
    await world.send('live-sender', [message.send]);
    await until('the message is stored', () => world.message(message.reference));
    const page = await world.page(`/m/${encodeURIComponent(message.reference)}`);
    await page.waitForSelector('.live.on');
    await page.evaluate(() => (globalThis.notReloaded = true));
    assert.doesNotMatch(await page.locator('main').innerText(), /live-group/);
    await world.send('live-handler', [message.process('live-group')]);
    await until('the handler appears', async () => /live-group processed it in 20\sms/.test(await page.locator('#says').innerText()));
    assert.equal(await page.evaluate(() => globalThis.notReloaded), true);
    world.quiet();
  },

  async 'live: the search page shows what is received now'(world) {
    const page = await world.page('/');
    await page.waitForSelector('.live.on');
    const key = `new-${hex(3)}`;
    await world.send('live-sender', [messageOf('live-check', key).send]);
    await until('the message is listed', async () => (await page.locator('#latest').innerText()).includes(key));
    world.quiet();
  },

  async 'hostile text stays text on every page'(world) {
    const evil = '"><img src=x onerror="globalThis.stolen=1"><svg onload=alert(1)>{{7*7}}</script>';
    const message = messageOf(`evil ${evil}`, `key ${evil}`);
    await world.send(`service ${evil}`, [
      { ...message.send, name: evil },
      { ...message.process(`group ${evil}`), attributes: { ...message.process(`group ${evil}`).attributes, [`name ${evil}`]: `value ${evil}` } },
    ]);
    await until('the message is stored', async () => (await world.find(`trace:${message.send.traceId}`)).messages.length > 0);
    const { reference } = (await world.find(`trace:${message.send.traceId}`)).messages[0];
    const { trajectory } = await world.message(reference);
    const pages = [
      '/', `/find?q=${message.send.traceId}`, `/find?q=${encodeURIComponent(evil)}`,
      `/m/${encodeURIComponent(reference)}?raw=json&event=${trajectory.events.at(-1).id}`, `/t/${message.send.traceId}`,
    ];
    for (const [address, width] of pages.flatMap((address) => [[address, 1280], [address, 360]])) {
      const page = await world.page(address, { width, expected: /40\d/ });
      await settled(page);
      if (address === '/') await page.waitForSelector('#latest tbody tr');
      await fits(page);
      const found = await page.evaluate(() => ({
        stolen: globalThis.stolen ?? null, images: document.querySelectorAll('main img').length,
        handlers: document.querySelectorAll('[onerror],[onload]').length,
      }));
      assert.deepEqual(found, { stolen: null, images: 0, handlers: 0 }, address);
      if (address.startsWith('/m/')) assert.ok((await page.locator('main').innerText()).includes(evil));
    }
    world.quiet();
  },

  async 'a page of 360 px needs no sideways scrolling'(world) {
    const { tree } = await world.message(world.order.reference);
    const pages = ['/', `/find?q=${world.order.keys[0]}`, `/t/${world.order.trace_id}`,
      ...tree.map((node) => `/m/${encodeURIComponent(node.message.reference)}`)];
    for (const address of pages) {
      const page = await world.page(address, { width: 360 });
      if (address === '/') await page.waitForSelector('#latest tbody tr');
      await fits(page);
      await accessible(page);
      if (address === '/' || address === pages[3]) await world.shot(page, address === '/' ? 'search-360' : 'message-360');
    }
    world.quiet();
  },

  async 'trace: its events are listed and open'(world) {
    const page = await world.page(`/t/${world.order.trace_id}`);
    const { events } = await world.api(`traces/${world.order.trace_id}?limit=200`);
    assert.equal(await page.locator('tbody button').count(), events.length);
    await page.locator('tbody button').first().click();
    await page.waitForSelector('.details dd');
    await accessible(page);
    await world.shot(page, 'trace');
    world.quiet();
  },

  async 'the first load is small, and nothing comes from elsewhere'(world) {
    const page = await world.page('/');
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.setCacheDisabled', { cacheDisabled: true });
    const requests = new Map();
    session.on('Network.requestWillBeSent', ({ requestId, request }) => requests.set(requestId, { url: request.url, bytes: 0 }));
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      const request = requests.get(requestId);
      if (request) request.bytes = encodedDataLength;
    });
    await page.reload();
    await page.waitForSelector('#latest tbody tr');
    const all = [...requests.values()];
    for (const { url } of all) assert.ok(url.startsWith(world.url) || url.startsWith('data:'), url);
    const bytes = all.filter(({ url }) => !url.includes('/api/')).reduce((sum, one) => sum + one.bytes, 0);
    console.log(`first load: ${bytes} bytes, limit ${FIRST_LOAD_BYTES_MAX}`);
    assert.ok(bytes > 0 && bytes <= FIRST_LOAD_BYTES_MAX, `${bytes} bytes`);
    world.quiet();
  },
};

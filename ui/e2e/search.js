/** The search page. */
import assert from 'node:assert/strict';
import { accessible, fits, LOOKS, path, settled, until } from './open.js';

const filled = (page) => page.waitForSelector('#latest tbody tr');

export const searchCases = {
  async 'search: both languages and themes, accessible, without errors'(world) {
    const titles = { 'en-US': 'What happened to this message?', 'zh-CN': '这条消息经历了什么？' };
    for (const look of LOOKS) {
      const page = await world.page('/', look);
      await filled(page);
      assert.equal(await page.locator('h1').innerText(), titles[look.locale]);
      await accessible(page);
      await fits(page);
      await world.shot(page, `search-${look.locale.slice(0, 2)}-${look.colorScheme}`);
    }
    world.quiet();
  },

  async 'search: what is received, destinations of all four systems, recent failures'(world) {
    const page = await world.page('/');
    await filled(page);
    const { receivers } = await world.api('status');
    assert.equal(await page.locator('#receiving li').count(), receivers.length);
    const destinations = await page.locator('#destinations').innerText();
    for (const system of ['Kafka', 'RabbitMQ', 'NATS', 'RocketMQ']) assert.match(destinations, new RegExp(system));
    assert.ok(await page.locator('#failures tbody tr').count() > 0, 'the flow has failures');
    assert.match(await page.locator('footer.coverage').innerText(), /Searched: \d+ segments?[\s\S]*received from/);
    world.quiet();
  },

  async 'search: by key from the keyboard finds the order in all four systems'(world) {
    const page = await world.page('/');
    await page.keyboard.press('/');
    await page.keyboard.type(world.order.keys[0]);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/find?q=*');
    await settled(page);
    await page.waitForSelector('tbody tr');
    const rows = await page.locator('tbody').innerText();
    for (const system of ['Kafka', 'RabbitMQ', 'NATS', 'RocketMQ']) assert.match(rows, new RegExp(system));
    assert.match(rows, /payment\s+succeeded/);
    await accessible(page);
    await world.shot(page, 'find-key');
    world.quiet();
  },

  async 'search: a position names one message, and Enter opens it'(world) {
    const { destination, lane, position, reference } = world.order;
    const page = await world.page('/');
    await page.fill('#search', `${destination}/${lane}/${position}`);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.one a');
    await world.shot(page, 'find-one');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#says');
    assert.equal(decodeURIComponent(path(page)), `/m/${reference}`);
    world.quiet();
  },

  async 'search: trace id, message id and a log line lead to the order'(world) {
    const shipment = (await world.message(world.order.reference)).tree.find((node) => node.message.system === 'nats').message;
    const line = `2026-11-21 06:42:07 INFO checkout trace_id=${world.order.trace_id} order accepted`;
    for (const q of [world.order.trace_id, shipment.message_id, line]) {
      const page = await world.page(`/find?q=${encodeURIComponent(q)}`);
      const text = await page.locator('main').innerText();
      assert.match(text, new RegExp(shipment.destination), q);
    }
    world.quiet();
  },

  async 'search: an empty result says what was searched; a bad query says what is wrong'(world) {
    const nothing = await world.page('/find?q=no-such-key-anywhere');
    const text = await nothing.locator('main').innerText();
    assert.match(text, /No message matches/);
    assert.match(text, /Searched: \d+ segment/);
    const bad = await world.page('/find?q=colour%3Ared', { expected: /400/ });
    await bad.waitForSelector('[role=alert]');
    assert.match(await bad.locator('[role=alert]').innerText(), /could not be read[\s\S]*colour/);
    await accessible(bad);
    world.quiet();
  },

  async 'search: language and theme can be switched, and stay'(world) {
    const page = await world.page('/');
    await page.click('#language');
    assert.equal(await page.locator('h1').innerText(), '这条消息经历了什么？');
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.click('#theme');
    await page.click('#theme');
    assert.notEqual(await ground(), light, 'dark has another ground');
    await page.reload();
    await settled(page);
    assert.equal(await page.locator('h1').innerText(), '这条消息经历了什么？');
    assert.notEqual(await ground(), light);
    world.quiet();
  },

  async 'search: help and escape by keyboard, the skip link comes first'(world) {
    const page = await world.page('/');
    await page.keyboard.press('Tab');
    assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ''), /Skip/);
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await accessible(page);
    await page.keyboard.press('Escape');
    await until('the help is closed', async () => (await page.locator('dialog[open]').count()) === 0);
    world.quiet();
  },
};

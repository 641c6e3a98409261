/** The message page. */
import assert from 'node:assert/strict';
import { accessible, fits, LOOKS, path, settled, until } from './open.js';

const address = (reference) => `/m/${encodeURIComponent(reference)}`;
const says = (page) => page.locator('#says').innerText();

/** A message of the order in another system. */
async function other(world, system) {
  const { tree } = await world.message(world.order.reference);
  return tree.find((node) => node.message.system === system && node.message.sender !== '').message;
}

/** Waits until the page tells of that message. */
async function toldOf(page, message) {
  await until(`the page is at ${message.reference}`, async () =>
    decodeURIComponent(path(page)) === `/m/${message.reference}` && (await page.locator('h1').getAttribute('title')) === message.reference);
  await settled(page);
}

export const messageCases = {
  async 'message: both languages and themes, accessible, without errors'(world) {
    const told = {
      'en-US': [/checkout sent it to orders\/0\/\d+/, /payment processed it/, /analytics has not consumed it yet/],
      'zh-CN': [/checkout 把它发送到 orders\/0\/\d+/, /payment [^。]*处理成功/, /analytics 尚未消费/],
    };
    for (const look of LOOKS) {
      const page = await world.page(address(world.order.reference), look);
      await page.waitForSelector('#says');
      for (const part of told[look.locale]) assert.match(await says(page), part);
      await accessible(page);
      await fits(page);
      await world.shot(page, `message-${look.locale.slice(0, 2)}-${look.colorScheme}`);
    }
    world.quiet();
  },

  async 'message: a group that has not consumed it is grey and open, never green or red'(world) {
    const page = await world.page(address(world.order.reference));
    const classes = async (group) => page.locator('.groups li', { hasText: group }).getAttribute('class');
    assert.match(await classes('analytics'), /\bopen\b/);
    assert.match(await classes('payment'), /\bgood\b/);
    assert.equal(await page.locator('#timeline .waiting').count(), 1);
    assert.match(await page.locator('#evidence').innerText(), /analytics stands at \d+ of orders\/0; this message is at \d+/);
    world.quiet();
  },

  async 'message: a link leads to what it caused, and back to its cause'(world) {
    const page = await world.page(address(world.order.reference));
    const payment = await other(world, 'rabbitmq');
    await page.locator('#chain a.hop', { hasText: payment.destination }).first().click();
    await toldOf(page, payment);
    assert.match(await says(page), /^payment sent it to payments/);
    await page.locator('#chain a.hop', { hasText: `orders/0/${world.order.position}` }).click();
    await toldOf(page, world.order);
    await page.goBack();
    await toldOf(page, payment);
    world.quiet();
  },

  async 'message: attempts, their reasons and the long wait of the redelivered payment'(world) {
    const payment = await other(world, 'rabbitmq');
    const page = await world.page(address(payment.reference));
    const deliveries = await page.locator('#deliveries').innerText();
    assert.match(deliveries, /1 ✗[\s\S]*warehouse_unavailable[\s\S]*2 ✓/);
    assert.match(await says(page), /fulfilment processed it on the second attempt, after warehouse_unavailable/);
    assert.ok(await page.locator('#timeline .fold').count() > 0, 'minutes in the queue are folded');
    await accessible(page);
    await world.shot(page, 'message-retry');
    world.quiet();
  },

  async 'message: every bar can be seen, and the true scale comes and goes with a key'(world) {
    const payment = await other(world, 'rabbitmq');
    const page = await world.page(address(payment.reference));
    const bars = () => page.locator('#timeline rect.bar').evaluateAll((all) =>
      all.map((bar) => [Number(bar.getAttribute('x')), Number(bar.getAttribute('width'))]));
    const folded = await bars();
    assert.ok(folded.length >= 3);
    for (const [, width] of folded) assert.ok(width >= 7.99, `a bar is ${width} px wide`);
    await page.keyboard.press('s');
    await until('nothing is folded', async () => (await page.locator('#timeline .fold').count()) === 0);
    assert.equal(new URL(page.url()).searchParams.get('scale'), 'true');
    assert.notDeepEqual(await bars(), folded);
    await page.reload();
    await settled(page);
    assert.equal(await page.locator('#timeline .fold').count(), 0, 'the address keeps the scale');
    await page.keyboard.press('s');
    await until('the folds are back', async () => JSON.stringify(await bars()) === JSON.stringify(folded));
    world.quiet();
  },

  async 'message: each event opens with all its attributes, by keyboard and by address'(world) {
    const { trajectory } = await world.message(world.order.reference);
    const page = await world.page(address(world.order.reference));
    await page.locator('#evidence button').first().focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.details dd');
    const event = new URL(page.url()).searchParams.get('event');
    const { attributes } = trajectory.events.find((one) => one.id === event);
    const deep = await world.page(`${address(world.order.reference)}?event=${event}`);
    const text = await deep.locator(`#details-${event}`).innerText();
    for (const { key, value } of attributes) {
      assert.ok(text.includes(key), key);
      assert.ok(text.includes(value), value);
    }
    assert.equal(await page.locator('#evidence tbody button').count(), trajectory.events.length);
    await accessible(deep);
    await world.shot(deep, 'message-event');
    world.quiet();
  },

  async 'message: raw JSON is what the API answers'(world) {
    const page = await world.page(`${address(world.order.reference)}?raw=json`);
    const shown = JSON.parse(await page.locator('#raw pre').innerText());
    const answered = await world.message(world.order.reference);
    assert.deepEqual(shown.message, answered.message);
    assert.deepEqual(shown.trajectory.events, answered.trajectory.events);
    world.quiet();
  },

  async 'message: copies its link, trace id, summary and JSON'(world) {
    const page = await world.page(address(world.order.reference), { permissions: ['clipboard-read', 'clipboard-write'] });
    const copied = async (label) => {
      await page.getByRole('button', { name: `Copy: ${label}` }).first().click();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    assert.equal(decodeURIComponent(new URL(await copied('Link')).pathname), `/m/${world.order.reference}`);
    assert.equal(await copied('Trace id'), world.order.trace_id);
    assert.match(await copied('Summary'), /^kafka orders\/0\/\d+: checkout sent it .*not consumed it yet/);
    assert.equal(JSON.parse(await copied('JSON')).message.reference, world.order.reference);
    world.quiet();
  },

  async 'message: one that is not there is an error with a next step, never an empty page'(world) {
    const page = await world.page(address('kafka:no-such-topic/0/1'), { expected: /404/ });
    await page.waitForSelector('[role=alert]');
    assert.match(await page.locator('[role=alert]').innerText(), /Not found[\s\S]*Search for/);
    world.quiet();
  },
};

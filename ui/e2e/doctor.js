/** The doctor page. */
import assert from 'node:assert/strict';
import { accessible, fits, LOOKS, until } from './open.js';

const SERVICE = 'e2e-groupless';

/** A consumer that names no group, and has what it received without any context. */
async function plant(world) {
  const start = BigInt(Date.now() - 10_000) * 1_000_000n;
  await world.send(SERVICE, [{
    traceId: 'd0c'.repeat(10) + '00', spanId: 'd0'.repeat(8), name: 'process e2e-doctor', kind: 5,
    startTimeUnixNano: String(start), endTimeUnixNano: String(start + 1_000_000n),
    attributes: {
      'messaging.system': 'kafka', 'messaging.operation.type': 'process', 'messaging.destination.name': 'e2e-doctor',
      'messaging.destination.partition.id': '0', 'messaging.kafka.offset': 7,
    },
  }]);
}

const finding = (page, code) => page.locator(`#doctor li[data-code="${code}"]`, { hasText: SERVICE });

export const doctorCases = {
  async 'doctor: a finding says who, what next, and leads to a message'(world) {
    await plant(world);
    const page = await world.page(`/doctor?service=${SERVICE}`);
    const found = finding(page, 'group_missing');
    await until('it is found', async () => (await found.count()) === 1);
    const text = (await found.innerText()).replaceAll('\n', ' ');
    assert.match(text, /warning .*e2e-groupless received 1 event of e2e-doctor without naming its group/);
    assert.match(text, /Next: Set messaging\.consumer\.group\.name/);
    assert.equal(await finding(page, 'sender_not_traced').count(), 1);
    assert.match(await page.locator('#from-there').innerText(), /hopscope doctor --server http.* --service 'e2e-groupless'/);
    await found.locator('.examples a').click();
    await page.waitForURL('**/m/kafka:e2e-doctor/0/7');
    world.quiet();
  },

  async 'doctor: what is well is said with its numbers'(world) {
    const page = await world.page('/doctor?dest=orders');
    await page.waitForSelector('#well li');
    assert.match(await page.locator('#well').innerText(), /Context on its way\s+\d+ messages/);
    world.quiet();
  },

  async 'doctor: a name that nobody told of'(world) {
    const page = await world.page('/doctor?service=chekout');
    const found = page.locator('#doctor li[data-code="service_never_seen"]');
    await until('it is found', async () => (await found.count()) === 1);
    assert.match(await found.innerText(), /similar\s+checkout/);
    world.quiet();
  },

  async 'doctor: from an empty search, and another range'(world) {
    const page = await world.page('/find?q=no-such-key-4711');
    await page.click('.none a[href="/doctor"]');
    await page.waitForSelector('#doctor .card-head');
    await page.click('#doctor nav a:has-text("24h")');
    await page.waitForURL('**/doctor?since=24h');
    world.quiet();
  },

  async 'doctor: both languages and themes, wide and narrow'(world) {
    await plant(world);
    const titles = { 'en-US': 'Doctor', 'zh-CN': '诊断' };
    for (const look of LOOKS) {
      // The narrow page breaks its lines by language, not by theme: each theme once.
      const narrow = (look.locale === 'en-US') === (look.colorScheme === 'light');
      for (const width of narrow ? [1280, 390] : [1280]) {
        const page = await world.page('/doctor', { ...look, width });
        await page.waitForSelector('#doctor li');
        assert.equal(await page.locator('h1').innerText(), titles[look.locale]);
        await accessible(page);
        await fits(page);
        await world.shot(page, `doctor-${look.locale.slice(0, 2)}-${look.colorScheme}-${width}`);
      }
    }
    world.quiet();
  },
};

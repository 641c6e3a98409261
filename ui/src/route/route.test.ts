import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findHref, formatRoute, messageHref, parseRoute, type Route, traceHref } from './route';

const back = (href: string): Route => {
  const url = new URL(href, 'http://localhost');
  return parseRoute(url.pathname, url.search);
};

test('every reference survives its address', () => {
  const references = [
    'kafka:orders/0/15', 'kafka@eu-1:orders/0/15', 'ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
    'rocketmq:%RETRY%notify/broker-a%2F2/311', 'nats:shipments//8812', 'id:rabbitmq:payments:a b?c#d&e=1%',
    'kafka:../../etc/0/1', 'kafka:./0/1', 'id:nats:主题:订单 1', '<script>', 'kafka:a\\b/0/1',
  ];
  for (const reference of references) {
    const route = back(messageHref(reference));
    assert.equal(route.page === 'message' && route.reference, reference, messageHref(reference));
  }
});

test('the state of every page survives', () => {
  const routes: Route[] = [
    { page: 'home' },
    { page: 'find', q: 'dest:orders state:dead_lettered "a & b" 100%', after: 'abc/+=' },
    { page: 'message', reference: 'kafka:o/0/1', trueScale: true, event: 'ab12', raw: true },
    { page: 'trace', trace: '4bf9', after: 'x', event: 'y' },
    { page: 'traffic', since: '1h' },
    { page: 'traffic', since: '15m' },
    { page: 'doctor', since: '1h', service: '', destination: '' },
    { page: 'doctor', since: '24h', service: 'check out', destination: 'orders/1' },
  ];
  for (const route of routes) assert.deepEqual(back(formatRoute(route)), route);
});

test('addresses that people type', () => {
  assert.deepEqual(parseRoute('/', '?q=order-1'), { page: 'find', q: 'order-1', after: null });
  assert.deepEqual(parseRoute('/find', ''), { page: 'find', q: '', after: null });
  assert.equal(parseRoute('/m/', '').page, 'nowhere');
  assert.equal(parseRoute('/m/100%', '').page, 'message');
  assert.equal(parseRoute('/admin', '').page, 'nowhere');
  assert.equal(findHref('a b'), '/find?q=a+b');
  assert.equal(traceHref('4bf9'), '/t/4bf9');
});

/**
 * Serves `dist` and a made-up order, with the headers of the real server, so that the pages can be worked on without
 * it: `node dev/server.js [port]`. With `--empty` it is a server that has received nothing. A tool for developers.
 */
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coverage, messageAnswer, messages, traceEvents } from './story.js';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const empty = process.argv.includes('--empty');
const port = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 7401);
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const policy = "default-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
const none = { segments: 0, from_ns: null, to_ns: null, complete: true, why_not: [] };
const now = () => String(BigInt(Date.now()) * 1_000_000n);
const started = now();
const covered = () => (empty ? none : coverage());

const receiver = (name, n) => ({
  name, received: String(n), stored: String(n - 3), refused: '0', dropped: [{ reason: 'duplicate', events: '3' }], queued: '0',
  invalid_requests: name === 'otlp_http' && !empty ? '2' : '0', last_error: name === 'otlp_http' && !empty ? 'field 1 of ResourceSpans: length 99 is past the end' : null,
});

function find(q) {
  const words = q.split(/\s+/);
  const states = words.filter((word) => word.startsWith('state:')).map((word) => word.slice(6));
  const free = words.filter((word) => !/^\w+[:><]/.test(word) || word.includes('/'));
  const hit = (one) =>
    free.every((word) => [one.trace_id, one.message_id, ...one.keys, `${one.destination}/${one.lane}/${one.position}`, one.destination].includes(word))
    && states.every((state) => one.groups.some((group) => group.state === state))
    && (!q.includes('outcome:failed') || one.groups.some((group) => group.attempts > 1));
  const kind = (word) => (/^[0-9a-f]{32}$/.test(word) ? 'trace_id' : /\/\d+$/.test(word) ? 'position' : 'word');
  return {
    query: q, recognised: free.filter(Boolean).map((text) => ({ text, kind: kind(text) })),
    messages: empty ? [] : messages.filter(hit), coverage: covered(), next: null,
  };
}

const destinations = () => messages.map((one) => ({
  system: one.system, cluster: '', destination: one.destination, groups: one.groups.map((group) => group.group),
  sent: '1204', processed: '1180', failed: one.groups.some((group) => group.attempts > 1) ? '17' : '0', last_ns: now(),
}));

const status = () => ({
  version: '0.1.0-fixture', started_ns: started, now_ns: now(), otlp_grpc: '127.0.0.1:4317', otlp_http: '127.0.0.1:4318',
  data: './hopscope-data', receivers: [receiver('otlp_grpc', empty ? 3 : 15_206), receiver('otlp_http', empty ? 3 : 482)],
  stored_events: empty ? '0' : '15688', duplicate_events: empty ? '0' : '6', coverage: covered(),
});

function api(path, query) {
  if (path === 'status') return status();
  if (path === 'find') {
    if (query.get('q')?.includes('((')) return { error: { code: 'invalid', message: 'unknown field, field=foo', hint: 'fields are service, dest, system, group, key', retryable: false } };
    return find(query.get('q') ?? '');
  }
  if (path === 'destinations') return { destinations: empty ? [] : destinations(), coverage: covered() };
  if (path.startsWith('messages/')) return messageAnswer(decodeURIComponent(path.slice(9)));
  if (path.startsWith('traces/')) return { trace_id: path.slice(7), events: empty ? [] : traceEvents(), coverage: covered(), next: null };
  return null;
}

function live(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': open\n\n');
  if (empty) return;
  const timer = setInterval(() => {
    const events = String(Math.round(3 + 9 * Math.random()));
    response.write(`data: ${JSON.stringify({ events, trace_ids: ['0'.repeat(31) + '1'], destinations: ['elsewhere'], cut: false })}\n\n`);
  }, 500);
  response.on('close', () => clearInterval(timer));
}

const notFound = { error: { code: 'not_found', message: 'no message is named by this reference', hint: 'search for its id, key or position', retryable: false } };

createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  response.setHeader('content-security-policy', policy);
  if (url.pathname === '/api/v1/live') return live(response);
  if (url.pathname.startsWith('/api/v1/')) {
    const answer = api(url.pathname.slice(8), url.searchParams) ?? notFound;
    const code = answer.error ? (answer.error.code === 'invalid' ? 400 : 404) : 200;
    response.writeHead(code, { 'content-type': 'application/json' });
    return response.end(JSON.stringify(answer));
  }
  const file = join(dist, url.pathname);
  const found = url.pathname !== '/' && file.startsWith(dist) && existsSync(file);
  response.setHeader('content-type', types[found ? extname(file) : '.html'] ?? 'application/octet-stream');
  if (found && existsSync(`${file}.gz`) && /gzip/.test(request.headers['accept-encoding'] ?? '')) {
    response.setHeader('content-encoding', 'gzip');
    return response.end(readFileSync(`${file}.gz`));
  }
  response.end(readFileSync(found ? file : join(dist, 'index.html')));
}).listen(port, '127.0.0.1', function listening() {
  console.log(`http://127.0.0.1:${this.address().port}`);
});

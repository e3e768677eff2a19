/** What strangers may send to a listener, and what they get for it. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { concat, utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits, MIB } from '#core/limits.ts';
import { FRAME_MEDIA_TYPE, framePieces, parseFrame } from '#protocol/frame.ts';
import { rejected, until } from '#protocol/peer.contract.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import type { Listening } from '../../net.ts';
import { httpLimits } from './limits.ts';
import { makeNet } from '../net.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const narrow = {
  ...httpLimits,
  headersMsMax: 300,
  bodyPauseMsMax: 300,
  lingerMsMax: 500,
  closeGraceMs: 50,
  closeAbortMs: 50,
  requestBytesHeldMax: 50 * MIB,
};
const net = makeNet({ log: quiet, limits: narrow });
const at = { host: '127.0.0.1', port: 0 };

let callers: Caller[] = [];
let handled = 0;
const handler: Handler = async (verb, message, caller) => {
  handled += 1;
  callers.push(caller);
  if (verb !== 'echo') throw new HoldfastError('unknown_route', `there is no verb "${verb}"`);
  return message;
};
const page = async (path: string) =>
  path === '/' ? { status: 200, contentType: 'text/html; charset=utf-8', body: utf8('<p>hello') } : null;

let listening: Listening;
before(async () => {
  listening = await net.listen(at, handler, { page });
});
after(() => listening.close());

type Answer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string };

/** Sends the bytes as they are and reads until the server closes. `keepOpen`: never ends its own side. */
async function exchange(bytes: string | Uint8Array, keepOpen = false): Promise<Answer> {
  const socket = connect(listening.port, '127.0.0.1');
  const pieces: Buffer[] = [];
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('data', (piece: Buffer) => pieces.push(piece)).on('error', () => {});
  socket.write(bytes);
  if (!keepOpen) await until(() => socket.closed || isWhole(Buffer.concat(pieces)));
  if (!keepOpen) socket.end();
  await closed;
  return parseAnswer(Buffer.concat(pieces).toString('latin1'));
}

function isWhole(bytes: Buffer): boolean {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const length = /content-length: (\d+)/i.exec(text)?.[1];
  return end >= 0 && text.length >= end + 4 + Number(length ?? 0);
}

function parseAnswer(text: string): Answer {
  const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2).map((half) => half.toLowerCase())));
  return { status: Number(first.split(' ')[1]), headers, body };
}

const frame = (body: unknown, ...parts: Uint8Array[]) => concat(...framePieces({ body, parts }));
function post(path: string, content: Uint8Array, headers: Readonly<Record<string, string>> = {}): Uint8Array {
  const all = {
    host: 'x',
    'content-type': FRAME_MEDIA_TYPE,
    'content-length': String(content.length),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return concat(utf8(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), content);
}

function assertProblem(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.body);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.match(answer.headers['cache-control'] as string, /no-store/);
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.equal(problem['code'], code);
  assert.equal(problem['status'], status);
  assert.match(problem['requestId'] as string, /^[0-9a-f]{16}$/);
  assert.doesNotMatch(answer.body, /node_modules|\.ts:|\/home|at Object/);
}

test('a message is answered by a message, which nothing may keep', async () => {
  const sent = { body: { a: 1 }, parts: [Uint8Array.of(104, 105)] };
  const answer = await exchange(post('/v1/echo', frame(sent.body, ...sent.parts)));
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], FRAME_MEDIA_TYPE);
  assert.equal(answer.headers['cache-control'], 'private, no-store');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.deepEqual(parseFrame(Buffer.from(answer.body, 'latin1')).body, sent.body);
});

const empty = frame({});
const refusals: readonly (readonly [string, Uint8Array | string, number, string])[] = [
  ['no frame', post('/v1/echo', utf8('{"json": "alone"}')), 400, 'invalid_json'],
  ['an empty body', post('/v1/echo', new Uint8Array(0)), 400, 'short_body'],
  [
    'another version of the frame',
    post(
      '/v1/echo',
      Uint8Array.from(empty, (b, i) => (i === 3 ? 2 : b)),
    ),
    400,
    'invalid_json',
  ],
  ['bytes after the frame', post('/v1/echo', concat(empty, Uint8Array.of(0))), 400, 'invalid_json'],
  ['a frame that ends early', post('/v1/echo', frame({}, new Uint8Array(9)).subarray(0, -1)), 400, 'short_body'],
  [
    'bad JSON in the frame',
    post(
      '/v1/echo',
      Uint8Array.from(empty, (b, i) => (i === 12 ? 0x5b : b)),
    ),
    400,
    'invalid_json',
  ],
  [
    'bad UTF-8 in the frame',
    post(
      '/v1/echo',
      Uint8Array.from(empty, (b, i) => (i === 12 ? 0xff : b)),
    ),
    400,
    'invalid_json',
  ],
  [
    'a length that lies',
    post(
      '/v1/echo',
      Uint8Array.from(empty, (b, i) => (i === 4 ? 0xff : b)),
    ),
    413,
    'too_large',
  ],
  [
    'a body above the limit',
    post('/v1/echo', empty, { 'content-length': `${limits.messageBytesMax + 1}` }),
    413,
    'too_large',
  ],
  ['JSON', post('/v1/echo', utf8('{}'), { 'content-type': 'application/json' }), 415, 'unsupported_media'],
  ['a media type that is none', post('/v1/echo', empty, { 'content-type': ';;' }), 415, 'unsupported_media'],
  ['compressed bytes', post('/v1/echo', empty, { 'content-encoding': 'gzip' }), 415, 'unsupported_media'],
  ['an unknown verb', post('/v1/no-such-verb', empty), 404, 'unknown_route'],
  ['a verb that cannot be one', post('/v1/..%2f..%2fetc', empty), 404, 'unknown_route'],
  ['a very long verb', post(`/v1/${'x'.repeat(3000)}`, empty), 404, 'unknown_route'],
  ['a bad escape', post('/v1/%zz', empty), 400, 'invalid_json'],
  ['another address', post('/v2/echo', empty), 405, 'method_not_allowed'],
  ['GET of a verb', 'GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n', 405, 'method_not_allowed'],
  ['PUT', 'PUT /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n', 405, 'method_not_allowed'],
  [
    'OPTIONS, so that no browser sends a message across sites',
    'OPTIONS /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n',
    405,
    'method_not_allowed',
  ],
  ['an unknown page', 'GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n', 404, 'unknown_route'],
  ['a long address', `GET /${'x'.repeat(9000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 414, 'too_large'],
  ['long headers', `GET / HTTP/1.1\r\nhost: x\r\ny: ${'y'.repeat(17_000)}\r\n\r\n`, 431, 'too_large'],
  ['what is not HTTP', '\u0016\u0003\u0001 hello\r\n\r\n', 400, 'invalid_json'],
  ['two lengths', post('/v1/echo', empty, { 'transfer-encoding': 'chunked' }), 400, 'invalid_json'],
  ['a folded header', 'GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n', 400, 'invalid_json'],
  [
    'a bad chunk',
    `POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: ${FRAME_MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
    400,
    'invalid_json',
  ],
];
for (const [name, bytes, status, code] of refusals) {
  test(`refused: ${name}`, async () => {
    const answer = await exchange(bytes);
    assertProblem(answer, status, code);
    if (status === 405) assert.match(answer.headers['allow'] as string, /post|get, head/);
  });
}

test('none of the refused requests reached the handler but the one for an unknown verb', async () => {
  const beforehand = handled;
  for (const [name, bytes] of refusals) if (name !== 'an unknown verb') await exchange(bytes);
  assert.equal(handled, beforehand);
});

test('a chunked body is read, up to the limit', async () => {
  const chunked = (size: string, content: string) =>
    `POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: ${FRAME_MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n${size}\r\n${content}\r\n0\r\n\r\n`;
  const text = Buffer.from(empty).toString('latin1');
  assert.equal((await exchange(Buffer.from(chunked(text.length.toString(16), text), 'latin1'))).status, 200);
});

test('a body that the sender breaks off is a short body', async () => {
  const answer = await halfSent(post('/v1/echo', empty, { 'content-length': `${empty.length + 10}` }));
  assertProblem(answer, 400, 'short_body');
});

/** Ends its side after the bytes, as a program that was killed does. */
async function halfSent(bytes: Uint8Array): Promise<Answer> {
  const socket = connect({ port: listening.port, host: '127.0.0.1', allowHalfOpen: true });
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece)).on('error', () => {});
  const ended = new Promise<void>((resolve) => socket.once('end', () => resolve()));
  socket.end(bytes);
  await ended;
  socket.destroy();
  return parseAnswer(Buffer.concat(pieces).toString('latin1'));
}

test('a sender that falls silent inside the headers, or inside the body, is told and cut off', async () => {
  assertProblem(await exchange('POST /v1/echo HTTP/1.1\r\nhost: x\r\n', true), 408, 'short_body');
  const silent = post('/v1/echo', empty, { 'content-length': `${empty.length + 10}` });
  assertProblem(await exchange(silent, true), 408, 'short_body');
});

test('more bodies at once than may be held are answered with busy', async () => {
  const sockets: Socket[] = [];
  const open = post('/v1/echo', new Uint8Array(0), { 'content-length': `${limits.messageBytesMax}` });
  try {
    sockets.push(connect(listening.port, '127.0.0.1').on('error', () => {}));
    sockets[0]?.write(open);
    const answers: Answer[] = [];
    await until(() => sockets[0]?.bytesWritten === open.length);
    const half = post('/v1/echo', new Uint8Array(11 * MIB), {});
    answers.push(await exchange(half));
    assertProblem(answers[0] as Answer, 503, 'busy');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const small = () => exchange(post('/v1/echo', frame({}, new Uint8Array(11 * MIB))));
  await eventually(async () => (await small()).status === 200);
});

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!(await condition())) assert.ok(Date.now() < endMs, 'not in time');
}

test('a page has a policy of its own, and HEAD', async () => {
  const got = await exchange('GET /?x=1 HTTP/1.1\r\nhost: x\r\n\r\n');
  assert.equal(got.status, 200);
  assert.equal(got.body, '<p>hello');
  assert.match(got.headers['content-security-policy'] as string, /^default-src 'none';.*style-src 'unsafe-inline'$/);
  const { headers, body } = await exchange('HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', true);
  assert.equal(headers['content-length'], '8');
  assert.equal(body, '');
});

test('a token is carried as it is; anything else in its place proves nothing', async () => {
  callers = [];
  for (const authorization of ['Bearer hfd1.id.secret', 'bearer x', 'Basic dXNlcg==', 'Bearer a b', 'Bearer']) {
    await exchange(post('/v1/echo', empty, { authorization }));
  }
  assert.deepEqual(
    callers.map((caller) => (caller.kind === 'bearer' ? caller.token : caller.kind)),
    ['hfd1.id.secret', 'x', 'anonymous', 'anonymous', 'anonymous'],
  );
  assert.equal(callers[0]?.address, '127.0.0.1');
});

test('a port that is taken is said, with its number', async () => {
  const error = await rejected(net.listen({ host: '127.0.0.1', port: listening.port }, handler, {}), 'port_in_use');
  assert.match(error.message, new RegExp(`port ${listening.port} `));
  assert.deepEqual(error.facts, { port: listening.port });
});

test('closing lets a request end, and stops one that does not', async () => {
  const seen = { started: 0, reason: null as unknown };
  let finish = () => {};
  const slow: Handler = (verb, message, _, signal) =>
    new Promise((resolve, reject) => {
      seen.started += 1;
      if (verb === 'finishes') finish = () => resolve(message);
      else signal.addEventListener('abort', () => reject((seen.reason = signal.reason)), { once: true });
    });
  const other = await makeNet({ log: quiet, limits: { ...narrow, closeGraceMs: 500 } }).listen(at, slow, {});
  const peer = net.connect(`http://127.0.0.1:${other.port}`, { kind: 'loopback' }, {});
  const never = new AbortController().signal;
  const finishes = peer.call('finishes', { body: { a: 1 }, parts: [] }, never);
  const holds = rejected(peer.call('holds', { body: {}, parts: [] }, never), 'stopping');
  await until(() => seen.started === 2);
  const closed = other.close();
  finish();
  assert.deepEqual((await finishes).body, { a: 1 });
  await holds;
  await closed;
  assert.ok(seen.reason instanceof HoldfastError && seen.reason.code === 'stopping');
  await rejected(peer.call('finishes', { body: {}, parts: [] }, never), 'unreachable');
  await peer.close();
});

test('a defect reaches the log under the id that the caller was told', async () => {
  const logged: Readonly<Record<string, unknown>>[] = [];
  const log = { ...quiet, error: (_: string, facts = {}) => void logged.push(facts) };
  const broken = await makeNet({ log }).listen(at, async () => Promise.reject(new TypeError('broken')), {});
  const response = await fetch(`http://127.0.0.1:${broken.port}/v1/x`, {
    method: 'POST',
    headers: { 'content-type': FRAME_MEDIA_TYPE },
    body: empty as Uint8Array<ArrayBuffer>,
  });
  const problem = (await response.json()) as Record<string, unknown>;
  assert.equal(problem['code'], 'defect');
  assert.equal(logged[0]?.['requestId'], problem['requestId']);
  assert.ok(logged[0]?.['error'] instanceof TypeError);
  await broken.close();
});

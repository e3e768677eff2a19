/** Who is at the other end of a connection, as both sides prove it. */
import assert from 'node:assert/strict';
import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { after, before, beforeEach, test } from 'node:test';
import { Defect } from '#core/assert.ts';
import { concat, utf8 } from '#core/bytes.ts';
import { MIB } from '#core/limits.ts';
import { FRAME_MEDIA_TYPE, framePieces } from '#protocol/frame.ts';
import { rejected, until } from '#protocol/peer.contract.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import type { Listening, Proof, TlsIdentity } from '../../net.ts';
import { wasNotSent } from '../../not-sent.ts';
import { httpLimits } from './limits.ts';
import { makeNet } from '../net.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const net = makeNet({ log: quiet });
const at = { host: '127.0.0.1', port: 0 };
const never = new AbortController().signal;
const empty = { body: {}, parts: [] };

/** Of the servers below that are no listeners of ours. */
const open = new Set<Socket>();
const callers: Caller[] = [];
const handler: Handler = async (_, message, caller) => {
  callers.push(caller);
  return message;
};
let identity: TlsIdentity;
let other: TlsIdentity;
let listening: Listening;
let address: string;
before(async () => {
  [identity, other] = await Promise.all([net.makeTlsIdentity('a, b=c "d"'), net.makeTlsIdentity('other')]);
  listening = await net.listen(at, handler, { identity });
  address = `https://127.0.0.1:${listening.port}`;
});
beforeEach(() => void callers.splice(0));
after(async () => {
  for (const socket of open) socket.destroy();
  await listening.close();
});

type Options = { readonly credential?: string; readonly show?: TlsIdentity };
async function callOnce(proof: Proof, options: Options = {}, to = address): Promise<void> {
  const peer = net.connect(to, proof, options);
  try {
    await peer.call('keys', empty, never);
  } finally {
    await peer.close();
  }
}

test('the pinned key is talked to', async () => {
  await callOnce({ kind: 'pinned', pins: [other.pin, identity.pin] }, { credential: 'hfd1.a.b' });
  assert.equal(callers[0]?.kind, 'bearer');
});

test('another key is refused before a byte of the request, and so is no pin at all', async () => {
  for (const pins of [[other.pin], []]) {
    const call = callOnce({ kind: 'pinned', pins }, { credential: 'hfd1.a.b' });
    assert.ok(wasNotSent(await rejected(call, 'unknown_pin')));
  }
  assert.equal(callers.length, 0);
});

test('a certificate that no authority vouches for is refused where one must', async () => {
  await rejected(callOnce({ kind: 'public' }, { credential: 'hfd1.a.b' }), 'unknown_pin');
  assert.equal(callers.length, 0);
});

test('a stranger is asked for its keys alone, and shown nothing', async () => {
  await callOnce({ kind: 'unverified' });
  assert.equal(callers[0]?.kind, 'anonymous');
  assert.throws(() => net.connect(address, { kind: 'unverified' }, { credential: 'x' }), Defect);
  assert.throws(() => net.connect(address, { kind: 'unverified' }, { show: other }), Defect);
  const peer = net.connect(address, { kind: 'unverified' }, {});
  await assert.rejects(peer.call('redeem', empty, never), Defect);
  await peer.close();
});

test("a caller's key is its pin; a key and a token together are refused", async () => {
  await callOnce({ kind: 'pinned', pins: [identity.pin] }, { show: other });
  assert.deepEqual(callers[0], { kind: 'pinned', pin: other.pin, address: '127.0.0.1' });
  assert.throws(() => net.connect(address, { kind: 'public' }, { show: other, credential: 'x' }), Defect);
  const socket = await tlsSocket({ key: other.privateKeyPem, cert: other.certificatePem });
  socket.write(post('/v1/keys', 'authorization: Bearer hfd1.a.b\r\n'));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 401 .*"code":"unauthenticated"/s);
  assert.equal(callers.length, 1);
  socket.destroy();
});

function post(path: string, headers: string): Uint8Array {
  const content = concat(...framePieces(empty));
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}content-type: ${FRAME_MEDIA_TYPE}\r\ncontent-length: ${content.length}\r\n\r\n`;
  return concat(utf8(head), content);
}

async function tlsSocket(options: { key?: string; cert?: string; session?: Buffer; maxVersion?: 'TLSv1.2' } = {}) {
  const socket = connectTls({ host: '127.0.0.1', port: listening.port, rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

test('a session is never resumed: each connection proves its keys anew', async () => {
  const first = await tlsSocket({ key: other.privateKeyPem, cert: other.certificatePem });
  const sessions: Buffer[] = [];
  first.on('session', (session) => sessions.push(session));
  first.write(post('/v1/keys', ''));
  await once(first, 'data');
  first.destroy();
  const session = sessions[0] ?? first.getSession();
  assert.ok(session, 'a client that asks for a session has one to show');
  callers.splice(0);
  const second: TLSSocket = await tlsSocket({ session });
  assert.equal(second.isSessionReused(), false);
  second.write(post('/v1/keys', ''));
  await once(second, 'data');
  assert.equal(callers[0]?.kind, 'anonymous');
  second.destroy();
});

test('nothing below TLS 1.3 is spoken', async () => {
  await assert.rejects(tlsSocket({ maxVersion: 'TLSv1.2' }));
});

test('a replaced key is shown to new connections; who pinned the old one refuses it', async () => {
  const own = await net.listen(at, handler, { identity });
  const to = `https://127.0.0.1:${own.port}`;
  await callOnce({ kind: 'pinned', pins: [identity.pin] }, {}, to);
  own.replaceIdentity(other);
  await rejected(callOnce({ kind: 'pinned', pins: [identity.pin] }, {}, to), 'unknown_pin');
  await callOnce({ kind: 'pinned', pins: [other.pin] }, { show: identity }, to);
  assert.equal(callers.at(-1)?.kind, 'pinned');
  await own.close();
});

test('what does not speak TLS, hangs up, or is not there, is unreachable, and nothing was sent', async () => {
  const plain = await net.listen(at, handler, {});
  const pinned: Proof = { kind: 'pinned', pins: [identity.pin] };
  const failed = [await rejected(callOnce(pinned, {}, `https://127.0.0.1:${plain.port}`), 'unreachable')];
  const port = plain.port;
  await plain.close();
  failed.push(await rejected(callOnce(pinned, {}, `https://127.0.0.1:${port}`), 'unreachable'));
  failed.push(await rejected(callOnce({ kind: 'loopback' }, {}, `http://127.0.0.1:${port}`), 'unreachable'));
  const hangsUp = await tcpServer((socket) => socket.destroy());
  const { port: hangsUpAt } = hangsUp.address() as AddressInfo;
  failed.push(await rejected(callOnce(pinned, {}, `https://127.0.0.1:${hangsUpAt}`), 'unreachable'));
  hangsUp.close();
  for (const error of failed) {
    assert.ok(wasNotSent(error));
    assert.match(error.message, /127\.0\.0\.1:\d+/);
    assert.doesNotMatch(error.message, /E[A-Z]{5,}/);
  }
});

async function tcpServer(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    open.add(socket);
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('a connection that is not made in time is unreachable', async () => {
  const silent = await tcpServer(() => {});
  const hasty = makeNet({ log: quiet, limits: { ...httpLimits, connectMsMax: 50 } });
  const { port } = silent.address() as AddressInfo;
  const peer = hasty.connect(`https://127.0.0.1:${port}`, { kind: 'pinned', pins: [identity.pin] }, {});
  assert.ok(wasNotSent(await rejected(peer.call('x', empty, never), 'unreachable')));
  await peer.close();
  silent.close();
});

test('plain http goes to this machine alone, and every address is just that', () => {
  const pinned: Proof = { kind: 'pinned', pins: [] };
  const loopback: Proof = { kind: 'loopback' };
  const refused: readonly (readonly [string, Proof])[] = [
    ['http://192.168.1.2:1', loopback],
    ['http://example.org', loopback],
    ['http://127.0.0.1.example.org:1', loopback],
    ['http://0.0.0.0:1', loopback],
    ['https://127.0.0.1:1', loopback],
    ['http://127.0.0.1:1', pinned],
    ['http://127.0.0.1:1', { kind: 'public' }],
    ['https://h:1/path', pinned],
    ['https://user@h:1', pinned],
    ['https://h:1?x', pinned],
    ['ftp://h:1', pinned],
    ['h:1', pinned],
    ['', pinned],
  ];
  for (const [to, proof] of refused) {
    assert.throws(
      () => net.connect(to, proof, {}),
      (error) => (error as { code?: string }).code === 'invalid_field',
      to,
    );
  }
  for (const to of ['http://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1']) net.connect(to, loopback, {});
});

test('own addresses are those that others may use', () => {
  for (const one of net.ownAddresses()) assert.doesNotMatch(one, /^(127\.|::1$|fe80)/);
});

test('a server that goes away inside its answer leaves the call unreachable, its outcome unknown', async () => {
  const answers = [
    'HTTP/1.1 200 OK\r\n',
    `HTTP/1.1 200 OK\r\ncontent-type: ${FRAME_MEDIA_TYPE}\r\ncontent-length: 1000\r\n\r\nHFP`,
    `HTTP/1.1 200 OK\r\ncontent-type: ${FRAME_MEDIA_TYPE}\r\ncontent-length: 3\r\n\r\nHFP`,
    `HTTP/1.1 200 OK\r\ncontent-type: ${FRAME_MEDIA_TYPE}\r\ncontent-length: 99999999999\r\n\r\nHFP`,
    'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi',
    'HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi',
    'HTTP/1.1 500 X\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}',
    'not HTTP at all\r\n\r\n',
  ];
  let next = 0;
  const server = await tcpServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.end(answers[next++] as string));
  });
  const { port } = server.address() as AddressInfo;
  for (const answer of answers) {
    const error = await rejected(callOnce({ kind: 'loopback' }, {}, `http://127.0.0.1:${port}`), 'unreachable');
    assert.equal(wasNotSent(error), false, answer);
  }
  assert.equal(next, answers.length);
  server.close();
});

test('an answer that does not begin in time is a timeout', async () => {
  const silent = await tcpServer((socket) => void socket.on('error', () => {}).resume());
  const hasty = makeNet({ log: quiet, limits: { ...httpLimits, answerMsMax: 50 } });
  const peer = hasty.connect(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, { kind: 'loopback' }, {});
  const error = await rejected(peer.call('x', empty, never), 'timeout');
  assert.equal(wasNotSent(error), false);
  await peer.close();
  silent.close();
});

/** Bytes of array buffers that somebody still holds. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().arrayBuffers;
}

test('two transfers of 8 MiB at once are each held once at either end, and nowhere in between', async () => {
  const part = new Uint8Array(8 * MIB).fill(3);
  let arrived = 0;
  let heldByServer = 0;
  const echo: Handler = async (_, message) => {
    arrived += 1;
    await until(() => arrived === 2);
    heldByServer = heldBytes();
    return message;
  };
  const own = await net.listen(at, echo, { identity });
  const peer = net.connect(`https://127.0.0.1:${own.port}`, { kind: 'pinned', pins: [identity.pin] }, {});
  try {
    const before = heldBytes();
    const answers = await Promise.all([1, 2].map(() => peer.call('echo', { body: {}, parts: [part] }, never)));
    const slackBytes = 3 * MIB;
    assert.ok(heldByServer - before < 2 * part.length + slackBytes, `${heldByServer - before} bytes at the server`);
    await until(() => heldBytes() - before < 2 * part.length + slackBytes);
    for (const answer of answers) assert.equal(answer.parts[0]?.length, part.length);
  } finally {
    await peer.close();
    await own.close();
  }
});

test('a connection that sends nothing does not keep a listener open', async () => {
  const own = await net.listen(at, handler, { identity });
  const socket = connectTcp(own.port, '127.0.0.1');
  await once(socket, 'connect');
  const gone = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()));
  await own.close();
  await gone;
  await until(() => socket.destroyed);
});

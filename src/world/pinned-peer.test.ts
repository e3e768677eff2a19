import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import type { Pin } from '#core/ids.ts';
import { clusterIdOf, signKeyList, type KeyList } from '#core/key-list.ts';
import { rejected } from '#protocol/peer.contract.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import type { Listening, TlsIdentity } from './net.ts';
import { pinnedPeer, type PinnedPeerOptions } from './pinned-peer.ts';
import { makeNet } from './real/net.ts';
import { nodePrimitives as p } from './real/primitives.ts';

const net = makeNet({ log: { info: () => {}, warn: () => {}, error: () => {} } });
const at = { host: '127.0.0.1', port: 0 };
const never = new AbortController().signal;
const seed = new Uint8Array(32).fill(1);
const publicKey = p.ed25519PublicKey(seed);
const cluster = clusterIdOf(p, publicKey);

let first: TlsIdentity;
let second: TlsIdentity;
let closed: string;
before(async () => {
  [first, second] = await Promise.all([net.makeTlsIdentity('first'), net.makeTlsIdentity('second')]);
  const gone = await net.listen(at, async (_, message) => message, {});
  closed = `https://127.0.0.1:${gone.port}`;
  await gone.close();
});

const listOf = (incarnation: number, seq: number, ...pins: readonly Pin[]): KeyList => ({
  cluster,
  publicKey,
  incarnation,
  seq,
  ticketKeys: [],
  pins,
});

type Seen = { readonly verb: string; readonly caller: Caller };
type Server = {
  readonly listening: Listening;
  readonly address: string;
  readonly seen: Seen[];
  keys: Uint8Array | null;
};

const servers: Listening[] = [];
after(async () => {
  await Promise.all(servers.map((listening) => listening.close()));
});

async function serve(identity: TlsIdentity): Promise<Server> {
  const seen: Seen[] = [];
  const handler: Handler = async (verb, message, caller) => {
    seen.push({ verb, caller });
    if (verb !== 'keys') return message;
    if (!server.keys) throw new HoldfastError('unknown_route', 'no keys');
    return { body: { incarnation: 1, seq: 1 }, parts: [server.keys] };
  };
  const listening = await net.listen(at, handler, { identity });
  servers.push(listening);
  const server: Server = { listening, address: `https://127.0.0.1:${listening.port}`, seen, keys: null };
  return server;
}

type Kept = { readonly list: KeyList; readonly bytes: Uint8Array };
function peerOf(options: Partial<PinnedPeerOptions> & { readonly addresses: readonly string[] }) {
  const kept: Kept[] = [];
  const peer = pinnedPeer(net, {
    primitives: p,
    cluster,
    keyList: listOf(1, 5, first.pin),
    credential: 'hfd1.id.secret',
    onKeyList: async (list, bytes) => void kept.push({ list, bytes }),
    ...options,
  });
  const call = (signal = never) => peer.call('hello', { body: { a: 1 }, parts: [] }, signal);
  return { peer, kept, call };
}

/** Everything that a server saw of a client that does not trust it. */
function assertShownNothing(server: Server): void {
  for (const { verb, caller } of server.seen) assert.deepEqual([verb, caller.kind], ['keys', 'anonymous']);
}

test('a key of the list is trusted, without asking for another list', async () => {
  const server = await serve(first);
  const { peer, kept, call } = peerOf({ addresses: [server.address] });
  assert.deepEqual((await call()).body, { a: 1 });
  assert.deepEqual(
    server.seen.map(({ verb }) => verb),
    ['hello'],
  );
  assert.equal(kept.length, 0);
  await peer.close();
});

test('a new key that the identity signed is kept first, then used', async () => {
  const server = await serve(second);
  server.keys = signKeyList(p, seed, listOf(1, 6, first.pin, second.pin));
  const { peer, kept, call } = peerOf({ addresses: [server.address] });
  assert.deepEqual((await call()).body, { a: 1 });
  assert.deepEqual(kept, [{ list: listOf(1, 6, first.pin, second.pin), bytes: server.keys }]);
  assert.deepEqual(
    server.seen.map(({ verb, caller }) => [verb, caller.kind]),
    [
      ['keys', 'anonymous'],
      ['hello', 'bearer'],
    ],
  );
  await peer.close();
});

test('several calls that meet a new key at once learn it once', async () => {
  const server = await serve(second);
  server.keys = signKeyList(p, seed, listOf(2, 1, second.pin));
  const { peer, kept, call } = peerOf({ addresses: [server.address] });
  await Promise.all([call(), call(), call()]);
  assert.equal(kept.length, 1);
  await peer.close();
});

test('a key that the identity did not sign is refused, and shown nothing', async () => {
  const forger = new Uint8Array(32).fill(2);
  const forged = { ...listOf(9, 9, second.pin), publicKey: p.ed25519PublicKey(forger) };
  const newer = signKeyList(p, seed, listOf(1, 6, second.pin));
  const bent = newer.slice();
  bent[bent.length - 1] = (bent.at(-1) as number) ^ 1;
  const offers: readonly (readonly [string, Uint8Array | null])[] = [
    ['none', null],
    ['of another identity', signKeyList(p, forger, { ...forged, cluster: clusterIdOf(p, forged.publicKey) })],
    ['a bit flipped', bent],
    ['cut', newer.subarray(0, -1)],
    ['empty', new Uint8Array(0)],
    ['as old as the one at hand', signKeyList(p, seed, listOf(1, 5, second.pin))],
    ['older', signKeyList(p, seed, listOf(0, 99, second.pin))],
  ];
  for (const [name, offer] of offers) {
    const server = await serve(second);
    server.keys = offer;
    const { peer, kept, call } = peerOf({ addresses: [server.address] });
    await rejected(call(), 'unknown_pin');
    assert.equal(kept.length, 0, name);
    assertShownNothing(server);
    await peer.close();
  }
});

test('a newer list without the shown key is kept, and the key is refused', async () => {
  const server = await serve(second);
  server.keys = signKeyList(p, seed, listOf(1, 7, 'ab'.repeat(32) as Pin));
  const { peer, kept, call } = peerOf({ addresses: [server.address] });
  await rejected(call(), 'unknown_pin');
  assert.equal(kept[0]?.list.seq, 7);
  assertShownNothing(server);
  await peer.close();
});

test('a list that cannot be kept is not used', async () => {
  const server = await serve(second);
  server.keys = signKeyList(p, seed, listOf(1, 7, second.pin));
  const onKeyList = () => Promise.reject(new HoldfastError('no_space', 'the disk is full'));
  const { peer, call } = peerOf({ addresses: [server.address], onKeyList });
  await rejected(call(), 'no_space');
  await rejected(call(), 'no_space');
  assertShownNothing(server);
  await peer.close();
});

test("an invite's pin is trusted until there is a list, and no longer", async () => {
  const server = await serve(first);
  const invited = peerOf({ addresses: [server.address], keyList: null, pins: [first.pin] });
  await invited.call();
  const listed = peerOf({ addresses: [server.address], keyList: listOf(1, 5, second.pin), pins: [first.pin] });
  await rejected(listed.call(), 'unknown_pin');
  const none = peerOf({ addresses: [server.address], keyList: null });
  await rejected(none.call(), 'unknown_pin');
  server.keys = signKeyList(p, seed, listOf(1, 1, first.pin));
  await none.call();
  assert.equal(none.kept.length, 1);
  for (const { peer } of [invited, listed, none]) await peer.close();
});

test('an address that cannot be reached, or is no address, is passed over; the good one is remembered', async () => {
  const server = await serve(first);
  const { peer, call } = peerOf({ addresses: [closed, 'nonsense', 'http://192.168.0.1:1', server.address] });
  await call();
  await call();
  assert.equal(server.seen.length, 2);
  await peer.close();
});

test("a stranger on the cluster's old address is passed over, and shown nothing", async () => {
  const [stranger, server] = [await serve(second), await serve(first)];
  const { peer, call } = peerOf({ addresses: [stranger.address, server.address] });
  await call();
  assertShownNothing(stranger);
  await peer.close();
});

test('where none answers, the error is one that time may heal, if there is any', async () => {
  const stranger = await serve(second);
  const mixed = peerOf({ addresses: [stranger.address, closed] });
  await rejected(mixed.call(), 'unreachable');
  const strangers = peerOf({ addresses: [stranger.address] });
  await rejected(strangers.call(), 'unknown_pin');
  await mixed.peer.close();
  await strangers.peer.close();
});

test('a request that may have arrived is never sent to another address', async () => {
  const server = await serve(first);
  let requests = 0;
  const dying = createServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', () => {
        requests += 1;
        socket.destroy();
      });
  }).listen(0, '127.0.0.1');
  await once(dying, 'listening');
  const { peer, call } = peerOf({
    addresses: [`http://127.0.0.1:${(dying.address() as AddressInfo).port}`, server.address],
  });
  await rejected(call(), 'unreachable');
  assert.equal(requests, 1);
  assert.equal(server.seen.length, 0);
  await peer.close();
  dying.close();
});

test('an error that the server answers with is the answer', async () => {
  const server = await serve(first);
  const { peer } = peerOf({ addresses: [server.address, closed] });
  await rejected(peer.call('keys', { body: {}, parts: [] }, never), 'unknown_route');
  assert.equal(server.seen.length, 1);
  await peer.close();
});

test('a closed peer, and a call that was given up, ask nobody', async () => {
  const server = await serve(first);
  const { peer, call } = peerOf({ addresses: [server.address] });
  await rejected(call(AbortSignal.abort()), 'timeout');
  await peer.close();
  await rejected(call(), 'unreachable');
  assert.equal(server.seen.length, 0);
});

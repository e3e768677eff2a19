import { once } from 'node:events';
import { test } from 'node:test';
import { MIB } from '#core/limits.ts';
import { peerContract, rejected, until } from '#protocol/peer.contract.ts';
import type { Handler } from '#protocol/wire.ts';
import type { Proof } from '../net.ts';
import { httpLimits } from './http/limits.ts';
import { makeNet } from './net.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const net = makeNet({ log: quiet });
const identity = await net.makeTlsIdentity('holdfast test');
const at = { host: '127.0.0.1', port: 0 };

peerContract('http', async (handler, credential) => {
  const listening = await net.listen(at, handler, {});
  const options = credential === undefined ? {} : { credential };
  const peer = net.connect(`http://127.0.0.1:${listening.port}`, { kind: 'loopback' }, options);
  return { peer, end: () => Promise.all([peer.close(), listening.close()]).then(() => {}) };
});

peerContract('https', async (handler, credential) => {
  const listening = await net.listen(at, handler, { identity });
  const options = credential === undefined ? {} : { credential };
  const peer = net.connect(`https://127.0.0.1:${listening.port}`, { kind: 'pinned', pins: [identity.pin] }, options);
  return { peer, end: () => Promise.all([peer.close(), listening.close()]).then(() => {}) };
});

const never = new AbortController().signal;

test('a server that was restarted is reached again, over a new connection', async () => {
  const echo: Handler = async (_, message) => message;
  const first = await net.listen(at, echo, { identity });
  const pinned: Proof = { kind: 'pinned', pins: [identity.pin] };
  const peer = net.connect(`https://127.0.0.1:${first.port}`, pinned, {});
  await peer.call('echo', { body: {}, parts: [] }, never);
  await first.close();
  await rejected(peer.call('echo', { body: {}, parts: [] }, never), 'unreachable');
  const second = await net.listen({ ...at, port: first.port }, echo, { identity });
  await peer.call('echo', { body: {}, parts: [] }, never);
  await peer.close();
  await second.close();
});

test('a refusal reaches a sender that is still sending', async () => {
  const small = makeNet({ log: quiet, limits: { ...httpLimits, requestBytesHeldMax: 1 * MIB } });
  for (const proof of [{ kind: 'loopback' }, { kind: 'pinned', pins: [identity.pin] }] as const) {
    const tls = proof.kind === 'pinned';
    const listening = await small.listen(at, async (_, message) => message, tls ? { identity } : {});
    const peer = net.connect(`${tls ? 'https' : 'http'}://127.0.0.1:${listening.port}`, proof, {});
    for (let attempt = 0; attempt < 3; attempt++) {
      const message = { body: {}, parts: [new Uint8Array(16 * MIB)] };
      await rejected(peer.call('echo', message, never), 'busy');
    }
    await peer.call('echo', { body: {}, parts: [] }, never);
    await peer.close();
    await listening.close();
  }
});

test('held calls leave room for others, up to the connections of a peer', async () => {
  let held = 0;
  const listening = await net.listen(
    at,
    async (verb, message, _, signal) => {
      if (verb === 'hold') {
        held += 1;
        await once(signal, 'abort');
      }
      return message;
    },
    {},
  );
  const peer = net.connect(`http://127.0.0.1:${listening.port}`, { kind: 'loopback' }, {});
  const calls = Array.from({ length: httpLimits.connectionsPerPeer - 1 }, () =>
    rejected(peer.call('hold', { body: {}, parts: [] }, never), 'unreachable'),
  );
  await until(() => held === calls.length);
  for (let call = 0; call < 10; call++) await peer.call('echo', { body: {}, parts: [] }, never);
  await peer.close();
  await Promise.all(calls);
  await listening.close();
});

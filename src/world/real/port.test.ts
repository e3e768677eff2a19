import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { HoldfastError } from '#core/errors.ts';
import type { Pin } from '#core/ids.ts';
import { peerContract, rejected, until } from '#protocol/peer.contract.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import { bearerOverPort, pinnedOverPort, portPeer, servePort } from './port.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const never = new AbortController().signal;

peerContract('port', async (handler, credential) => {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, handler, bearerOverPort, quiet);
  const peer = portPeer(port2, credential);
  return { peer, end: () => peer.close() };
});

test('large answers that own their buffer are moved, everything else is copied', async () => {
  const large = new Uint8Array(100_000).fill(7);
  const small = Uint8Array.of(1, 2, 3);
  const view = new Uint8Array(400_000).fill(9).subarray(100, 200_100);
  const { port1, port2 } = new MessageChannel();
  servePort(port1, async () => ({ body: {}, parts: [large, small, view, large] }), bearerOverPort);
  const peer = portPeer(port2);
  const { parts } = await peer.call('x', { body: {}, parts: [] }, never);
  assert.deepEqual(
    parts.map((part) => [part.length, part[0], part.at(-1)]),
    [
      [100_000, 7, 7],
      [3, 1, 3],
      [200_000, 9, 9],
      [100_000, 7, 7],
    ],
  );
  assert.equal(large.length, 0);
  assert.deepEqual([...small], [1, 2, 3]);
  assert.equal(view.length, 200_000);
  await peer.close();
});

test('an answer whose memory was moved away before is a defect, not a call without an end', async () => {
  const kept = new Uint8Array(100_000);
  const { port1, port2 } = new MessageChannel();
  servePort(port1, async () => ({ body: {}, parts: [kept] }), bearerOverPort, quiet);
  const peer = portPeer(port2);
  await peer.call('x', { body: {}, parts: [] }, never);
  await rejected(peer.call('x', { body: {}, parts: [] }, never), 'defect');
  await peer.close();
});

test('a port of a known role makes its caller the holder of that key', async () => {
  let seen: Caller | null = null;
  const handler: Handler = async (_, message, caller) => {
    seen = caller;
    return message;
  };
  const { port1, port2 } = new MessageChannel();
  servePort(port1, handler, pinnedOverPort('ab'.repeat(32) as Pin));
  const peer = portPeer(port2, 'hfd1.id.secret');
  await peer.call('x', { body: {}, parts: [] }, never);
  assert.deepEqual(seen, { kind: 'pinned', pin: 'ab'.repeat(32), address: 'another thread' });
  await peer.close();
});

test('a defect reaches the log, with its stack', async () => {
  const logged: unknown[] = [];
  const { port1, port2 } = new MessageChannel();
  const broken: Handler = async () => {
    throw new TypeError('broken');
  };
  servePort(port1, broken, bearerOverPort, { ...quiet, error: (_, facts) => logged.push(facts?.['error']) });
  const peer = portPeer(port2);
  await rejected(peer.call('x', { body: {}, parts: [] }, never), 'defect');
  assert.ok(logged[0] instanceof TypeError);
  await peer.close();
});

test('the serving side closing ends pending calls, and aborts their handlers', async () => {
  let started = 0;
  let reason: unknown = null;
  const { port1, port2 } = new MessageChannel();
  const serving = servePort(
    port1,
    (_, __, ___, signal) =>
      new Promise((_resolve, reject) => {
        started += 1;
        signal.addEventListener('abort', () => reject((reason = signal.reason)), { once: true });
      }),
    bearerOverPort,
    quiet,
  );
  const peer = portPeer(port2);
  const call = rejected(peer.call('x', { body: {}, parts: [] }, never), 'unreachable');
  await until(() => started === 1);
  serving.close();
  await call;
  assert.ok(reason instanceof HoldfastError);
});

test('a thread that dies leaves its callers with unreachable', async () => {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     workerData.port.on('message', () => process.exit(1));`,
    { eval: true, workerData: { port: port1 }, transferList: [port1] },
  );
  const peer = portPeer(port2);
  await rejected(peer.call('x', { body: {}, parts: [] }, never), 'unreachable');
  await rejected(peer.call('x', { body: {}, parts: [] }, never), 'unreachable');
  await worker.terminate();
});

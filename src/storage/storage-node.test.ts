import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { blockStoreContract, randomBlock } from '#blocks/block-store.contract.ts';
import { RemoteBlockStore } from '#blocks/remote-block-store.ts';
import { hasCode, type ErrorCode } from '#core/errors.ts';
import type { BlockId, ClusterId, NodeId, Pin } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { ask } from '#protocol/call.ts';
import { nodeDelete, nodeGet, nodeHas, nodeKeys, nodePut, nodeStatus } from '#protocol/node.ts';
import type { Caller } from '#protocol/wire.ts';
import { realDisk } from '#world/real/disk.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { writeNodeIdentity } from './node-identity.ts';
import { startStorageNode } from './storage-node.ts';
import {
  cluster,
  deleteOrder,
  identity,
  keyList,
  newDirectory,
  newNode,
  optionsIn,
  peerOf,
  serverPin,
  startIn,
  testNode,
} from './storage-node.contract.ts';

const { signal } = new AbortController();
const otherPin = '6'.repeat(64) as Pin;
const failsWith = (code: ErrorCode) => (error: unknown) => hasCode(error, code);
const shownBy = (pin: string): Caller => ({ kind: 'pinned', pin, address: 'here' });

blockStoreContract('a storage node across a connection', async () => {
  return new RemoteBlockStore(peerOf(await newNode()), nodePrimitives);
});

test('nobody but the server is served, whatever the verb', async () => {
  const node = await newNode();
  const { id, bytes } = randomBlock(10);
  const callers: readonly (readonly [Caller, ErrorCode])[] = [
    [shownBy(otherPin), 'unknown_pin'],
    [{ kind: 'anonymous', address: 'here' }, 'unauthenticated'],
    [{ kind: 'bearer', token: serverPin, address: 'here' }, 'unauthenticated'],
  ];
  for (const [caller, code] of callers) {
    const peer = peerOf(node, caller);
    await assert.rejects(ask(peer, nodePut, { fence: 0, blocks: [id] }, signal, [bytes]), failsWith(code));
    await assert.rejects(ask(peer, nodeGet, { blocks: [id] }, signal), failsWith(code));
    await assert.rejects(ask(peer, nodeHas, { blocks: [id] }, signal), failsWith(code));
    await assert.rejects(ask(peer, nodeStatus, {}, signal), failsWith(code));
  }
  assert.deepEqual((await ask(peerOf(node), nodeHas, { blocks: [id] }, signal)).response.held, [false]);
});

test('a newer key list is taken from anybody, for its signature; an older one, and a forged one, from nobody', async () => {
  const node = await newNode();
  const stranger = peerOf(node, shownBy(otherPin));
  const offer = async (bytes: Uint8Array) => (await ask(stranger, nodeKeys, {}, signal, [bytes])).response;
  const forged = keyList(9, 9, [otherPin]);
  forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1;
  await assert.rejects(offer(forged), failsWith('forbidden'));
  await assert.rejects(ask(stranger, nodeKeys, {}, signal, []), failsWith('invalid_field'));
  await assert.rejects(ask(stranger, nodeStatus, {}, signal), failsWith('unknown_pin'));
  assert.deepEqual(await offer(keyList(2, 5, [serverPin, otherPin])), { incarnation: 2, seq: 5 });
  await ask(stranger, nodeStatus, {}, signal);
  for (const old of [keyList(2, 5, []), keyList(2, 4, []), keyList(1, 99, [])])
    assert.deepEqual(await offer(old), { incarnation: 2, seq: 5 });
  await ask(stranger, nodeStatus, {}, signal);
  assert.deepEqual(await offer(keyList(3, 0, [otherPin])), { incarnation: 3, seq: 0 });
  await assert.rejects(ask(peerOf(node), nodeStatus, {}, signal), failsWith('unknown_pin'));
});

test('lists that arrive at once leave the newest', async () => {
  const node = await newNode();
  await Promise.all([7, 3, 9, 2, 8].map((seq) => node.offerKeyList(keyList(1, seq))));
  assert.equal(node.keyList()?.seq, 9);
});

test('identity, keys and blocks outlive a restart; each start is counted', async () => {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  const block = randomBlock(100);
  for (let boot = 1; boot <= 3; boot++) {
    const node = await startIn(directory);
    if (boot === 1) await node.offerKeyList(keyList(4, 2));
    assert.equal(node.keyList()?.incarnation, 4);
    const { response } = await ask(peerOf(node), nodeStatus, {}, signal);
    assert.deepEqual(
      { ...response, freeBytes: 0, run: '' },
      {
        node: testNode,
        run: '',
        cluster,
        version: '0.0.0-test',
        boot,
        pool: 'others',
        state: 'ok',
        blocks: boot === 1 ? 0 : 1,
        storedBytes: boot === 1 ? 0 : 100,
        deadBytes: 0,
        freeBytes: 0,
        quarantined: 0,
      },
    );
    const { response: put } = await ask(peerOf(node), nodePut, { fence: 0, blocks: [block.id] }, signal, [block.bytes]);
    assert.deepEqual(put.results, [boot === 1 ? 'stored' : 'held']);
    await node.close();
  }
});

test('a directory that is not this node’s is refused, and nothing in it changes', async () => {
  const directory = newDirectory();
  const disk = realDisk(directory);
  await assert.rejects(startIn(directory), failsWith('folder_missing'));
  await writeNodeIdentity(disk, nodePrimitives, identity);
  const file = path.join(directory, 'node.json');
  const before = readFileSync(file, 'utf8');

  const otherKey = nodePrimitives.ed25519PublicKey(new Uint8Array(32).fill(8));
  const foreign = { ...identity, publicKey: otherKey, cluster: 'b'.repeat(32) as ClusterId };
  await assert.rejects(writeNodeIdentity(disk, nodePrimitives, foreign), failsWith('wrong_cluster'));
  const another = { ...identity, node: 'c'.repeat(32) as NodeId };
  await assert.rejects(writeNodeIdentity(disk, nodePrimitives, another), failsWith('conflict'));
  const wanted = { ...optionsIn(directory), cluster: foreign.cluster };
  await assert.rejects(startStorageNode(wanted), failsWith('wrong_cluster'));
  assert.equal(readFileSync(file, 'utf8'), before);

  writeFileSync(file, before.replace('"version": 1', '"version": 2'));
  await assert.rejects(startIn(directory), failsWith('newer_version'));
  writeFileSync(file, before.replace(cluster, 'b'.repeat(32)));
  await assert.rejects(startIn(directory), failsWith('integrity'));
  writeFileSync(file, before);

  const node = await startIn(directory);
  await assert.rejects(startIn(directory), failsWith('data_in_use'));
  await node.close();
  await (await startIn(directory)).close();
});

test('where its disk is unmounted while it runs, nothing is kept in the mount point', async () => {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  const node = await startIn(directory);
  await node.offerKeyList(keyList(2, 1));
  const away = `${directory}-unmounted`;
  renameSync(directory, away);
  mkdirSync(directory);
  const order = deleteOrder({ number: 1, blocks: [randomBlock(1).id] });
  await assert.rejects(ask(peerOf(node), nodeDelete, {}, signal, [order]), failsWith('folder_missing'));
  await assert.rejects(node.offerKeyList(keyList(2, 2)), failsWith('folder_missing'));
  assert.deepEqual(readdirSync(directory), []);
  rmdirSync(directory);
  renameSync(away, directory);
  assert.equal((await node.offerKeyList(keyList(2, 2))).seq, 2);
  await ask(peerOf(node), nodeDelete, {}, signal, [order]);
});

test('the pool may be named again, for a join that was answered late', async () => {
  const disk = realDisk(newDirectory());
  await writeNodeIdentity(disk, nodePrimitives, identity);
  assert.equal((await writeNodeIdentity(disk, nodePrimitives, { ...identity, pool: 'mp3' })).pool, 'mp3');
});

test('a damaged key list stops the start: without it an old server could come back', async () => {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  writeFileSync(path.join(directory, 'key-list'), keyList(1, 1).fill(0, 40, 41));
  await assert.rejects(startIn(directory), failsWith('integrity'));
});

test('a delete order is carried out for its cluster’s signature, for this node, and never when its time is past', async () => {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  let node = await startIn(directory);
  await node.offerKeyList(keyList(2, 1));
  const blocks = Array.from({ length: 6 }, () => randomBlock(10));
  const [a, b, c, d, e, f] = blocks.map(({ id }) => id) as [BlockId, BlockId, BlockId, BlockId, BlockId, BlockId];
  await new RemoteBlockStore(peerOf(node), nodePrimitives).put(blocks, 0, signal);
  const send = async (bytes: Uint8Array) => (await ask(peerOf(node), nodeDelete, {}, signal, [bytes])).response.results;
  const first = deleteOrder({ number: 7, blocks: [a] });
  assert.deepEqual(await send(first), ['deleted']);
  assert.deepEqual(await send(first), ['missing'], 'the very same order, asked again after a lost answer');
  await assert.rejects(send(deleteOrder({ number: 7, blocks: [b] })), failsWith('conflict'));
  await assert.rejects(send(deleteOrder({ number: 6, blocks: [b] })), failsWith('conflict'));
  await assert.rejects(send(deleteOrder({ number: 8, incarnation: 1, blocks: [b] })), failsWith('conflict'));
  await assert.rejects(send(deleteOrder({ number: 8, incarnation: 3, blocks: [b] })), failsWith('conflict'));
  await assert.rejects(
    send(deleteOrder({ number: 8, node: 'c'.repeat(32) as NodeId, blocks: [b] })),
    failsWith('forbidden'),
  );
  const forged = deleteOrder({ number: 8, blocks: [b] });
  forged[60] = (forged[60] as number) ^ 1;
  await assert.rejects(send(forged), failsWith('forbidden'));
  await assert.rejects(ask(peerOf(node), nodeDelete, {}, signal, []), failsWith('invalid_field'));
  const stranger = peerOf(node, shownBy(otherPin));
  const good = deleteOrder({ number: 8, blocks: [c] });
  await assert.rejects(ask(stranger, nodeDelete, {}, signal, [good]), failsWith('unknown_pin'));
  assert.deepEqual(await send(deleteOrder({ number: 9, blocks: [c, d] })), ['deleted', 'deleted']);
  await node.close();
  node = await startIn(directory);
  await assert.rejects(send(good), failsWith('conflict'), 'numbers outlive a restart');
  await node.offerKeyList(keyList(3, 1));
  await assert.rejects(
    send(deleteOrder({ number: 10, blocks: [e] })),
    failsWith('conflict'),
    'a server that was replaced',
  );
  assert.deepEqual(await send(deleteOrder({ number: 1, incarnation: 3, blocks: [e] })), ['deleted']);
  const { held } = (await ask(peerOf(node), nodeHas, { blocks: [a, b, c, d, e, f] }, signal)).response;
  assert.deepEqual(held, [false, true, false, false, false, true]);
  await node.close();
  writeFileSync(path.join(directory, 'delete-order'), forged);
  await assert.rejects(startIn(directory), failsWith('integrity'));
});

test('requests that do not hold together are refused and change nothing', async () => {
  const node = await newNode();
  const [first, second] = [randomBlock(10), randomBlock(10)] as const;
  const put = ask(peerOf(node), nodePut, { fence: 0, blocks: [first.id, second.id] }, signal, [first.bytes]);
  await assert.rejects(put, failsWith('invalid_field'));
  await assert.rejects(ask(peerOf(node), nodeGet, { blocks: [] }, signal), failsWith('invalid_field'));
  assert.equal((await node.status()).blocks, 0);
});

test('a get stops at the size of a message, after one block at least', async () => {
  const node = await newNode();
  const large = randomBlock(limits.batchBytesMax + 1);
  const half = [randomBlock(limits.batchBytesMax / 2), randomBlock(limits.batchBytesMax / 2)] as const;
  const missing = randomBlock(1);
  await new RemoteBlockStore(peerOf(node), nodePrimitives).put([large, ...half], 0, signal);
  const get = (ids: readonly { readonly id: (typeof large)['id'] }[]) =>
    ask(peerOf(node), nodeGet, { blocks: ids.map(({ id }) => id) }, signal);
  assert.deepEqual((await get([large, half[0]])).response.results, ['found']);
  const { response, parts } = await get([half[0], missing, half[1], missing, large]);
  assert.deepEqual(response.results, ['found', 'missing', 'found', 'missing']);
  assert.deepEqual(
    parts.map(({ length }) => length),
    [half[0].bytes.length, half[1].bytes.length],
  );
});

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { hasCode } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { signRoot } from '#core/root-record.ts';
import { ask } from '#protocol/call.ts';
import { nodeRoot } from '#protocol/node.ts';
import { realDisk } from '#world/real/disk.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { writeNodeIdentity } from './node-identity.ts';
import { cluster, identity, keyList, newDirectory, peerOf, publicKey, startIn } from './storage-node.contract.ts';

const { signal } = new AbortController();
const seed = new Uint8Array(32).fill(7);

function root(incarnation: number, seq: number, timeMs = 1_795_000_000_000): Uint8Array {
  const index = 'c'.repeat(64) as BlockId;
  const record = { cluster, publicKey, incarnation, generation: 1, seq, timeMs, index, indexLength: 100 };
  return signRoot(nodePrimitives, seed, record);
}

async function nodeIn(directory: string) {
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  const node = await startIn(directory);
  await node.offerKeyList(keyList(1, 1));
  const offer = async (bytes: Uint8Array) => (await ask(peerOf(node), nodeRoot, {}, signal, [bytes])).response;
  return { node, offer };
}

test('a node keeps the roots of its cluster as they rise, and no others, over restarts', async () => {
  const directory = newDirectory();
  const files = () => readdirSync(path.join(directory, 'roots'));
  const first = await nodeIn(directory);
  assert.deepEqual(await first.offer(root(1, 5)), { incarnation: 1, seq: 5 });
  for (const old of [root(1, 5), root(1, 4)]) assert.deepEqual(await first.offer(old), { incarnation: 1, seq: 5 });
  const forged = root(9, 9);
  forged[50] = (forged[50] as number) ^ 1;
  await assert.rejects(first.offer(forged), (error) => hasCode(error, 'forbidden'));
  await assert.rejects(ask(peerOf(first.node), nodeRoot, {}, signal, []), (error) => hasCode(error, 'invalid_field'));
  assert.deepEqual(files(), ['00000001-0000000000000005']);
  await first.node.close();

  const second = await nodeIn(directory);
  assert.deepEqual(await second.offer(root(1, 3)), { incarnation: 1, seq: 5 });
  // A server that was restored counts on from where its backup was.
  assert.deepEqual(await second.offer(root(2, 3)), { incarnation: 2, seq: 3 });
  assert.deepEqual(await second.offer(root(1, 6)), { incarnation: 2, seq: 3 }, 'the old server came back');
  assert.deepEqual(files(), ['00000001-0000000000000005', '00000002-0000000000000003']);
  await second.node.close();
});

test('a damaged root counts for nothing, and is left where it is', async () => {
  const directory = newDirectory();
  const first = await nodeIn(directory);
  await first.offer(root(1, 1));
  await first.node.close();
  writeFileSync(path.join(directory, 'roots', '00000001-0000000000000001'), 'not a root');
  const second = await nodeIn(directory);
  assert.deepEqual(await second.offer(root(1, 2)), { incarnation: 1, seq: 2 });
  assert.equal(readdirSync(path.join(directory, 'roots')).length, 2);
  await second.node.close();
});

test('old roots go, by number, hour and day', async () => {
  const directory = newDirectory();
  const { node, offer } = await nodeIn(directory);
  for (let seq = 1; seq <= 240; seq++) await offer(root(1, seq, seq * 10 * 60_000));
  const kept = readdirSync(path.join(directory, 'roots')).map((name) => Number.parseInt(name.slice(9), 16));
  // Forty hours: the newest hundred, and of the hours before one each.
  assert.ok(kept.length > 100 && kept.length < 130, `${kept.length}`);
  assert.ok(kept.includes(240) && kept.includes(141) && kept.includes(5));
  assert.ok(!kept.includes(4));
  await node.close();
});

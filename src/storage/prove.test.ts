/** What a node answers to a challenge, over its verbs and from its log on a real disk. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { randomBlock } from '#blocks/block-store.contract.ts';
import { hasCode } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import { ask } from '#protocol/call.ts';
import { nodeChallenge, nodePut, type Challenge } from '#protocol/node.ts';
import { realDisk } from '#world/real/disk.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { writeNodeIdentity } from './node-identity.ts';
import { identity, keyList, newDirectory, newNode, peerOf, startIn } from './storage-node.contract.ts';
import type { StorageNode } from './storage-node.ts';

const { signal } = new AbortController();
type Sealed = ReturnType<typeof randomBlock>;

function challengeOf({ id }: Sealed, offset: number, length: number): Challenge {
  return { block: id, offset, length, key: randomBytes(32).toString('hex') };
}

async function answersOf(node: StorageNode, challenges: readonly Challenge[]) {
  return (await ask(peerOf(node), nodeChallenge, { challenges: [...challenges] }, signal)).response.answers;
}

async function put(node: StorageNode, blocks: readonly Sealed[]): Promise<void> {
  const parts = blocks.map(({ bytes }) => bytes);
  await ask(peerOf(node), nodePut, { fence: 0, blocks: blocks.map(({ id }) => id) }, signal, parts);
}

function proofOf({ bytes }: Sealed, { key, offset, length }: Challenge) {
  const range = bytes.subarray(offset, offset + length);
  return { kind: 'proof', proof: createHmac('sha256', Buffer.from(key, 'hex')).update(range).digest('hex') };
}

test('a proof is the keyed hash of the range; what the node does not have is missing', async () => {
  const node = await newNode();
  const [held, other] = [randomBlock(5000), randomBlock(5000)];
  await put(node, [held]);
  const challenges = [
    challengeOf(held, 0, 5000),
    challengeOf(held, 4999, 1),
    challengeOf(other, 0, 10),
    challengeOf(held, 1000, 2000),
  ];
  const proofs = challenges.map((challenge) => proofOf(held, challenge));
  assert.deepEqual(await answersOf(node, challenges), [proofs[0], proofs[1], { kind: 'missing' }, proofs[3]]);
});

test('another key gives another proof; a range beyond the block and too many at once are refused', async () => {
  const node = await newNode();
  const block = randomBlock(100);
  await put(node, [block]);
  const [first, second] = await answersOf(node, [challengeOf(block, 0, 100), challengeOf(block, 0, 100)]);
  assert.notDeepEqual(first, second);
  const refused = (error: unknown) => hasCode(error, 'invalid_field');
  await assert.rejects(answersOf(node, [challengeOf(block, 50, 51)]), refused);
  await assert.rejects(answersOf(node, [challengeOf(block, 0, 0)]), refused);
  await assert.rejects(answersOf(node, []), refused);
  const many = Array.from({ length: limits.challengesMax + 1 }, () => challengeOf(block, 0, 1));
  await assert.rejects(answersOf(node, many), refused);
});

test('damage outside the range is told too: an honest node never gives a wrong proof', async () => {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  const node = await startIn(directory);
  await node.offerKeyList(keyList(1, 1));
  const block = randomBlock(20_000);
  await put(node, [block]);
  const segments = path.join(directory, 'segments');
  const file = path.join(segments, readdirSync(segments)[0] as string);
  const bytes = readFileSync(file);
  const at = bytes.indexOf(block.bytes);
  assert.ok(at > 0);
  bytes[at + 15_000] = (bytes[at + 15_000] as number) ^ 1;
  writeFileSync(file, bytes);
  assert.deepEqual(await answersOf(node, [challengeOf(block, 0, 100)]), [{ kind: 'corrupt' }]);
});

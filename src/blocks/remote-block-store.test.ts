import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, HoldfastError } from '#core/errors.ts';
import { directPeer } from '#protocol/direct-peer.ts';
import type { Handler } from '#protocol/wire.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { randomBlock } from './block-store.contract.ts';
import { RemoteBlockStore } from './remote-block-store.ts';

const { signal } = new AbortController();
const remote = (handler: Handler) =>
  new RemoteBlockStore(directPeer(handler, { kind: 'anonymous', address: 'here' }), nodePrimitives);

test('bytes that are not the block’s are corrupt, whatever the node says of them', async () => {
  const [asked, other] = [randomBlock(10), randomBlock(10)] as const;
  const store = remote(async () => ({ body: { results: ['found', 'found'] }, parts: [other.bytes, asked.bytes] }));
  assert.deepEqual(await store.get([asked.id, asked.id], signal), [
    { kind: 'corrupt', forged: true },
    { kind: 'found', bytes: asked.bytes },
  ]);
});

test('answers that do not fit the question are refused', async () => {
  const block = randomBlock(10);
  const answers: readonly (readonly [unknown, readonly Uint8Array[]])[] = [
    [{ results: [], held: [] }, []],
    [{ results: ['found'] }, []],
    [{ results: ['missing'] }, [block.bytes]],
    [{ results: ['missing', 'missing'] }, []],
    [{ results: ['stored', 'stored'] }, []],
    [{ held: [true, true] }, []],
    [{}, []],
  ];
  for (const [body, parts] of answers) {
    const store = remote(async () => ({ body, parts }));
    const refused = (error: unknown) => hasCode(error, 'upgrade_required');
    await assert.rejects(store.get([block.id], signal), refused);
    await assert.rejects(store.put([block], 0, signal), refused);
    await assert.rejects(store.has([block.id], signal), refused);
  }
});

test('a node that cannot be asked rejects the whole', async () => {
  const store = remote(async () => {
    throw new HoldfastError('unreachable', 'gone');
  });
  const block = randomBlock(10);
  await assert.rejects(store.put([block], 0, signal), (error) => hasCode(error, 'unreachable'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives } from '#world/real/primitives.ts';
import { blockStoreContract, randomBlock } from './block-store.contract.ts';
import { deleteContract } from './delete.contract.ts';
import { MemoryBlockStore } from './memory-block-store.ts';

blockStoreContract('memory', async () => new MemoryBlockStore(nodePrimitives));
deleteContract('memory', async () => new MemoryBlockStore(nodePrimitives));

test('a full memory says so, and keeps what it has', async () => {
  const store = new MemoryBlockStore(nodePrimitives, 100);
  const { signal } = new AbortController();
  const [first, second] = [randomBlock(80), randomBlock(80)] as const;
  assert.deepEqual(await store.put([first, second, first], 0, signal), ['stored', 'no_space', 'held']);
  assert.deepEqual(await store.lengths([first.id, second.id]), [80, null]);
});

/** What a node's store promises of deletes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBlock } from './block-store.contract.ts';
import type { NodeBlockStore } from './node-block-store.ts';

const never = new AbortController().signal;

export function deleteContract(name: string, makeStore: () => Promise<NodeBlockStore>): void {
  test(`${name}: what is deleted is no longer held, counts no more, and can be put again`, async () => {
    const store = await makeStore();
    const [first, second, absent] = [randomBlock(100), randomBlock(50), randomBlock(10)] as const;
    await store.put([first, second], 3, never);
    assert.deepEqual(await store.delete([first.id, absent.id], { number: 1, fence: 4 }), ['deleted', 'missing']);
    assert.deepEqual(await store.has([first.id, second.id], never), [false, true]);
    assert.deepEqual(await store.get([first.id], never), [{ kind: 'missing' }]);
    const { blocks, storedBytes } = await store.status();
    assert.deepEqual([blocks, storedBytes], [1, 50]);
    assert.deepEqual(await store.delete([first.id], { number: 2, fence: 9 }), ['missing']);
    assert.deepEqual(await store.put([first], 4, never), ['stored']);
    assert.deepEqual(await store.get([first.id], never), [{ kind: 'found', bytes: first.bytes }]);
  });

  test(`${name}: an order spares what was put under its fence or a higher one, also what was held already`, async () => {
    const store = await makeStore();
    const blocks = [randomBlock(10), randomBlock(10), randomBlock(10), randomBlock(10)] as const;
    const ids = blocks.map(({ id }) => id);
    await store.put(blocks, 0, never);
    await store.put([blocks[1]], 5, never);
    await store.put([blocks[2]], 6, never);
    await store.put([blocks[3]], 4, never);
    assert.deepEqual(await store.delete(ids, { number: 1, fence: 5 }), ['deleted', 'spared', 'spared', 'deleted']);
    assert.deepEqual(await store.has(ids, never), [false, true, true, false]);
  });
}

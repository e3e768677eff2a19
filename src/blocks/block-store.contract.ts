/** What every store of blocks promises, also under whatever combines stores. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { BlockId } from '#core/ids.ts';
import type { Block, BlockStore } from './block-store.ts';

const never = new AbortController().signal;

export function blockOf(bytes: Uint8Array): Block {
  return { id: createHash('sha256').update(bytes).digest('hex') as BlockId, bytes };
}

export function randomBlock(length: number): Block {
  return blockOf(new Uint8Array(randomBytes(length)));
}

/** `makeStore` answers with an empty store. */
export function blockStoreContract(name: string, makeStore: () => Promise<BlockStore>): void {
  test(`${name}: what is put is held, and comes back byte for byte`, async () => {
    const store = await makeStore();
    const blocks = [1, 7, 8, 9, 100, 4096, 70_001].map(randomBlock);
    const ids = blocks.map(({ id }) => id);
    assert.deepEqual(await store.has(ids, never), Array(7).fill(false));
    assert.deepEqual(await store.put(blocks, 0, never), Array(7).fill('stored'));
    assert.deepEqual(await store.has(ids, never), Array(7).fill(true));
    const expected = blocks.map(({ bytes }) => ({ kind: 'found', bytes }));
    assert.deepEqual(await store.get(ids, never), expected);
    assert.deepEqual(await store.get(ids.toReversed(), never), expected.toReversed());
  });

  test(`${name}: no bytes are a block too`, async () => {
    const store = await makeStore();
    const empty = blockOf(new Uint8Array(0));
    assert.deepEqual(await store.put([empty], 0, never), ['stored']);
    assert.deepEqual(await store.get([empty.id], never), [{ kind: 'found', bytes: new Uint8Array(0) }]);
  });

  test(`${name}: answers are per item, in the order asked`, async () => {
    const store = await makeStore();
    const [held, missing, wrong] = [randomBlock(10), randomBlock(10), randomBlock(10)] as const;
    await store.put([held], 0, never);
    const lie = { id: wrong.id, bytes: randomBlock(10).bytes };
    assert.deepEqual(await store.put([lie, held], 0, never), ['hash_mismatch', 'held']);
    assert.deepEqual(await store.has([missing.id, held.id, wrong.id, held.id], never), [false, true, false, true]);
    assert.deepEqual(await store.get([missing.id, held.id, wrong.id, held.id], never), [
      { kind: 'missing' },
      { kind: 'found', bytes: held.bytes },
      { kind: 'missing' },
      { kind: 'found', bytes: held.bytes },
    ]);
  });

  test(`${name}: nothing asked, nothing answered`, async () => {
    const store = await makeStore();
    assert.deepEqual(await store.put([], 0, never), []);
    assert.deepEqual(await store.get([], never), []);
    assert.deepEqual(await store.has([], never), []);
  });

  test(`${name}: a put again is held, whatever its fence`, async () => {
    const store = await makeStore();
    const block = randomBlock(1000);
    assert.deepEqual(await store.put([block, block], 5, never), ['stored', 'held']);
    for (const fence of [5, 4, 9, 9, Number.MAX_SAFE_INTEGER])
      assert.deepEqual(await store.put([block], fence, never), ['held']);
    assert.deepEqual(await store.get([block.id], never), [{ kind: 'found', bytes: block.bytes }]);
  });

  test(`${name}: more than one message holds`, async () => {
    const store = await makeStore();
    const blocks = [
      ...Array.from({ length: 600 }, () => randomBlock(64)),
      ...[3, 3, 5].map((mib) => randomBlock(mib << 20)),
    ];
    const ids = blocks.map(({ id }) => id);
    assert.deepEqual(new Set(await store.put(blocks, 0, never)), new Set(['stored']));
    const got = await store.get(ids, never);
    got.forEach((result, index) => assert.deepEqual(result, { kind: 'found', bytes: blocks[index]?.bytes }));
    const many = [...ids, ...Array.from({ length: 5000 }, () => randomBlock(1).id)];
    const held = await store.has([...new Set(many)], never);
    assert.ok(held.slice(0, ids.length).every(Boolean));
  });

  test(`${name}: puts and gets at once`, async () => {
    const store = await makeStore();
    const blocks = Array.from({ length: 64 }, () => randomBlock(3000));
    const shared = randomBlock(500);
    const results = await Promise.all(blocks.map((block) => store.put([block, shared], 1, never)));
    assert.ok(results.every(([own]) => own === 'stored'));
    assert.equal(results.filter(([, common]) => common === 'stored').length, 1);
    const got = await Promise.all([...blocks, shared].map(({ id }) => store.get([id], never)));
    got.forEach(([result], index) =>
      assert.deepEqual(result, { kind: 'found', bytes: [...blocks, shared][index]?.bytes }),
    );
  });

  test(`${name}: what the caller does to its bytes afterwards changes nothing`, async () => {
    const store = await makeStore();
    const block = randomBlock(100);
    const kept = block.bytes.slice();
    await store.put([block], 0, never);
    block.bytes.fill(0);
    const [first] = await store.get([block.id], never);
    assert.ok(first?.kind === 'found');
    first.bytes.fill(1);
    assert.deepEqual(await store.get([block.id], never), [{ kind: 'found', bytes: kept }]);
  });

  test(`${name}: an aborted request is refused`, async () => {
    const store = await makeStore();
    const controller = new AbortController();
    controller.abort(new Error('given up'));
    const block = randomBlock(1);
    await assert.rejects(store.put([block], 0, controller.signal));
    await assert.rejects(store.get([block.id], controller.signal));
  });
}

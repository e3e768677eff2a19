import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { hasCode } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import { blockStoreContract, randomBlock } from '../block-store.contract.ts';
import type { Block } from '../block-store.ts';
import { deleteContract } from '../delete.contract.ts';
import { cutEverywhere, flip, flipBits } from './damage.contract.ts';
import { expectFound, filled, newDirectory, openIn, removeIndex, segmentFiles } from './disk-block-store.contract.ts';
import { RECORD_HEADER_BYTES, recordBytes, SEGMENT_HEADER_BYTES } from './segment-format.ts';

const { signal } = new AbortController();
const small = { segmentBytesMax: 20_000 };

blockStoreContract('disk', async () => (await openIn(newDirectory())).store);
deleteContract('disk', async () => (await openIn(newDirectory())).store);
blockStoreContract('disk, small segments', async () => (await openIn(newDirectory(), small)).store);

test('what was put is there after a restart, with and without the index, over many segments', async () => {
  const directory = newDirectory();
  const blocks = Array.from({ length: 40 }, (_, index) => randomBlock(index * 100));
  await filled(directory, blocks, small);
  assert.ok(segmentFiles(directory).length > 3);
  for (const prepare of [() => undefined, () => removeIndex(directory)]) {
    prepare();
    const { store, lines } = await openIn(directory, small);
    await expectFound(store, blocks);
    const { blocks: count, storedBytes, quarantined, state } = await store.status();
    const bytes = blocks.reduce((sum, block) => sum + block.bytes.length, 0);
    assert.deepEqual(
      { count, storedBytes, quarantined, state },
      { count: 40, storedBytes: bytes, quarantined: 0, state: 'ok' },
    );
    assert.deepEqual(lines, []);
    assert.deepEqual(new Set(await store.put(blocks, 1, signal)), new Set(['held']));
    await store.close();
  }
});

test('the log goes on in its last segment', async () => {
  const directory = newDirectory();
  for (let round = 0; round < 5; round++) await filled(directory, [randomBlock(100)]);
  assert.equal(segmentFiles(directory).length, 1);
});

test('a raised fence is a record of its own, and a lower one writes nothing', async () => {
  const directory = newDirectory();
  const block = randomBlock(100);
  await filled(directory, [block]);
  const [segment] = segmentFiles(directory) as [string];
  const { store } = await openIn(directory);
  const sizes = [];
  for (const fence of [1, 0, 7, 7, 3]) {
    assert.deepEqual(await store.put([block], fence, signal), ['held']);
    sizes.push(statSync(segment).size);
  }
  const size = SEGMENT_HEADER_BYTES + recordBytes(100);
  const raised = size + RECORD_HEADER_BYTES;
  assert.deepEqual(sizes, [size, size, raised, raised, raised]);
  await store.close();
  removeIndex(directory);
  const again = await openIn(directory);
  await again.store.put([block], 7, signal);
  assert.equal(statSync(segment).size, raised);
  await again.store.close();
});

test('wherever the last records are cut, the rest is served and the log goes on', () =>
  cutEverywhere({ everyBytes: 5 }));

test('a log that ends before what the index knows lost acknowledged blocks: they are reported, and nothing is written over', async () => {
  const directory = newDirectory();
  const blocks = [randomBlock(50), randomBlock(60)];
  await filled(directory, blocks);
  const [name] = segmentFiles(directory) as [string];
  truncateSync(name, statSync(name).size - 1);
  const { store, lines } = await openIn(directory);
  assert.deepEqual(
    (
      await store.get(
        blocks.map(({ id }) => id),
        signal,
      )
    ).map(({ kind }) => kind),
    ['found', 'corrupt'],
  );
  assert.equal((await store.status()).quarantined, 1);
  assert.ok(lines.some((line) => line.startsWith('error:')));
  const before = readFileSync(name);
  assert.deepEqual(await store.put([blocks[1] as Block], 1, signal), ['stored']);
  assert.deepEqual(readFileSync(name), before);
  await expectFound(store, blocks);
  assert.equal((await store.status()).quarantined, 0);
  await store.close();
});

for (const index of [true, false])
  for (const sealed of [true, false])
    test(`a flipped bit is never served (${sealed ? 'sealed' : 'open'} segment, ${index ? 'with' : 'without'} its index)`, () =>
      flipBits({ index, sealed, everyBytes: 17 }));

test('damage that shows itself when a block is read is answered for, counted, and healed by a put', async () => {
  const directory = newDirectory();
  const [good, bad] = [randomBlock(100), randomBlock(100)] as const;
  await filled(directory, [good, bad]);
  const { store, lines } = await openIn(directory);
  const [name] = segmentFiles(directory) as [string];
  const bytes = readFileSync(name);
  flip(bytes, SEGMENT_HEADER_BYTES + recordBytes(100) + RECORD_HEADER_BYTES + 50);
  writeFileSync(name, bytes);
  assert.deepEqual(await store.get([bad.id], signal), [{ kind: 'corrupt' }]);
  assert.deepEqual(await store.get([bad.id], signal), [{ kind: 'corrupt' }]);
  assert.deepEqual(await store.has([bad.id, good.id], signal), [false, true]);
  assert.deepEqual(lines, ['error: a stored block is damaged']);
  assert.equal((await store.status()).quarantined, 1);
  assert.deepEqual(await store.put([bad], 1, signal), ['stored']);
  await expectFound(store, [good, bad]);
  assert.equal((await store.status()).quarantined, 0);
  await store.close();
});

test('a put of a damaged copy that nobody has read since the start stores the block again', async () => {
  const directory = newDirectory();
  const block = randomBlock(100);
  await filled(directory, [block]);
  const { store } = await openIn(directory);
  const [name] = segmentFiles(directory) as [string];
  const bytes = readFileSync(name);
  flip(bytes, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 50);
  writeFileSync(name, bytes);
  assert.deepEqual(await store.put([block], 1, signal), ['stored']);
  await expectFound(store, [block]);
  assert.deepEqual(await store.put([block], 1, signal), ['held']);
  await store.close();
});

test('damage before the end of the open segment is reported, never cut', async () => {
  const directory = newDirectory();
  const blocks = [randomBlock(100), randomBlock(100), randomBlock(100)];
  await filled(directory, blocks);
  const [name] = segmentFiles(directory) as [string];
  const bytes = readFileSync(name);
  bytes.fill(0xaa, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 8);
  writeFileSync(name, bytes);
  removeIndex(directory);
  const { store, lines } = await openIn(directory);
  assert.equal((await store.status()).quarantined, 1);
  assert.deepEqual(lines, ['error: a part of the log is damaged']);
  await expectFound(store, blocks.slice(1));
  assert.deepEqual(readFileSync(name), bytes);
  await store.close();
});

test('a segment that is gone is reported block by block; a log that is gone is not served at all', async () => {
  const directory = newDirectory();
  const blocks = Array.from({ length: 20 }, () => randomBlock(3000));
  await filled(directory, blocks, small);
  rmSync(segmentFiles(directory)[1] as string);
  const { store } = await openIn(directory, small);
  const kinds = (
    await store.get(
      blocks.map(({ id }) => id),
      signal,
    )
  ).map(({ kind }) => kind);
  const lost = kinds.filter((kind) => kind === 'corrupt').length;
  assert.ok(lost > 0 && lost < 20);
  assert.equal((await store.status()).quarantined, lost);
  assert.equal((await store.put(blocks, 1, signal)).filter((result) => result === 'stored').length, lost);
  assert.equal((await store.status()).quarantined, 0);
  await store.close();
  rmSync(path.join(directory, 'segments'), { recursive: true });
  await assert.rejects(openIn(directory, small), (error) => hasCode(error, 'integrity'));
});

test('segments under one another’s names, and one cut to nothing, serve nothing wrong, are reported, and heal by a put', async () => {
  const rows = [
    { damage: 'exchanged', index: true, lost: 4 },
    { damage: 'exchanged', index: false, lost: null },
    { damage: 'emptied', index: true, lost: 2 },
    { damage: 'emptied', index: false, lost: 2 },
  ] as const;
  for (const { damage, index, lost } of rows) {
    const directory = newDirectory();
    const blocks = Array.from({ length: 6 }, () => randomBlock(100));
    const { store } = await openIn(directory, { segmentRecordsMax: 2 });
    for (const block of blocks) await store.put([block], 1, signal);
    await store.close();
    const [first, second] = segmentFiles(directory) as [string, string];
    if (damage === 'emptied') truncateSync(first, 0);
    else {
      renameSync(first, `${first}-aside`);
      renameSync(second, first);
      renameSync(`${first}-aside`, second);
    }
    if (!index) removeIndex(directory);
    if (lost === null) {
      await assert.rejects(openIn(directory), (error) => hasCode(error, 'integrity'));
      continue;
    }
    const again = await openIn(directory, { segmentRecordsMax: 2 });
    const ids = blocks.map(({ id }) => id);
    const found = (await again.store.get(ids, signal)).filter(({ kind }) => kind === 'found');
    assert.equal(found.length, blocks.length - lost, `${damage}, index ${index}`);
    assert.ok((await again.store.status()).quarantined > 0 && again.lines.length > 0, 'it is reported');
    await again.store.put(blocks, 1, signal);
    await expectFound(again.store, blocks);
    await again.store.close();
  }
});

test('a damaged index, and one of another node, are made anew', async () => {
  const directory = newDirectory();
  const blocks = [randomBlock(100), randomBlock(200)];
  await filled(directory, blocks);
  removeIndex(directory);
  writeFileSync(path.join(directory, 'index.db'), 'not a database, and longer than one would think'.repeat(200));
  const { store, lines } = await openIn(directory);
  await expectFound(store, blocks);
  assert.ok(lines.some((line) => line.includes('made anew')));
  await store.close();

  const other = newDirectory();
  const { store: foreign } = await openIn(other, { node: 'f'.repeat(32) as NodeId });
  await foreign.put([randomBlock(10)], 1, signal);
  await foreign.close();
  copyFileSync(path.join(other, 'index.db'), path.join(directory, 'index.db'));
  const again = await openIn(directory);
  await expectFound(again.store, blocks);
  await again.store.close();
});

test('an index that was found damaged while in use is made anew at the next start', async () => {
  const directory = newDirectory();
  const block = randomBlock(100);
  await filled(directory, [block]);
  writeFileSync(path.join(directory, 'index.rebuild'), 'x');
  const { store, lines } = await openIn(directory);
  await expectFound(store, [block]);
  assert.equal(lines.length, 1);
  await store.close();
  const again = await openIn(directory);
  assert.deepEqual(again.lines, []);
  await again.store.close();
});

test('segments of another node, and of a newer version, are refused', async () => {
  const [directory, other] = [newDirectory(), newDirectory()];
  await filled(directory, [randomBlock(10)]);
  await filled(other, [randomBlock(10)], { node: 'f'.repeat(32) as NodeId });
  removeIndex(directory);
  copyFileSync(segmentFiles(other)[0] as string, segmentFiles(directory)[0] as string);
  await assert.rejects(openIn(directory), (error) => hasCode(error, 'integrity'));
});

test('only one process has a store open', async () => {
  const directory = newDirectory();
  const { store } = await openIn(directory);
  await assert.rejects(openIn(directory), (error) => hasCode(error, 'data_in_use'));
  await store.close();
});

test('a closed store refuses, after what was begun has ended', async () => {
  const { store } = await openIn(newDirectory());
  const block = randomBlock(1000);
  const put = store.put([block], 1, signal);
  await store.close();
  assert.deepEqual(await put, ['stored']);
  await assert.rejects(store.get([block.id], signal), (error) => hasCode(error, 'stopping'));
  await store.close();
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { blockOf } from '../block-store.contract.ts';
import type { NodeBlockStore } from '../node-block-store.ts';
import { openDiskBlockStore } from './disk-block-store.ts';
import {
  expectFound,
  newDirectory,
  openIn,
  recordingLog,
  removeIndex,
  segmentFiles,
  TEST_NODE,
} from './disk-block-store.contract.ts';
import { powerCutDisk, type PowerCutDisk } from './power-cut-disk.contract.ts';

const { signal } = new AbortController();
const BLOCKS = Array.from({ length: 5 }, (_, index) => blockOf(new Uint8Array(40 * index).fill(index)));

test('what was deleted stays so after a restart, with and without the index, and what was put again stays', async () => {
  const directory = newDirectory();
  const small = { segmentBytesMax: 3000, segmentRecordsMax: 7 };
  const { store } = await openIn(directory, small);
  await store.put(BLOCKS, 0, signal);
  const ids = BLOCKS.map(({ id }) => id);
  await store.delete(ids.slice(0, 3), { number: 1, fence: 1 });
  await store.put(BLOCKS.slice(2, 3), 1, signal);
  assert.deepEqual(await store.delete(ids.slice(2, 4), { number: 2, fence: 1 }), ['spared', 'deleted']);
  await store.close();
  for (const prepare of [() => undefined, () => removeIndex(directory)]) {
    prepare();
    const again = await openIn(directory, small);
    assert.deepEqual(await again.store.has(ids, signal), [false, false, true, false, true]);
    await expectFound(again.store, [BLOCKS[2], BLOCKS[4]] as typeof BLOCKS);
    assert.equal((await again.store.status()).blocks, 2);
    assert.deepEqual(again.lines, []);
    await again.store.close();
  }
});

function numbers(seed: number): (below: number) => number {
  let state = createHash('sha256').update(String(seed)).digest();
  return (below) => {
    state = createHash('sha256').update(state).digest();
    return state.readUInt32BE() % below;
  };
}

const errors: string[] = [];

async function open(power: PowerCutDisk, indexPath: string) {
  const log = { ...recordingLog(), error: (message: string) => void errors.push(message) };
  const options = { disk: power.disk, sql: sqliteOpener, indexPath, node: TEST_NODE, log };
  const limits = { segmentBytesMax: 3000, segmentRecordsMax: 7 };
  return openDiskBlockStore({ ...options, ...limits, checksum: realChecksum, primitives: nodePrimitives });
}

async function compactAll(store: NodeBlockStore): Promise<readonly string[]> {
  while ((await store.compact()) === 'busy');
  return [];
}

/** One after another, with a model beside it; now and then the last is cut off, and may have happened or not. */
async function run(seed: number, directory: string, keepsIndex: boolean): Promise<void> {
  const next = numbers(seed);
  let power = powerCutDisk();
  let made = 0;
  const indexPath = () => (keepsIndex ? path.join(directory, String(made)) : ':memory:');
  let store = await open(power, indexPath());
  /** Fences of what is held. */
  const held = new Map<number, number>();
  let fence = 0;
  for (let step = 0; step < 50; step++) {
    const isCompaction = next(5) === 0;
    const which = next(BLOCKS.length);
    const block = BLOCKS[which] as (typeof BLOCKS)[number];
    const before = held.get(which);
    const isPut = next(2) === 0;
    const under = isPut ? fence - Math.min(fence, next(3)) : ++fence - Math.min(fence - 1, next(3));
    const work: Promise<readonly string[]> = isCompaction
      ? compactAll(store)
      : isPut
        ? store.put([block], under, signal)
        : store.delete([block.id], { number: fence, fence: under });
    const after = isCompaction
      ? before
      : isPut
        ? Math.max(before ?? 0, under)
        : before !== undefined && before >= under
          ? before
          : undefined;
    if (next(6) > 0) {
      const [result] = await work;
      if (isCompaction) continue;
      const expected = isPut
        ? before === undefined
          ? 'stored'
          : 'held'
        : before === undefined
          ? 'missing'
          : after === undefined
            ? 'deleted'
            : 'spared';
      assert.equal(result, expected);
      if (after === undefined) held.delete(which);
      else held.set(which, after);
      continue;
    }
    for (let turn = next(isCompaction ? 600 : 40); turn > 0; turn--) await Promise.resolve();
    power = next(3) === 0 ? power.kill() : power.cut(next);
    const from = indexPath();
    made += 1;
    if (keepsIndex)
      for (const suffix of ['', '-wal']) if (existsSync(from + suffix)) cpSync(from + suffix, indexPath() + suffix);
    await work;
    await store.close();
    store = await open(power, indexPath());
    const [there] = await store.has([block.id], signal);
    assert.ok(there === (before !== undefined) || there === (after !== undefined));
    // Its fence may be the one or the other: from here on it is a known one.
    if (there) {
      fence += 1;
      assert.deepEqual(await store.put([block], fence, signal), ['held']);
      held.set(which, fence);
    } else held.delete(which);
    for (const [index, other] of BLOCKS.entries()) {
      const [got] = await store.get([other.id], signal);
      assert.deepEqual(got, held.has(index) ? { kind: 'found', bytes: other.bytes } : { kind: 'missing' });
    }
    const { blocks, quarantined } = await store.status();
    assert.deepEqual([blocks, quarantined], [held.size, 0]);
    assert.deepEqual(errors, []);
  }
  await store.close();
}

test('a power cut or a kill at any moment neither loses a block nor brings one back', async () => {
  const top = newDirectory();
  let made = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.boolean(), async (seed, keepsIndex) => {
      const directory = path.join(top, String(made++));
      mkdirSync(directory);
      await run(seed, directory, keepsIndex);
      rmSync(directory, { recursive: true });
    }),
    { numRuns: 150 },
  );
});

test('a segment that is mostly dead goes, whatever is alive in it stays, and readers of that moment find it', async () => {
  const directory = newDirectory();
  const small = { segmentBytesMax: 20_000 };
  const { store } = await openIn(directory, small);
  const blocks = Array.from({ length: 60 }, (_, index) => blockOf(new Uint8Array(1000 + index).fill(index)));
  for (const block of blocks) await store.put([block], 0, signal);
  const before = segmentFiles(directory);
  assert.ok(before.length >= 3);
  assert.deepEqual(await store.compact(), 'idle', 'nothing is dead');
  const gone = blocks.filter((_, index) => index % 2 === 0);
  const kept = blocks.filter((_, index) => index % 2 === 1);
  await store.delete(
    gone.map(({ id }) => id),
    { number: 1, fence: 1 },
  );
  const dead = (await store.status()).deadBytes;
  const goneBytes = gone.reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert.ok(dead >= goneBytes && dead < 1.2 * goneBytes, `${dead} of ${goneBytes} deleted are to be compacted`);
  let rounds = 0;
  const reading = (async () => {
    for (let more = true; more; rounds++) {
      await expectFound(store, kept);
      more = (await store.compact()) === 'busy';
    }
  })();
  await Promise.all([reading, compactAll(store)]);
  await expectFound(store, kept);
  assert.ok((await store.status()).deadBytes < dead / 3, 'they were');
  const after = segmentFiles(directory);
  assert.ok(
    before.slice(0, -1).every((file) => !after.includes(file)),
    'all but the last had dead blocks',
  );
  await store.close();
  for (const prepare of [() => undefined, () => removeIndex(directory)]) {
    prepare();
    const again = await openIn(directory, small);
    await expectFound(again.store, kept);
    const held = await again.store.has(
      gone.map(({ id }) => id),
      signal,
    );
    assert.ok(held.every((one) => !one));
    assert.equal((await again.store.status()).blocks, kept.length);
    assert.deepEqual(again.lines, []);
    await again.store.close();
  }
});

test('an index that a power cut set back before a compaction takes nothing for lost', async () => {
  const directory = newDirectory();
  const small = { segmentBytesMax: 5000 };
  const first = await openIn(directory, small);
  const blocks = Array.from({ length: 20 }, (_, index) => blockOf(new Uint8Array(1000).fill(index)));
  for (const block of blocks) await first.store.put([block], 0, signal);
  await first.store.close();
  const old = newDirectory();
  cpSync(path.join(directory, 'index.db'), path.join(old, 'index.db'));
  const second = await openIn(directory, small);
  const ids = blocks.map(({ id }) => id);
  await second.store.delete(ids.slice(0, 19), { number: 1, fence: 1 });
  await compactAll(second.store);
  await second.store.close();
  removeIndex(directory);
  cpSync(path.join(old, 'index.db'), path.join(directory, 'index.db'));
  const third = await openIn(directory, small);
  await expectFound(third.store, blocks.slice(19));
  assert.deepEqual((await third.store.has(ids.slice(0, 19), signal)).filter(Boolean), []);
  const { blocks: count, quarantined } = await third.store.status();
  assert.deepEqual([count, quarantined], [1, 0]);
  assert.deepEqual(third.lines, []);
  await third.store.close();
});

test('what a block was last put under outlives the segment that says it', async () => {
  const directory = newDirectory();
  const small = { segmentBytesMax: 4000 };
  const { store } = await openIn(directory, small);
  const [first, ...others] = Array.from({ length: 12 }, (_, index) => blockOf(new Uint8Array(1000).fill(index)));
  assert.ok(first);
  // The block in one segment, the record that raises its fence in another, which then dies.
  for (const block of [first, ...others.slice(0, 3)]) await store.put([block], 0, signal);
  await store.put([first], 7, signal);
  for (const block of others.slice(3)) await store.put([block], 7, signal);
  const before = segmentFiles(directory).length;
  const dead = others.slice(3).map(({ id }) => id);
  await store.delete(dead, { number: 8, fence: 8 });
  await compactAll(store);
  assert.ok(segmentFiles(directory).length < before);
  await store.close();
  removeIndex(directory);
  const again = await openIn(directory, small);
  assert.deepEqual(await again.store.delete([first.id], { number: 9, fence: 7 }), ['spared']);
  await again.store.close();
});

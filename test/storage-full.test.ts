/** A disk that is really full: first by the node's own blocks, then to the last byte by somebody else. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { randomBlock } from '../src/blocks/block-store.contract.ts';
import type { Block } from '../src/blocks/block-store.ts';
import { openDiskBlockStore } from '../src/blocks/disk/disk-block-store.ts';
import type { NodeBlockStore } from '../src/blocks/node-block-store.ts';
import { lacksRoot } from './privilege.ts';
import { storeOptions } from './storage-place.ts';

const { signal } = new AbortController();
const DISK_BYTES = 16 << 20;

/** Stores are closed before their disk goes. */
function smallDisk(
  t: TestContext,
  options = `size=${DISK_BYTES}`,
): { readonly directory: string; readonly opened: NodeBlockStore[] } {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]);
  const opened: NodeBlockStore[] = [];
  t.after(async () => {
    for (const store of opened) await store.close();
    execFileSync('umount', [directory]);
    rmdirSync(directory);
  });
  return { directory, opened };
}

function fillUp(file: string): void {
  const handle = openSync(file, 'w');
  try {
    for (let size = 1 << 20; size > 0; size >>= 1) {
      try {
        while (writeSync(handle, new Uint8Array(size)) === size);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(handle);
  }
}

async function expectFound(store: NodeBlockStore, blocks: readonly Block[]): Promise<void> {
  for (const { id, bytes } of blocks) assert.deepEqual(await store.get([id], signal), [{ kind: 'found', bytes }]);
}

async function putUntilFull(store: NodeBlockStore): Promise<Block[]> {
  const stored: Block[] = [];
  for (let count = 0; count < DISK_BYTES / 100_000; count++) {
    const block = randomBlock(100_000);
    const [result] = await store.put([block], 1, signal);
    if (result === 'no_space') return stored;
    assert.equal(result, 'stored');
    stored.push(block);
  }
  throw new Error('the disk holds more than it has room for');
}

test('a node stops before its disk is full, serves what it has, and goes on when there is room', async (t) => {
  if (lacksRoot(t, 'a small disk of its own')) return;
  const { directory, opened } = smallDisk(t);
  const store = await openDiskBlockStore(storeOptions(directory));
  opened.push(store);
  const stored = await putUntilFull(store);
  assert.ok(stored.length > 50);
  const { state, freeBytes } = await store.status();
  assert.equal(state, 'read_only');
  assert.ok(freeBytes > 0);
  await expectFound(store, stored);

  const filler = path.join(directory, 'filler');
  fillUp(filler);
  assert.deepEqual(await store.put([randomBlock(100_000), randomBlock(10)], 1, signal), ['no_space', 'no_space']);
  // A fence may use the reserve, but of that nothing is left.
  assert.deepEqual(await store.put([stored[0] as Block], 9, signal), ['no_space']);
  assert.deepEqual(await store.put([stored[0] as Block], 1, signal), ['held']);
  await expectFound(store, stored);

  rmSync(filler);
  assert.deepEqual(await store.put([stored[0] as Block], 9, signal), ['held']);
  assert.deepEqual(await store.put([randomBlock(100_000)], 1, signal), ['no_space']);
  execFileSync('mount', ['-o', `remount,size=${2 * DISK_BYTES}`, directory]);
  const more = randomBlock(100_000);
  assert.deepEqual(await store.put([more], 1, signal), ['stored']);
  assert.equal((await store.status()).state, 'ok');
  await store.close();
  const again = await openDiskBlockStore(storeOptions(directory));
  opened.push(again);
  await expectFound(again, [...stored, more]);
  assert.equal((await again.status()).quarantined, 0);
});

test('a disk that is full to the last byte while blocks are written loses none that was acknowledged', async (t) => {
  if (lacksRoot(t, 'a small disk of its own')) return;
  const { directory, opened } = smallDisk(t);
  const store = await openDiskBlockStore(storeOptions(directory));
  opened.push(store);
  const stored: Block[] = [];
  const filler = path.join(directory, 'filler');
  for (let round = 0; round < 8; round++) {
    const blocks = Array.from({ length: 8 }, () => randomBlock(60_000));
    const putting = blocks.map((block) => store.put([block], 1, signal));
    // While they are on their way: some are written before, some after, one perhaps in two halves.
    await Promise.race(round % 2 === 0 ? putting : [Promise.resolve()]);
    fillUp(filler);
    const results = (await Promise.all(putting)).flat();
    results.forEach((result, index) => {
      assert.ok(result === 'stored' || result === 'no_space', result);
      if (result === 'stored') stored.push(blocks[index] as Block);
    });
    await expectFound(store, stored);
    rmSync(filler);
  }
  await store.close();
  fillUp(filler);
  const again = await openDiskBlockStore(storeOptions(directory));
  opened.push(again);
  await expectFound(again, stored);
  assert.equal((await again.status()).quarantined, 0);
});

test('a disk without another inode: what fits the open segment is stored, then the node is full, and goes on when there are some', async (t) => {
  if (lacksRoot(t, 'a small disk of its own')) return;
  const { directory, opened } = smallDisk(t, `size=${16 * DISK_BYTES},nr_inodes=40`);
  const store = await openDiskBlockStore(storeOptions(directory));
  opened.push(store);
  const first = randomBlock(100_000);
  assert.deepEqual(await store.put([first], 1, signal), ['stored']);
  const names: string[] = [];
  assert.throws(
    () => {
      for (let index = 0; ; index++) {
        closeSync(openSync(path.join(directory, `inode-${index}`), 'w'));
        names.push(`inode-${index}`);
      }
    },
    { code: 'ENOSPC' },
  );
  const stored = [first];
  for (;;) {
    const block = randomBlock(100_000);
    const [result] = await store.put([block], 1, signal);
    if (result === 'no_space') break;
    assert.equal(result, 'stored');
    stored.push(block);
  }
  assert.ok(stored.length > 5 && stored.length < 20, `one segment of 1 MiB, and not ${stored.length} blocks`);
  await expectFound(store, stored);
  for (const name of names) rmSync(path.join(directory, name));
  const more = randomBlock(100_000);
  assert.deepEqual(await store.put([more], 1, signal), ['stored']);
  assert.equal((await store.status()).state, 'ok');
  await store.close();
  const again = await openDiskBlockStore(storeOptions(directory));
  opened.push(again);
  await expectFound(again, [...stored, more]);
  assert.equal((await again.status()).quarantined, 0);
});

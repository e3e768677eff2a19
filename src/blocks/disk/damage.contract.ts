/** What no damage may do, whatever the place. Exhaustive where `everyBytes` is 1. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBlock } from '../block-store.contract.ts';
import { expectFound, filled, newDirectory, openIn, removeIndex, segmentFiles } from './disk-block-store.contract.ts';
import { recordBytes, SEGMENT_HEADER_BYTES } from './segment-format.ts';

const { signal } = new AbortController();

export function flip(bytes: Uint8Array, offset: number): void {
  bytes[offset] = (bytes[offset] as number) ^ (1 << (offset & 7));
}

export async function cutEverywhere({ everyBytes }: { readonly everyBytes: number }): Promise<void> {
  const directory = newDirectory();
  const blocks = [randomBlock(50), randomBlock(3), randomBlock(80)];
  await filled(directory, blocks);
  const [name] = segmentFiles(directory) as [string];
  const whole = readFileSync(name);
  const ends = [SEGMENT_HEADER_BYTES];
  for (const { bytes } of blocks) ends.push((ends.at(-1) as number) + recordBytes(bytes.length));
  assert.equal(ends.at(-1), whole.length);
  const added = randomBlock(10);
  for (let length = 0; length < whole.length; length += everyBytes) {
    removeIndex(directory);
    writeFileSync(name, whole.subarray(0, length));
    const { store } = await openIn(directory);
    const kept = blocks.filter((_, index) => (ends[index + 1] as number) <= length);
    assert.deepEqual(
      await store.has(
        blocks.map(({ id }) => id),
        signal,
      ),
      blocks.map((block) => kept.includes(block)),
    );
    assert.equal((await store.status()).quarantined, 0);
    assert.deepEqual(await store.put([added], 1, signal), ['stored']);
    await expectFound(store, [...kept, added]);
    await store.close();
  }
}

/** Bytes of a segment, each with one bit flipped: opened with the index and without. */
export async function flipBits(options: {
  readonly index: boolean;
  readonly sealed: boolean;
  readonly everyBytes: number;
}): Promise<void> {
  const directory = newDirectory();
  const blocks = [randomBlock(30), randomBlock(41), randomBlock(8)];
  const limits = options.sealed ? { segmentRecordsMax: 3 } : {};
  await filled(directory, options.sealed ? [...blocks, randomBlock(5)] : blocks, limits);
  const original = `${directory}-original`;
  cpSync(directory, original, { recursive: true });
  const name = segmentFiles(directory)[0] as string;
  const length = statSync(name).size;
  for (let offset = 0; offset < length; offset += options.everyBytes) {
    rmSync(directory, { recursive: true });
    cpSync(original, directory, { recursive: true });
    const bytes = readFileSync(name);
    flip(bytes, offset);
    writeFileSync(name, bytes);
    if (!options.index) removeIndex(directory);
    const { store, lines } = await openIn(directory, limits);
    const got = await store.get(
      blocks.map(({ id }) => id),
      signal,
    );
    let lost = 0;
    got.forEach((result, index) => {
      if (result.kind === 'found') assert.deepEqual(result.bytes, new Uint8Array(blocks[index]?.bytes as Uint8Array));
      else lost += 1;
    });
    assert.ok(lost <= 1, `one flipped bit at ${offset} costs one block at most, not ${lost}`);
    if (lost > 0) assert.ok(lines.length > 0, `the flipped bit at ${offset} is reported`);
    assert.deepEqual((await store.put(blocks, 1, signal)).filter((result) => result === 'stored').length, lost);
    await expectFound(store, blocks);
    await store.close();
    const again = await openIn(directory, limits);
    await expectFound(again.store, blocks);
    await again.store.close();
  }
  rmSync(original, { recursive: true });
}

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { concat, fromHex } from '#core/bytes.ts';
import { hasCode } from '#core/errors.ts';
import { id32Of, type BlockId } from '#core/ids.ts';
import { realChecksum as checksum } from '#world/real/checksum.ts';
import { readGolden } from '../../../test/golden.ts';
import { blockOf, randomBlock } from '../block-store.contract.ts';
import type { Block } from '../block-store.ts';
import { flip } from './damage.contract.ts';
import {
  expectFound,
  newDirectory,
  openIn,
  removeIndex,
  segmentFiles,
  TEST_NODE,
} from './disk-block-store.contract.ts';
import { failingDisk, newFaults } from './failing-disk.contract.ts';
import {
  encodeFooterPayload,
  RECORD_HEADER_BYTES,
  encodeRecord,
  encodeSegmentHeader,
  recordBytes,
  SEGMENT_HEADER_BYTES,
  type RecordKind,
} from './segment-format.ts';

const { signal } = new AbortController();

const SALT = 0x01020304;

type Wanted = {
  readonly kind: RecordKind;
  readonly id: BlockId;
  readonly fence: number;
  readonly payload?: Uint8Array;
};

/** A segment 1 of these records, each a group of its own. */
function writeSegment(directory: string, wanted: readonly Wanted[], segment = 1): void {
  const pieces = [encodeSegmentHeader(checksum, { segment, node: TEST_NODE, salt: SALT })];
  let offset = SEGMENT_HEADER_BYTES;
  for (const { kind, id, fence, payload = new Uint8Array(0) } of wanted) {
    const place = { segment, salt: SALT, offset, group: offset };
    pieces.push(...encodeRecord(checksum, { kind, id, fence, payloadLength: payload.length, ...place }, payload));
    offset += recordBytes(payload.length);
  }
  mkdirSync(path.join(directory, 'segments'), { recursive: true });
  const name = `seg-${segment.toString(16).padStart(16, '0')}.hfs`;
  writeFileSync(path.join(directory, 'segments', name), concat(...pieces));
}

const order = new Uint8Array(8);

test('order in the log decides: a tombstone spares what has no lower fence, and what was put after it', async () => {
  const blocks = [10, 20, 30, 40, 50].map(randomBlock);
  type Held = { readonly id: BlockId; readonly payload: Uint8Array };
  const held = blocks.map(({ id, bytes: payload }) => ({ id, payload }));
  const [gone, spared, raised, again, equal] = held as [Held, Held, Held, Held, Held];
  const directory = newDirectory();
  writeSegment(directory, [
    ...[gone, raised, again].map((block) => ({ ...block, kind: 'block' as const, fence: 3 })),
    { ...spared, kind: 'block', fence: 6 },
    { ...equal, kind: 'block', fence: 5 },
    { kind: 'fence', id: raised.id, fence: 5 },
    ...held.map(({ id }) => ({ kind: 'tombstone' as const, id, fence: 5, payload: order })),
    { ...again, kind: 'block', fence: 3 },
  ]);
  const { store, lines } = await openIn(directory);
  assert.deepEqual(
    await store.has(
      blocks.map(({ id }) => id),
      signal,
    ),
    [false, true, true, true, true],
  );
  assert.equal((await store.status()).blocks, 4);
  assert.equal((await store.status()).storedBytes, 20 + 30 + 40 + 50);
  assert.deepEqual(lines, []);
});

test('the golden segment opens', async () => {
  const golden = readGolden<{ header: string; records: { bytes: string }[] }>('segment');
  const directory = newDirectory();
  mkdirSync(path.join(directory, 'segments'));
  const hex = golden.header + golden.records.map(({ bytes }) => bytes).join('');
  for (const length of [hex.length / 2, hex.length / 2 - 8]) {
    const bytes = (fromHex(hex) as Uint8Array).subarray(0, length);
    const place = newDirectory();
    mkdirSync(path.join(place, 'segments'));
    writeFileSync(path.join(place, 'segments', 'seg-0000000000000102.hfs'), bytes);
    const { store } = await openIn(place);
    const held = blockOf(new TextEncoder().encode('holdfast'));
    assert.deepEqual(await store.get([held.id], signal), [{ kind: 'found', bytes: held.bytes }]);
    assert.equal((await store.status()).blocks, 1);
    await store.put([randomBlock(10)], 1, signal);
    const files = segmentFiles(place).map((file) => path.basename(file));
    const next = length === hex.length / 2 ? ['seg-0000000000000103.hfs'] : [];
    assert.deepEqual(files, ['seg-0000000000000102.hfs', ...next]);
    await store.close();
  }
});

test('a kind of record that came later stops the start', async () => {
  const directory = newDirectory();
  const id = id32Of<BlockId>(new Uint8Array(32));
  writeSegment(directory, [{ kind: 'fence', id, fence: 1 }]);
  const [name] = segmentFiles(directory) as [string];
  const pieces = encodeRecord(
    checksum,
    { kind: 'fence', id, fence: 1, payloadLength: 0, segment: 1, salt: SALT, offset: 64, group: 64 },
    new Uint8Array(0),
  );
  const record = concat(...pieces);
  record[4] = 77;
  new DataView(record.buffer).setUint32(76, checksum.crc32(record.subarray(0, 76)));
  const bytes = concat(encodeSegmentHeader(checksum, { segment: 1, node: TEST_NODE, salt: SALT }), record);
  writeFileSync(name, bytes);
  await assert.rejects(openIn(directory), (error) => hasCode(error, 'newer_version'));
});

/** A segment 1 with one group of these, of which what is not whole lost the last byte of its payload. */
function writeGroup(directory: string, wanted: readonly { readonly block: Block; readonly whole: boolean }[]): string {
  const pieces = [encodeSegmentHeader(checksum, { segment: 1, node: TEST_NODE, salt: SALT })];
  let offset = SEGMENT_HEADER_BYTES;
  for (const { block, whole } of wanted) {
    const { id, bytes } = block;
    const place = { segment: 1, salt: SALT, offset, group: SEGMENT_HEADER_BYTES };
    const record = { ...place, kind: 'block', fence: 1, id, payloadLength: bytes.length } as const;
    const written = concat(...encodeRecord(checksum, record, bytes));
    if (!whole) flip(written, RECORD_HEADER_BYTES + bytes.length - 1);
    pieces.push(written);
    offset += written.length;
  }
  mkdirSync(path.join(directory, 'segments'));
  const name = path.join(directory, 'segments', 'seg-0000000000000001.hfs');
  writeFileSync(name, concat(...pieces));
  return name;
}

test('torn bytes before a whole record of the same group are no damage, at no later start either', async () => {
  const [torn, whole, later] = [randomBlock(100), randomBlock(50), randomBlock(20)] as const;
  for (const losesIndex of [false, true]) {
    const directory = newDirectory();
    writeGroup(directory, [
      { block: torn, whole: false },
      { block: whole, whole: true },
    ]);
    for (const put of [[], [later], []]) {
      if (losesIndex) removeIndex(directory);
      const { store, lines } = await openIn(directory);
      assert.deepEqual(await store.has([torn.id, whole.id], signal), [false, true]);
      await store.put(put, 1, signal);
      assert.equal((await store.status()).quarantined, 0);
      assert.ok(lines.every((line) => line.startsWith('warn:')));
      await store.close();
    }
    const { store } = await openIn(directory);
    assert.deepEqual(await store.put([torn], 1, signal), ['stored']);
    await expectFound(store, [torn, whole, later]);
    await store.close();
  }
});

test('of torn bytes among whole records a full disk keeps the rest served', async () => {
  const directory = newDirectory();
  const [torn, whole] = [randomBlock(100), randomBlock(50)] as const;
  const name = writeGroup(directory, [
    { block: torn, whole: false },
    { block: whole, whole: true },
  ]);
  const before = readFileSync(name);
  const faults = newFaults();
  faults.next.set('append', ['no_space']);
  const full = await openIn(directory, {}, (disk) => failingDisk(disk, faults));
  await expectFound(full.store, [whole]);
  assert.deepEqual(readFileSync(name), before);
  assert.deepEqual(await full.store.put([torn], 1, signal), ['stored']);
  await full.store.close();
  const { store } = await openIn(directory);
  await expectFound(store, [torn, whole]);
  assert.equal((await store.status()).quarantined, 0);
  await store.close();
});

test('a torn end is cut off as a whole, however many records it was to hold', async () => {
  const directory = newDirectory();
  const [whole, first, second] = [randomBlock(50), randomBlock(100), randomBlock(30)] as const;
  const name = writeGroup(directory, [
    { block: whole, whole: true },
    { block: first, whole: false },
    { block: second, whole: false },
  ]);
  const { store } = await openIn(directory);
  assert.equal(readFileSync(name).length, SEGMENT_HEADER_BYTES + recordBytes(50));
  assert.deepEqual(await store.put([first, second], 1, signal), ['stored', 'stored']);
  await expectFound(store, [whole, first, second]);
  assert.equal(segmentFiles(directory).length, 1);
  await store.close();
});

test('the index takes nothing that a power cut during the start could still take back', async () => {
  const directory = newDirectory();
  const block = randomBlock(50);
  const name = writeGroup(directory, [{ block, whole: true }]);
  const faults = newFaults();
  faults.next.set('sync', ['disk_failed']);
  const opening = openIn(directory, {}, (disk) => failingDisk(disk, faults));
  await assert.rejects(opening, (error) => hasCode(error, 'disk_failed'));
  writeFileSync(name, readFileSync(name).subarray(0, SEGMENT_HEADER_BYTES));
  const { store, lines } = await openIn(directory);
  assert.deepEqual(await store.has([block.id], signal), [false]);
  assert.equal((await store.status()).quarantined, 0);
  assert.deepEqual(lines, []);
  await store.close();
});

test('files that are no segments are left alone', async () => {
  const directory = newDirectory();
  mkdirSync(path.join(directory, 'segments'));
  writeFileSync(path.join(directory, 'segments', 'seg-1.hfs.bak'), 'x');
  const { store, lines } = await openIn(directory);
  await store.put([randomBlock(1)], 1, signal);
  assert.deepEqual(lines, []);
  assert.equal(segmentFiles(directory).length, 2);
});

test('a block that looks like records of the log is a block, whatever is lost around it', async () => {
  const directory = newDirectory();
  const victim = randomBlock(100);
  const opened = await openIn(directory);
  await opened.store.put([victim], 1, signal);
  const forgedAt = SEGMENT_HEADER_BYTES + recordBytes(100) + RECORD_HEADER_BYTES;
  // Whoever sends blocks may guess where they will lie, but not the salt.
  const place = { segment: 1, salt: 0, group: forgedAt };
  const tombstone = { kind: 'tombstone', id: victim.id, fence: 9, payloadLength: 8 } as const;
  const forged = encodeRecord(checksum, { ...tombstone, ...place, offset: forgedAt }, order);
  const footerAt = forgedAt + recordBytes(8);
  const listed = encodeFooterPayload([{ ...tombstone, offset: forgedAt }], footerAt);
  const footer = { kind: 'footer', id: blockOf(listed).id, fence: 0, payloadLength: listed.length } as const;
  const attack = blockOf(
    concat(...forged, ...encodeRecord(checksum, { ...footer, ...place, offset: footerAt }, listed)),
  );
  assert.equal(attack.bytes.length % 8, 0);
  assert.deepEqual(await opened.store.put([attack], 1, signal), ['stored']);
  await opened.store.close();
  const [name] = segmentFiles(directory) as [string];
  const whole = readFileSync(name);
  const headerLost = new Uint8Array(whole);
  headerLost.fill(0, forgedAt - RECORD_HEADER_BYTES, forgedAt);
  for (const bytes of [whole, headerLost]) {
    removeIndex(directory);
    writeFileSync(name, bytes);
    const { store } = await openIn(directory);
    assert.deepEqual(await store.has([victim.id, attack.id], signal), [true, bytes === whole]);
    await store.close();
  }
});

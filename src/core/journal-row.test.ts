import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, equalBytes, fromHex, toHex } from './bytes.ts';
import type { Entry, JournalRow } from './entry.ts';
import { hasCode } from './errors.ts';
import { id16Of, id32Of, TRASH_ENTRY, type EntryId, type Epoch, type SpaceId } from './ids.ts';
import { chainNext, chainStart, encodeRow, frameRows, parseRow, parseRows } from './journal-row.ts';

type Golden = {
  space: SpaceId;
  epoch: Epoch;
  chainStart: string;
  rows: { row: JournalRow; bytes: string; chain: string }[];
};
const golden = readGolden<Golden>('journal');
const hex = (text: string): Uint8Array => must(fromHex(text), 'hexadecimal');
type EntryRow = Extract<JournalRow, { kind: 'entry' }>;

test('golden: rows and the chain over them', () => {
  let chain = chainStart(p, golden.space, golden.epoch);
  assert.equal(chain, golden.chainStart);
  for (const { row, bytes, chain: expected } of golden.rows) {
    assert.equal(toHex(encodeRow(row)), bytes);
    assert.deepEqual(parseRow(hex(bytes)), row);
    chain = chainNext(p, chain, hex(bytes));
    assert.equal(chain, expected);
  }
});

test('another row, another order, another space or epoch: another chain', () => {
  const [first, second] = golden.rows.map((row) => hex(row.bytes));
  const start = chainStart(p, golden.space, golden.epoch);
  const inOrder = chainNext(p, chainNext(p, start, must(first, 'a row')), must(second, 'a row'));
  assert.notEqual(chainNext(p, chainNext(p, start, must(second, 'a row')), must(first, 'a row')), inOrder);
  assert.notEqual(chainStart(p, golden.epoch as string as SpaceId, golden.space as string as Epoch), start);
});

test('names of every length', () => {
  const files = golden.rows.flatMap(({ row }) => (row.kind === 'entry' ? [row] : []));
  assert.ok(files.some(({ entry }) => entry.kind === 'file'));
  for (const row of files)
    for (let length = 1; length <= 255; length++) {
      const named = { ...row, entry: { ...row.entry, name: 'n'.repeat(length) } };
      assert.deepEqual(parseRow(encodeRow(named)), named, `${row.entry.kind}, ${length}`);
    }
});

const id16 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => id16Of<EntryId>(bytes));
const id32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => id32Of<never>(bytes));
const count = fc.maxSafeNat();
const name = fc.string({ minLength: 1, maxLength: 60, unit: 'binary' });

const entryRow = fc
  .record({
    ids: fc.tuple(id16, id16, id16, id16, id16, id16),
    kind: fc.constantFrom('file' as const, 'folder' as const, 'symlink' as const),
    name,
    target: name,
    seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    older: count,
    placedLast: fc.boolean(),
    contentIds: fc.tuple(id32, id32),
    size: count,
    times: fc.tuple(fc.maxSafeInteger(), fc.maxSafeInteger()),
    exec: fc.boolean(),
    trashed: fc.boolean(),
  })
  .map((made): EntryRow => {
    const [space, epoch, device, entryId, parent, trashedFrom] = made.ids as unknown as [
      SpaceId,
      Epoch,
      EntryRow['device'],
      EntryId,
      EntryId,
      EntryId,
    ];
    const older = Math.min(made.older, made.seq);
    const file = made.kind === 'file';
    const entry: Entry = {
      entry: entryId,
      parent: made.trashed ? TRASH_ENTRY : parent,
      name: made.name,
      kind: made.kind,
      revision: made.placedLast ? older : made.seq,
      placed: made.placedLast ? made.seq : older,
      seq: made.seq,
      content: file ? { contentId: made.contentIds[0], manifestId: made.contentIds[1], size: made.size } : null,
      target: made.kind === 'symlink' ? made.target : null,
      mtimeUs: file ? made.times[0] : 0,
      exec: file && made.exec,
      trashedFrom: made.trashed ? trashedFrom : null,
    };
    return { kind: 'entry', space, epoch, seq: made.seq, base: older, device, atMs: made.times[1], entry };
  });

test('every row comes back as it was', () => {
  fc.assert(fc.property(entryRow, (row) => assert.deepEqual(parseRow(encodeRow(row)), row)));
});

test('what parses at all is the one encoding of what it parses to', () => {
  fc.assert(
    fc.property(entryRow, fc.nat(), fc.integer({ min: 1, max: 255 }), (row, at, change) => {
      const bytes = encodeRow(row);
      const index = at % bytes.length;
      bytes[index] = (bytes[index] as number) ^ change;
      let parsed: JournalRow;
      try {
        parsed = parseRow(bytes);
      } catch (error) {
        assert(hasCode(error, 'integrity', 'upgrade_required'), String(error));
        return;
      }
      assert(equalBytes(encodeRow(parsed), bytes));
    }),
    { numRuns: 2000 },
  );
});

test('cut and lengthened rows are malformed', () => {
  for (const { bytes } of golden.rows) {
    const whole = hex(bytes);
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => parseRow(whole.subarray(0, length)), { code: 'integrity' });
    }
    assert.throws(() => parseRow(concat(whole, Uint8Array.of(0))), { code: 'integrity' });
  }
});

test('what a later version may write stops the reader, and is not taken for damage', () => {
  const change = (offset: number, value: number): Uint8Array => {
    const bytes = hex(must(golden.rows[1], 'a file').bytes);
    bytes[offset < 0 ? bytes.length + offset : offset] = value;
    return bytes;
  };
  const kindAt = 72 + 8 + 16 + 16 + 8 + 8;
  assert.equal(change(kindAt, 1)[kindAt], hex(must(golden.rows[1], 'a file').bytes)[kindAt], 'the offset is right');
  for (const bytes of [change(3, 2), change(4, 3), change(kindAt, 4), change(kindAt + 1, 4), change(-1, 64)]) {
    assert.throws(() => parseRow(bytes), { code: 'upgrade_required' });
  }
  assert.throws(() => parseRow(change(0, 0)), { code: 'integrity' });
  assert.throws(() => parseRow(change(79, 200)), { code: 'integrity' }, 'a base in the future');
  const folder = hex(must(golden.rows[0], 'a folder').bytes);
  folder[kindAt + 1] = 1;
  assert.throws(() => parseRow(folder), { code: 'integrity' }, 'a folder that is executable');
  const key = hex(must(golden.rows[3], 'a key').bytes);
  key.fill(0, 72, 76);
  assert.throws(() => parseRow(key), { code: 'integrity' }, 'key version 0');
  assert.throws(() => parseRow(change(5, 1)), { code: 'integrity' });
});

test('a row that is not whole is a defect of who makes it', () => {
  const row = must(golden.rows[1], 'a file').row;
  assert(row.kind === 'entry');
  const wrong: Partial<Entry>[] = [
    { content: null },
    { target: 'x' },
    { seq: 3 },
    { revision: 1, placed: 1 },
    { parent: TRASH_ENTRY },
    { trashedFrom: row.entry.entry },
    { name: 'é'.repeat(128) },
    { name: '\ud800' },
    { kind: 'mount' },
  ];
  for (const change of wrong) {
    assert.throws(
      () => encodeRow({ ...row, entry: { ...row.entry, ...change } }),
      { name: 'Defect' },
      JSON.stringify(change),
    );
  }
});

test('framed rows come apart again, and only whole', () => {
  const rows = golden.rows.map((row) => hex(row.bytes));
  const framed = frameRows(rows);
  assert.deepEqual(parseRows(framed), rows);
  assert.deepEqual(parseRows(frameRows([])), []);
  const borders = new Set<number>([0]);
  for (const row of rows) borders.add(Math.max(...borders) + 4 + row.length);
  for (let length = 0; length < framed.length; length++) {
    if (borders.has(length)) continue;
    assert.throws(() => parseRows(framed.subarray(0, length)), { code: 'integrity' });
  }
  assert.throws(() => parseRows(Uint8Array.of(0, 0, 0, 0)), { code: 'integrity' });
  assert.throws(() => parseRows(concat(Uint8Array.of(0, 2, 0, 0), new Uint8Array(0x20000))), { code: 'integrity' });
});

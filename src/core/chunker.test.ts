import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { goldenPattern, readGolden } from '../../test/golden.ts';
import { toHex } from './bytes.ts';
import {
  chunkBytesMax,
  chunkerForRevision,
  chunkerForSize,
  cutPoint,
  makeGearTable,
  type ChunkerKind,
} from './chunker.ts';
import { KIB, MIB } from './limits.ts';

type Golden = {
  gearSha256: string;
  gear: number[];
  cuts: { kind: ChunkerKind; pattern?: number; zeros?: number; lengths: number[] }[];
};
const golden = readGolden<Golden>('chunker');
const pattern = goldenPattern(10 * MIB, (bytes) => p.sha256(bytes));

/** Cuts `bytes` as a reader does that never sees more than `window` of them at once, in steps that `window` does not divide. */
function cutAll(kind: ChunkerKind, bytes: Uint8Array, window: number): number[] {
  const lengths: number[] = [];
  let start = 0;
  let end = 0;
  while (start < bytes.length) {
    end = Math.min(bytes.length, Math.max(end, start) + window);
    const length = cutPoint(kind, bytes.subarray(start, end), 0, end - start, end === bytes.length);
    if (length === 0) continue;
    lengths.push(length);
    start += length;
  }
  return lengths;
}

test('golden: the gear table', () => {
  const table = makeGearTable();
  const bytes = new Uint8Array(1024);
  table.forEach((value, index) => new DataView(bytes.buffer).setInt32(4 * index, value));
  assert.equal(toHex(p.sha256(bytes)), golden.gearSha256);
  assert.deepEqual(
    [table[0], table[1], table[255]].map((value) => (value ?? 0) >>> 0),
    golden.gear,
  );
  assert.equal(new Set(table).size, 256);
});

for (const row of golden.cuts) {
  test(`golden cuts: ${row.kind} of ${row.pattern ?? row.zeros} ${row.zeros === undefined ? 'pattern' : 'zeros'}`, () => {
    const bytes = row.zeros === undefined ? pattern.subarray(0, row.pattern) : new Uint8Array(row.zeros);
    assert.deepEqual(cutAll(row.kind, bytes, bytes.length), row.lengths);
  });
}

test('where the cuts fall does not depend on how the bytes arrive', () => {
  const bytes = pattern.subarray(0, 4 * MIB);
  for (const kind of ['one', 'cdc-512k', 'cdc-2m'] as const) {
    const whole = cutAll(kind, bytes, bytes.length);
    fc.assert(
      fc.property(fc.integer({ min: 50_000, max: 3 * MIB }), (window) => {
        assert.deepEqual(cutAll(kind, bytes, window), whole);
      }),
      { numRuns: 8 },
    );
  }
});

test('a range inside a buffer is cut like a buffer of its own', () => {
  for (const start of [1, 31, 4097]) {
    const own = pattern.slice(start, start + 3 * MIB);
    const expected = cutPoint('cdc-512k', own, 0, own.length, true);
    assert.equal(cutPoint('cdc-512k', pattern, start, start + 3 * MIB, true), expected);
  }
});

test('chunks keep to their bounds, whatever the bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      fc.integer({ min: 1, max: 5 * MIB }),
      (unit, length) => {
        const bytes = new Uint8Array(length);
        for (let offset = 0; offset < length; offset += unit.length)
          bytes.set(unit.subarray(0, length - offset), offset);
        const lengths = cutAll('cdc-512k', bytes, length);
        assert.equal(
          lengths.reduce((sum, one) => sum + one, 0),
          length,
        );
        for (const one of lengths.slice(0, -1)) assert(one >= 128 * KIB && one <= 2 * MIB);
        assert((lengths.at(-1) ?? 0) <= 2 * MIB);
      },
    ),
    { numRuns: 20 },
  );
});

test('a byte put in moves the cuts around it and no others', () => {
  const inserted = new Uint8Array(pattern.length + 1);
  inserted.set(pattern.subarray(0, 3 * MIB));
  inserted.set(pattern.subarray(3 * MIB), 3 * MIB + 1);
  const hashes = (bytes: Uint8Array): Set<string> => {
    const found = new Set<string>();
    let start = 0;
    for (const length of cutAll('cdc-512k', bytes, bytes.length)) {
      found.add(toHex(p.sha256(bytes.subarray(start, start + length))));
      start += length;
    }
    return found;
  };
  const before = hashes(pattern);
  const kept = [...hashes(inserted)].filter((hash) => before.has(hash)).length;
  assert(kept >= before.size - 3, `${kept} of ${before.size} chunks kept`);
});

test('a cut depends on the 32 bytes before it, from the shortest chunk on', () => {
  const [first] = cutAll('cdc-512k', pattern, pattern.length);
  const rare = cutAll('cdc-512k', pattern, pattern.length).findIndex((length) => length < 512 * KIB);
  const endOf = (count: number): number =>
    cutAll('cdc-512k', pattern, pattern.length)
      .slice(0, count)
      .reduce((sum, length) => sum + length, 0);
  assert(first !== undefined && first > 512 * KIB && rare > 0);
  // 32 bytes that cut chunks of any length, and 32 that cut only those of the normal length or longer.
  const anywhere = pattern.subarray(endOf(rare + 1) - 32, endOf(rare + 1));
  const onlyAbove = pattern.subarray(first - 32, first);
  const cutWith = (window: Uint8Array, length: number): number => {
    const bytes = new Uint8Array(MIB);
    bytes.set(window, length - 32);
    return cutPoint('cdc-512k', bytes, 0, bytes.length, true);
  };
  assert.equal(cutWith(anywhere, 128 * KIB), 128 * KIB);
  assert.equal(cutWith(anywhere, 128 * KIB - 1), MIB);
  assert.equal(cutWith(anywhere, 512 * KIB - 1), 512 * KIB - 1);
  assert.equal(cutWith(onlyAbove, 512 * KIB - 1), MIB);
  assert.equal(cutWith(onlyAbove, 512 * KIB), 512 * KIB);
});

test('more bytes are asked for only where they could change the answer', () => {
  const bytes = pattern.subarray(0, 2 * MIB);
  assert.equal(cutPoint('one', bytes, 0, 512 * KIB - 1, false), 0);
  assert.equal(cutPoint('one', bytes, 0, 512 * KIB, false), 512 * KIB);
  assert.equal(cutPoint('one', bytes, 0, 0, true), 0);
  for (const kind of ['one', 'cdc-512k', 'cdc-2m'] as const) {
    const zeros = new Uint8Array(chunkBytesMax(kind));
    assert.equal(cutPoint(kind, zeros, 0, zeros.length, false), zeros.length);
    assert.equal(cutPoint(kind, zeros, 0, zeros.length - 1, false), 0);
    assert.equal(cutPoint(kind, zeros, 0, 7, true), 7);
  }
});

test('the chunker follows the size at first sight, and is kept', () => {
  assert.equal(chunkerForSize(0), 'one');
  assert.equal(chunkerForSize(512 * KIB), 'one');
  assert.equal(chunkerForSize(512 * KIB + 1), 'cdc-512k');
  assert.equal(chunkerForSize(4096 * MIB), 'cdc-512k');
  assert.equal(chunkerForSize(4096 * MIB + 1), 'cdc-2m');
  assert.equal(chunkerForRevision(9000 * MIB, 'cdc-512k'), 'cdc-512k');
  assert.equal(chunkerForRevision(10, 'cdc-2m'), 'cdc-2m');
  assert.equal(chunkerForRevision(MIB, 'one'), 'cdc-512k');
  assert.equal(chunkerForRevision(MIB, null), 'cdc-512k');
});

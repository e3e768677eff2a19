import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, fromHex, toHex } from './bytes.ts';
import { encodeExportRecord, exportHead, ExportParser, type ExportRecord, type ExportValue } from './export-stream.ts';
import type { BlockId, ClusterId } from './ids.ts';
import { clusterIdOf } from './key-list.ts';
import { encodeRootIndex, parseRootIndex, type RootIndex } from './root-index.ts';
import { newestFirst, ROOT_RECORD_BYTES, rootsToKeep, signRoot, verifyRoot, type RootRecord } from './root-record.ts';
import { blockIdOf, deriveSealKey, openBlock, sealData } from './seal.ts';

type Made = { bytes: string; block: string };
type GoldenRecord = {
  kind: 'table' | 'whole' | 'row';
  table: number;
  name: string;
  columns: string[];
  values: (null | number | string | { hex: string })[];
};
type Golden = {
  identity: { seed: string; publicKey: string; cluster: ClusterId };
  rootKey: string;
  stream: Made & { records: GoldenRecord[] };
  index: Made & RootIndex & { id: BlockId };
  root: Made & Pick<RootRecord, 'incarnation' | 'generation' | 'seq' | 'timeMs'>;
};
const golden = readGolden<Golden>('roots');
const hex = (text: string): Uint8Array => must(fromHex(text), 'hexadecimal');
const seed = hex(golden.identity.seed);
const { cluster } = golden.identity;
const sealKey = deriveSealKey(p, hex(golden.rootKey), 'metadata');
const records = golden.stream.records.map((record): ExportRecord => {
  if (record.kind !== 'row') return record as ExportRecord;
  const values = record.values.map(
    (value): ExportValue => (value !== null && typeof value === 'object' ? hex(value.hex) : value),
  );
  return { kind: 'row', table: record.table, values };
});
const goldenRoot: RootRecord = {
  incarnation: golden.root.incarnation,
  generation: golden.root.generation,
  seq: golden.root.seq,
  timeMs: golden.root.timeMs,
  cluster,
  publicKey: hex(golden.identity.publicKey),
  index: golden.index.id,
  indexLength: golden.index.block.length / 2,
};

test('golden: the root record, as it is and as a block', () => {
  const bytes = signRoot(p, seed, goldenRoot);
  assert.equal(toHex(bytes), golden.root.bytes);
  assert.equal(bytes.length, ROOT_RECORD_BYTES);
  assert.deepEqual(verifyRoot(p, bytes, cluster), goldenRoot);
  assert.equal(toHex(sealData(p, sealKey, bytes)), golden.root.block);
});

test('golden: the index, as it is and as a block', () => {
  const { schemaVersion, incarnation, seq, timeMs, snapshotMs, heads, streams } = golden.index;
  const index = { schemaVersion, incarnation, seq, timeMs, snapshotMs, heads, streams };
  assert.equal(toHex(encodeRootIndex(index)), golden.index.bytes);
  assert.deepEqual(parseRootIndex(hex(golden.index.bytes)), index);
  const block = hex(golden.index.block);
  assert.equal(toHex(must(openBlock(p, sealKey, block, 1 << 20), 'it opens')), golden.index.bytes);
  assert.equal(blockIdOf(p, block), golden.index.id);
});

test('golden: a stream of exported rows, however it is cut', () => {
  const bytes = concat(exportHead(), ...records.map(encodeExportRecord));
  assert.equal(toHex(bytes), golden.stream.bytes);
  for (const size of [1, 2, 7, 50, bytes.length]) {
    const parser = new ExportParser();
    const read: ExportRecord[] = [];
    for (let start = 0; start < bytes.length; start += size)
      read.push(...parser.push(bytes.subarray(start, start + size)));
    parser.end();
    assert.deepEqual(read, records, `pieces of ${size}`);
  }
});

test('a stream that is cut, of another version or with another kind of record is refused', () => {
  const bytes = hex(golden.stream.bytes);
  const read = (changed: Uint8Array) => {
    const parser = new ExportParser();
    const all = [...parser.push(changed)];
    parser.end();
    return all;
  };
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.subarray(0, length);
    let seen: readonly ExportRecord[] = [];
    try {
      seen = read(cut);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'integrity');
      continue;
    }
    assert.ok(seen.length < records.length, 'a stream that ends between two records is the index’s to notice');
  }
  assert.throws(() => read(bytes.map((byte, at) => (at === 3 ? 2 : byte))), { code: 'newer_version' });
  assert.throws(() => read(bytes.map((byte, at) => (at === 0 ? 0 : byte))), { code: 'integrity' });
  assert.throws(() => read(bytes.map((byte, at) => (at === 8 ? 9 : byte))), { code: 'newer_version' });
});

test('every changed byte, cut or addition makes it nobody’s root', () => {
  const bytes = hex(golden.root.bytes);
  for (let index = 0; index < bytes.length; index++) {
    const changed = bytes.slice();
    changed[index] = (changed[index] as number) ^ 1;
    assert.equal(verifyRoot(p, changed, cluster), null, `byte ${index}`);
    assert.equal(verifyRoot(p, bytes.subarray(0, index), cluster), null, `cut to ${index}`);
  }
  assert.equal(verifyRoot(p, concat(bytes, Uint8Array.of(0)), cluster), null);
});

test('another identity’s root is refused, also where it claims the cluster for itself', () => {
  const otherSeed = p.sha256(seed);
  const publicKey = p.ed25519PublicKey(otherSeed);
  const other = clusterIdOf(p, publicKey);
  const bytes = signRoot(p, otherSeed, { ...goldenRoot, cluster: other, publicKey });
  assert.equal(verifyRoot(p, bytes, cluster), null);
  const forged = bytes.slice();
  forged.set(hex(cluster), 4);
  assert.equal(verifyRoot(p, forged, cluster), null);
});

test('an index that is cut is none, one of a later version is said to be that', () => {
  const bytes = hex(golden.index.bytes);
  for (let length = 0; length < bytes.length; length++)
    assert.equal(parseRootIndex(bytes.subarray(0, length)), null, `cut to ${length}`);
  assert.throws(() => parseRootIndex(bytes.map((byte, at) => (at === 3 ? 2 : byte))), { code: 'newer_version' });
});

test('roots are kept by number, hour and day, and incarnation counts before seq', () => {
  const minute = 60_000;
  const roots = Array.from({ length: 3 * 24 * 60 }, (_, seq) => ({ incarnation: 1, seq, timeMs: seq * minute }));
  const kept = [...rootsToKeep(roots)];
  assert.equal(newestFirst(kept)[0]?.seq, roots.length - 1);
  for (let back = 0; back < 100; back++) assert.ok(kept.some(({ seq }) => seq === roots.length - 1 - back));
  const hours = new Set(kept.map(({ timeMs }) => Math.floor(timeMs / 3_600_000)));
  assert.equal(hours.size, 49, '48 hours, and the end of the first day');
  assert.equal(new Set(kept.map(({ timeMs }) => Math.floor(timeMs / 86_400_000))).size, 3);
  assert.ok(kept.length <= 100 + 48 + 30);
  // A clock that jumps ahead by ten years, once.
  const jumped = [...roots, { incarnation: 1, seq: roots.length, timeMs: 3650 * 86_400_000 }];
  assert.ok([...rootsToKeep(jumped)].length >= kept.length - 2, 'each span has one slot less');
  const restored = { incarnation: 2, seq: 1, timeMs: 0 };
  assert.equal(newestFirst([...roots, restored])[0], restored);
  assert.ok(rootsToKeep([...roots, restored]).has(restored));
});

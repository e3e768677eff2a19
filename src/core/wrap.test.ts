import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, fromHex, toHex, utf8 } from './bytes.ts';
import type { ClusterId } from './ids.ts';
import { NO_OBJECT, unwrapSecret, wrapGeneration, wrapSecret, type WrapPlace, type WrapPurpose } from './wrap.ts';

type GoldenWrap = {
  purpose: WrapPurpose;
  generation: number;
  nonce: string;
  object: string;
  version: number;
  secret: string;
  wrap: string;
};
const golden = readGolden<{ identity: { cluster: ClusterId }; rootKey: string; wraps: GoldenWrap[] }>('keys');
const hex = (text: string): Uint8Array => must(fromHex(text), 'hexadecimal');
const key = hex(golden.rootKey);
const { cluster } = golden.identity;
const placeOf = ({ purpose, object, version }: GoldenWrap): WrapPlace => ({ cluster, purpose, object, version });

test('golden: a wrap of every purpose', () => {
  for (const row of golden.wraps) {
    const root = { generation: row.generation, key };
    const wrap = wrapSecret(p, root, hex(row.nonce), placeOf(row), hex(row.secret));
    assert.equal(toHex(wrap), row.wrap);
    assert.equal(wrapGeneration(wrap), row.generation);
    assert.deepEqual(unwrapSecret(p, root, placeOf(row), wrap), hex(row.secret));
  }
  assert.equal(new Set(golden.wraps.map((row) => row.purpose)).size, 9);
});

test('a wrap opens at its own place only', () => {
  const row = must(golden.wraps[1], 'a wrap');
  const root = { generation: row.generation, key };
  const place = placeOf(row);
  const moved: WrapPlace[] = [
    { ...place, object: NO_OBJECT },
    { ...place, version: place.version + 1 },
    { ...place, purpose: 'space_identity_key' },
    { ...place, cluster: NO_OBJECT as ClusterId },
  ];
  for (const elsewhere of moved) assert.equal(unwrapSecret(p, root, elsewhere, hex(row.wrap)), null);
  assert.equal(unwrapSecret(p, { ...root, key: p.sha256(key) }, place, hex(row.wrap)), null);
  assert.equal(unwrapSecret(p, { ...root, generation: root.generation + 1 }, place, hex(row.wrap)), null);
});

test('every changed byte, cut or addition is refused', () => {
  const row = must(golden.wraps[1], 'a wrap');
  const root = { generation: row.generation, key };
  const wrap = hex(row.wrap);
  for (let index = 0; index < wrap.length; index++) {
    const changed = wrap.slice();
    changed[index] = (changed[index] as number) ^ 1;
    assert.equal(unwrapSecret(p, root, placeOf(row), changed), null, `byte ${index}`);
    assert.equal(unwrapSecret(p, root, placeOf(row), wrap.subarray(0, index)), null, `cut to ${index}`);
  }
  assert.equal(unwrapSecret(p, root, placeOf(row), concat(wrap, utf8('x'))), null);
});

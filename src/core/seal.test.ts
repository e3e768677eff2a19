import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex, utf8 } from './bytes.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { blockIdOf, blockKeyOf, deriveSealKey, openBlock, padmeLength, sealData } from './seal.ts';

const K = Uint8Array.from({ length: 32 }, (_, i) => i);

test('anchor', () => {
  const key = deriveSealKey(p, K, 'data');
  assert.equal(toHex(key.sivKey), '2c705928d8e9b8bb65d83c178370b5716936b3fafb6513f377cf2dd1493c0242');
  assert.equal(toHex(key.blockKeyKey), '3622a9762d56acfae40a71d80268e1d283c572a52ce422d350ae3fe4799f794c');
  const block = sealData(p, key, utf8('holdfast'), { compress: false });
  const S = 'f868cd775c9a935ee8fa8053158ca82cbd3383e45f11ba9c6b67d95d12dd2ba7';
  assert.equal(toHex(block), `4846420101000000${S}409963843bbb114bb577de87bf287e38881803e058c35385739a3a38a36999dd`);
  assert.equal(blockIdOf(p, block), 'baf97fbcb0493cb2ecd2ae0c0e4a18340e2d1e1f502d968c654c4d4534dd928a');
  assert.equal(toHex(blockKeyOf(p, key, block)!), 'b3c19ca00814e306c04ffc77f03175abc584c244e6557b8cb33f482838fd242e');
  assert.deepEqual(openBlock(p, key, block, 8), utf8('holdfast'));
  assert.deepEqual([17, 1024, 8008, 1048584, 16777224].map(padmeLength), [18, 1024, 8192, 1081344, 17301504]);
});

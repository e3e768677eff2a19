import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { concat, toHex } from './bytes.ts';
import { isLaterOrder, signDeleteOrder, verifyDeleteOrder, type DeleteOrder } from './delete-order.ts';
import type { BlockId, ClusterId, NodeId } from './ids.ts';

const seed = new Uint8Array(32).fill(7);
const publicKey = p.ed25519PublicKey(seed);
const order: DeleteOrder = {
  cluster: '11'.repeat(16) as ClusterId,
  node: '22'.repeat(16) as NodeId,
  incarnation: 3,
  number: 2 ** 33,
  fence: 5,
  blocks: ['aa'.repeat(32) as BlockId, 'bb'.repeat(32) as BlockId],
};

test('the bytes are those of docs/on-disk.md', () => {
  const bytes = signDeleteOrder(p, seed, order);
  const unsigned =
    '48464f01' +
    '11'.repeat(16) +
    '22'.repeat(16) +
    '00000003' +
    '0000000200000000' +
    '0000000000000005' +
    '00000002' +
    'aa'.repeat(32) +
    'bb'.repeat(32);
  assert.equal(toHex(bytes.subarray(0, bytes.length - 64)), unsigned);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const signed = Buffer.concat([Buffer.from('holdfast/1 order\0'), Buffer.from(unsigned, 'hex')]);
  assert.ok(verify(null, signed, key, bytes.subarray(bytes.length - 64)));
  assert.deepEqual(verifyDeleteOrder(p, bytes, publicKey), order);
  const none = { ...order, blocks: [] };
  assert.deepEqual(verifyDeleteOrder(p, signDeleteOrder(p, seed, none), publicKey), none);
});

test('every changed byte, cut or addition makes it no order', () => {
  const bytes = signDeleteOrder(p, seed, order);
  for (let index = 0; index < bytes.length; index++) {
    const changed = bytes.slice();
    changed[index] = (changed[index] as number) ^ 1;
    assert.equal(verifyDeleteOrder(p, changed, publicKey), null, `byte ${index}`);
    assert.equal(verifyDeleteOrder(p, bytes.subarray(0, index), publicKey), null, `cut to ${index}`);
  }
  assert.equal(verifyDeleteOrder(p, concat(bytes, Uint8Array.of(0)), publicKey), null);
  assert.equal(verifyDeleteOrder(p, bytes, p.ed25519PublicKey(new Uint8Array(32).fill(8))), null);
});

test('later is a higher number, or a higher incarnation', () => {
  const at = (incarnation: number, number: number) => ({ incarnation, number });
  assert.ok(isLaterOrder(at(1, 2), at(1, 1)) && isLaterOrder(at(2, 1), at(1, 9)));
  assert.ok(
    !isLaterOrder(at(1, 1), at(1, 1)) && !isLaterOrder(at(1, 1), at(1, 2)) && !isLaterOrder(at(1, 9), at(2, 1)),
  );
});

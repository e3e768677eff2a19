import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, fromHex, toHex, utf8 } from './bytes.ts';
import type { ClusterId, Pin } from './ids.ts';
import { clusterIdOf, isNewer, signKeyList, verifyKeyList, type KeyList } from './key-list.ts';
import { verifyAs } from './signed.ts';

type GoldenTicketKey = { publicKey: string; fromMs: number; untilMs: number };
type Golden = {
  identity: { seed: string; publicKey: string; cluster: ClusterId };
  keyLists: {
    list: { incarnation: number; seq: number; ticketKeys: GoldenTicketKey[]; pins: Pin[] };
    bytes: string;
  }[];
};
const golden = readGolden<Golden>('keys');
const hex = (text: string): Uint8Array => must(fromHex(text), 'hexadecimal');
const seed = hex(golden.identity.seed);
const publicKey = hex(golden.identity.publicKey);
const { cluster } = golden.identity;
const listOf = (row: Golden['keyLists'][number]): KeyList => ({
  ...row.list,
  cluster,
  publicKey,
  ticketKeys: row.list.ticketKeys.map((key) => ({ ...key, publicKey: hex(key.publicKey) })),
});

test('golden: the identity names the cluster', () => {
  assert.deepEqual(p.ed25519PublicKey(seed), publicKey);
  assert.equal(clusterIdOf(p, publicKey), cluster);
});

test('golden: key lists', () => {
  for (const row of golden.keyLists) {
    assert.equal(toHex(signKeyList(p, seed, listOf(row))), row.bytes);
    assert.deepEqual(verifyKeyList(p, hex(row.bytes), cluster), listOf(row));
  }
});

test('every changed byte, cut or addition makes it nobody’s list', () => {
  const bytes = hex(must(golden.keyLists[1], 'a list').bytes);
  for (let index = 0; index < bytes.length; index++) {
    const changed = bytes.slice();
    changed[index] = (changed[index] as number) ^ 1;
    assert.equal(verifyKeyList(p, changed, cluster), null, `byte ${index}`);
    assert.equal(verifyKeyList(p, bytes.subarray(0, index), cluster), null, `cut to ${index}`);
  }
  assert.equal(verifyKeyList(p, concat(bytes, Uint8Array.of(0)), cluster), null);
});

test('another identity’s list is refused, also where it claims the cluster for itself', () => {
  const otherSeed = p.sha256(utf8('another identity'));
  const otherKey = p.ed25519PublicKey(otherSeed);
  const otherCluster = clusterIdOf(p, otherKey);
  const list = { ...listOf(must(golden.keyLists[0], 'a list')), cluster: otherCluster, publicKey: otherKey };
  const bytes = signKeyList(p, otherSeed, list);
  assert.deepEqual(verifyKeyList(p, bytes, otherCluster), list);
  assert.equal(verifyKeyList(p, bytes, cluster), null);
  const claiming = concat(bytes.subarray(0, 4), hex(cluster), bytes.subarray(20, -64));
  const resigned = concat(claiming, p.ed25519Sign(otherSeed, concat(utf8('holdfast/1 key list\0'), claiming)));
  assert.equal(verifyKeyList(p, resigned, cluster), null);
});

test('a signature for one thing is none for another', () => {
  const bytes = hex(must(golden.keyLists[0], 'a list').bytes);
  const [message, signature] = [bytes.subarray(0, -64), bytes.subarray(-64)];
  assert.equal(verifyAs(p, publicKey, 'holdfast/1 key list', message, signature), true);
  assert.equal(verifyAs(p, publicKey, 'holdfast/1 root', message, signature), false);
});

test('newer is a higher incarnation, then a higher seq', () => {
  const at = (incarnation: number, seq: number) => ({ incarnation, seq });
  assert.equal(isNewer(at(1, 2), at(1, 1)), true);
  assert.equal(isNewer(at(2, 0), at(1, 9)), true);
  assert.equal(isNewer(at(1, 9), at(2, 0)), false);
  assert.equal(isNewer(at(1, 1), at(1, 1)), false);
});

test('a list that its signer is not named in is a defect', () => {
  const list = listOf(must(golden.keyLists[0], 'a list'));
  assert.throws(() => signKeyList(p, p.sha256(seed), list), { name: 'Defect' });
});

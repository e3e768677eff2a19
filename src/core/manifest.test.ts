import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, fromHex, toHex, utf8, viewOf } from './bytes.ts';
import { id32Of, type BlockId, type ChunkHash } from './ids.ts';
import { makeKeyring, type SealKeys } from './keyring.ts';
import {
  contentIdOf,
  manifestIdOf,
  openChunk,
  openManifest,
  parseManifestPublic,
  sealManifest,
  type Manifest,
  type ManifestChunk,
} from './manifest.ts';
import { blockIdOf, sealData } from './seal.ts';

type GoldenChunk = Omit<ManifestChunk, 'blockKey'> & { blockKey?: string };
type Golden = {
  identityKey: string;
  versions: { version: number; key: string }[];
  blocks: string[];
  manifests: {
    name: string;
    keyVersion: number;
    manifest: Omit<Manifest, 'chunks'> & { chunks: GoldenChunk[] };
    bytes: string;
    manifestId: string;
    contentId: string;
  }[];
};
const golden = readGolden<Golden>('manifest');
const hex = (text: string | undefined): Uint8Array => must(fromHex(must(text, 'a field')), 'hexadecimal');

const versions = golden.versions.map(({ version, key }) => ({ version, key: hex(key) }));
const keyringAt = (version: number, identityKey = hex(golden.identityKey)) =>
  makeKeyring(p, { identityKey, current: must(versions[version - 1], 'a version'), versions });
const keyring = keyringAt(2);
const blocks = new Map(golden.blocks.map((block) => [blockIdOf(p, hex(block)), hex(block)]));
const manifestOf = (row: Golden['manifests'][number]): Manifest => ({
  ...row.manifest,
  chunks: row.manifest.chunks.map(({ blockKey, ...chunk }) =>
    blockKey === undefined ? chunk : { ...chunk, blockKey: hex(blockKey) },
  ),
});
const named = (name: string) => {
  const row = must(
    golden.manifests.find((one) => one.name === name),
    'a golden manifest',
  );
  return { manifest: manifestOf(row), bytes: hex(row.bytes) };
};

for (const row of golden.manifests) {
  test(`golden manifest: ${row.name}`, () => {
    const manifest = manifestOf(row);
    const sealed = sealManifest(p, keyringAt(row.keyVersion), manifest);
    assert.equal(toHex(sealed.bytes), row.bytes);
    assert.equal(sealed.manifestId, row.manifestId);
    assert.equal(sealed.contentId, row.contentId);
    assert.deepEqual(openManifest(p, keyring, sealed.bytes), manifest);
    assert.equal(manifestIdOf(p, sealed.bytes), row.manifestId);
    assert.equal(contentIdOf(p, keyring, manifest), row.contentId);
    assert.deepEqual(parseManifestPublic(sealed.bytes), {
      keyVersion: row.keyVersion,
      blocks: manifest.chunks.map(({ blockId, storedLength, keyVersion }) => ({
        id: blockId,
        storedLength,
        keyVersion,
      })),
    });
    for (const chunk of manifest.chunks) {
      const plain = must(openChunk(p, keyring, chunk, must(blocks.get(chunk.blockId), 'a golden block')), 'it opens');
      assert.equal(toHex(p.sha256(plain)), chunk.chunkHash);
    }
  });
}

test('a content id is the same whatever sealed it, and another in another space', () => {
  const [raw, compressed] = [named('one chunk'), named('one chunk, compressed, under the other version')];
  assert.notEqual(raw.manifest.chunks[0]?.blockId, compressed.manifest.chunks[0]?.blockId);
  assert.equal(contentIdOf(p, keyring, raw.manifest), contentIdOf(p, keyringAt(1), compressed.manifest));
  const elsewhere = keyringAt(2, p.sha256(utf8('another space')));
  assert.notEqual(contentIdOf(p, elsewhere, raw.manifest), contentIdOf(p, keyring, raw.manifest));
});

test('a chunk opens from its own block alone', () => {
  const { manifest } = named('one of another space between two');
  for (const chunk of manifest.chunks) {
    for (const [id, block] of blocks) {
      assert.equal(openChunk(p, keyring, chunk, block) !== null, id === chunk.blockId);
    }
    const block = must(blocks.get(chunk.blockId), 'a golden block');
    assert.equal(openChunk(p, keyring, { ...chunk, storedLength: chunk.storedLength + 1 }, block), null);
    assert.equal(openChunk(p, keyring, { ...chunk, keyVersion: 3 }, block), null, 'a version that nobody gave us');
  }
});

test('every changed byte, every cut and every addition is refused', () => {
  const { bytes } = named('one of another space between two');
  for (let index = 0; index < bytes.length; index++) {
    const changed = bytes.slice();
    changed[index] = (changed[index] as number) ^ 0x10;
    assert.equal(openManifest(p, keyring, changed), null, `byte ${index}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(openManifest(p, keyring, bytes.subarray(0, length)), null, `cut to ${length}`);
  }
  assert.equal(openManifest(p, keyring, concat(bytes, Uint8Array.of(0))), null);
});

test('parts of two manifests do not make one', () => {
  const [one, three, other] = [named('one chunk'), named('three chunks'), named('one of another space between two')];
  const publicLength = (manifest: Manifest): number => 12 + 40 * manifest.chunks.length;
  const splice = (head: typeof one, tail: typeof one): Uint8Array =>
    concat(head.bytes.subarray(0, publicLength(head.manifest)), tail.bytes.subarray(publicLength(tail.manifest)));
  assert.equal(openManifest(p, keyring, splice(three, other)), null, 'equally long, of another file');
  assert.equal(openManifest(p, keyring, splice(one, three)), null);
  const swapped = three.bytes.slice();
  swapped.set(three.bytes.subarray(12, 52), 52);
  swapped.set(three.bytes.subarray(52, 92), 12);
  assert.equal(openManifest(p, keyring, swapped), null, 'two entries of the public part in the other order');
});

test('a manifest of another space or an unknown version is refused', () => {
  const { bytes } = named('one chunk');
  const key = p.sha256(utf8('another space'));
  const stranger: SealKeys = { identityKey: key, current: { version: 2, key }, versions: [] };
  assert.equal(openManifest(p, makeKeyring(p, stranger), bytes), null);
  const onlyFirst = { identityKey: key, current: must(versions[0], 'version 1'), versions: [] };
  assert.equal(openManifest(p, makeKeyring(p, onlyFirst), bytes), null);
});

/** What a member with the space's keys can make: a sealed part of his own choice behind a public part. */
function forge(publicPart: Uint8Array, data: Uint8Array): Uint8Array {
  return concat(publicPart, sealData(p, keyring.currentSealKey('manifest'), concat(p.sha256(publicPart), data)));
}

test('a sealed part that is not true or not canonical is refused', () => {
  const { manifest, bytes } = named('one of another space between two');
  const publicPart = bytes.subarray(0, 12 + 40 * 3);
  const size = (value: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, value);
  const lists = concat(
    ...manifest.chunks.map((chunk) => {
      const length = new Uint8Array(4);
      viewOf(length).setUint32(0, chunk.plainLength);
      return concat(hex(chunk.chunkHash), length);
    }),
  );
  const chunker = Uint8Array.of(2, 0, 0, 0);
  const foreign = concat(Uint8Array.of(0, 0, 0, 1), must(manifest.chunks[1]?.blockKey, 'the foreign one'));
  const opens = (data: Uint8Array): boolean => openManifest(p, keyring, forge(publicPart, data)) !== null;
  const total = size(manifest.size);
  assert.equal(opens(concat(total, chunker, lists, foreign)), true, 'the forger forges rightly');
  assert.equal(opens(concat(size(manifest.size + 1), chunker, lists, foreign)), false, 'a false size');
  assert.equal(opens(concat(total, Uint8Array.of(3, 0, 0, 0), lists, foreign)), false, 'an unknown chunker');
  assert.equal(opens(concat(total, Uint8Array.of(2, 0, 0, 1), lists, foreign)), false, 'a reserved byte');
  assert.equal(opens(concat(total, chunker, lists)), false, 'no key for the foreign entry');
  assert.equal(opens(concat(total, chunker, lists, foreign, foreign)), false, 'a key too many');
  assert.equal(opens(concat(total, chunker, lists, Uint8Array.of(0, 0, 0, 0), foreign.subarray(4))), false);
  assert.equal(opens(concat(total, chunker, lists.subarray(0, 72), foreign)), false, 'a chunk too few');
  const empty = lists.slice();
  viewOf(empty).setUint32(32, 0);
  const rest = size(manifest.size - (manifest.chunks[0]?.plainLength ?? 0));
  assert.equal(opens(concat(rest, chunker, empty, foreign)), false, 'a chunk of no bytes');
});

test('a public part with impossible numbers is refused', () => {
  const { bytes } = named('one chunk');
  const changed = (offset: number, value: number): Uint8Array => {
    const copy = bytes.slice();
    viewOf(copy).setUint32(offset, value);
    return copy;
  };
  assert.notEqual(parseManifestPublic(bytes), null);
  assert.equal(parseManifestPublic(changed(0, 0x48464d02)), null, 'another version');
  assert.equal(parseManifestPublic(changed(4, 0)), null, 'sealed under no version');
  for (const count of [2, 400_001, 0xffffffff]) assert.equal(parseManifestPublic(changed(8, count)), null);
  for (const length of [0, 64, 17 * 2 ** 20 + 1]) assert.equal(parseManifestPublic(changed(44, length)), null);
  assert.equal(parseManifestPublic(new Uint8Array(0)), null);
});

test('what is not whole is not sealed', () => {
  const { manifest } = named('one chunk');
  const wrong: Manifest[] = [
    { ...manifest, size: manifest.size + 1 },
    { ...manifest, chunks: [{ ...must(manifest.chunks[0], 'one'), keyVersion: 0 }] },
    { ...manifest, chunks: [{ ...must(manifest.chunks[0], 'one'), blockKey: new Uint8Array(32) }] },
    { ...manifest, size: 600_000, chunks: [{ ...must(manifest.chunks[0], 'one'), plainLength: 600_000 }] },
  ];
  for (const one of wrong) assert.throws(() => sealManifest(p, keyring, one), { name: 'Defect' });
});

test('any list of chunks comes back as it was', () => {
  const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const chunk = fc
    .record({
      id: bytes32,
      hash: bytes32,
      storedLength: fc.integer({ min: 65, max: 17 * 2 ** 20 }),
      plainLength: fc.integer({ min: 1, max: 2 ** 21 }),
      keyVersion: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    })
    .map(({ id, hash, ...numbers }) => ({
      ...numbers,
      blockId: id32Of<BlockId>(id),
      chunkHash: id32Of<ChunkHash>(hash),
      ...(numbers.keyVersion === 0 ? { blockKey: id } : {}),
    }));
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 20 }), (chunks) => {
      const size = chunks.reduce((sum, one) => sum + one.plainLength, 0);
      const manifest: Manifest = { size, chunker: 'cdc-512k', chunks };
      const sealed = sealManifest(p, keyring, manifest);
      assert.deepEqual(openManifest(p, keyring, sealed.bytes), manifest);
    }),
  );
});

test('the largest file there can be, all of it from elsewhere', () => {
  const blockId = id32Of<BlockId>(new Uint8Array(32));
  const one = {
    blockId,
    storedLength: 2 ** 23,
    chunkHash: id32Of<ChunkHash>(new Uint8Array(32)),
    plainLength: 2 ** 23,
  };
  const chunk: ManifestChunk = { ...one, keyVersion: 0, blockKey: new Uint8Array(32) };
  const chunks = Array.from({ length: 400_000 }, () => chunk);
  const manifest: Manifest = { size: chunks.length * 2 ** 23, chunker: 'cdc-2m', chunks };
  const opened = openManifest(p, keyring, sealManifest(p, keyring, manifest).bytes);
  assert.equal(opened?.size, manifest.size);
  assert.equal(opened?.chunks.length, chunks.length);
  assert.throws(() => sealManifest(p, keyring, { ...manifest, chunks: [...chunks, chunk] }), { name: 'Defect' });
});

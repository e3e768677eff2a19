import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { utf8 } from './bytes.ts';
import { id32Of } from './ids.ts';
import { makeKeyring } from './keyring.ts';
import { contentIdOf, manifestIdOf, openChunk, openManifest, parseManifestPublic, sealManifest } from './manifest.ts';
import { blockIdOf, sealData } from './seal.ts';

test('round', () => {
  const key = p.sha256(utf8('k1'));
  const keyring = makeKeyring(p, { identityKey: p.sha256(utf8('k0')), current: { version: 1, key }, versions: [] });
  const plain = utf8('holdfast '.repeat(100));
  const block = sealData(p, keyring.currentSealKey('data'), plain);
  const manifest = {
    size: plain.length,
    chunker: 'one' as const,
    chunks: [
      {
        blockId: blockIdOf(p, block),
        storedLength: block.length,
        keyVersion: 1,
        chunkHash: id32Of<never>(p.sha256(plain)),
        plainLength: plain.length,
      },
    ],
  };
  const sealed = sealManifest(p, keyring, manifest);
  assert.deepEqual(openManifest(p, keyring, sealed.bytes), manifest);
  assert.equal(parseManifestPublic(sealed.bytes)?.blocks.length, 1);
  assert.equal(manifestIdOf(p, sealed.bytes), sealed.manifestId);
  assert.equal(contentIdOf(p, keyring, manifest), sealed.contentId);
  assert.deepEqual(openChunk(p, keyring, manifest.chunks[0]!, block), plain);
});

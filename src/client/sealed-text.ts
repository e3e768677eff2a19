/** Whole small contents, opened and sealed where they are merged, and opened where they are rules: the only plain bytes that leave the folder's worker. */
import { assert } from '#core/assert.ts';
import { concat, type Bytes } from '#core/bytes.ts';
import { chunkBytesMax, chunkerForRevision } from '#core/chunker.ts';
import { id32Of, type ChunkHash, type ContentId } from '#core/ids.ts';
import { makeKeyring, type SealKeys } from '#core/keyring.ts';
import { openChunk, openManifest, sealManifest, type Manifest } from '#core/manifest.ts';
import type { Primitives } from '#core/primitives.ts';
import { blockIdOf, sealData } from '#core/seal.ts';

/** Null unless all of it is what the manifest says. `blocks`: in the manifest's order. */
export function openWhole(p: Primitives, keys: SealKeys, manifest: Bytes, blocks: readonly Bytes[]): Uint8Array | null {
  const keyring = makeKeyring(p, keys);
  const opened = openManifest(p, keyring, manifest);
  if (!opened || opened.chunks.length !== blocks.length) return null;
  const pieces: Uint8Array[] = [];
  for (const [index, chunk] of opened.chunks.entries()) {
    const block = blocks[index];
    const plain = block ? openChunk(p, keyring, chunk, block) : null;
    if (plain === null) return null;
    pieces.push(plain);
  }
  return concat(...pieces);
}

export type SealedText = {
  readonly contentId: ContentId;
  readonly manifest: Uint8Array;
  /** In the manifest's order. */
  readonly blocks: readonly Uint8Array[];
};

/** As the folder's worker seals a file of that size: in one chunk, or in none. */
export function sealWhole(p: Primitives, keys: SealKeys, plain: Bytes): SealedText {
  const keyring = makeKeyring(p, keys);
  const chunker = chunkerForRevision(plain.length, null);
  assert(plain.length <= chunkBytesMax(chunker) && chunker === 'one', 'a text that is merged fits into one chunk');
  const blocks: Uint8Array[] = [];
  let manifest: Manifest = { size: 0, chunker, chunks: [] };
  if (plain.length > 0) {
    const plainHash = p.sha256(plain);
    const bytes = sealData(p, keyring.currentSealKey('data'), plain, { plainHash });
    const chunk = {
      blockId: blockIdOf(p, bytes),
      storedLength: bytes.length,
      keyVersion: keyring.currentVersion,
      chunkHash: id32Of<ChunkHash>(plainHash),
      plainLength: plain.length,
    };
    blocks.push(bytes);
    manifest = { size: plain.length, chunker, chunks: [chunk] };
  }
  const { bytes, contentId } = sealManifest(p, keyring, manifest);
  return { contentId, manifest: bytes, blocks };
}

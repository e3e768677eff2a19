/** The ordered list of a file's chunks and of the blocks that hold them (normative: docs/on-disk.md, "The manifest"). */
import { assert } from './assert.ts';
import { concat, equalBytes, viewOf, writeHex, type Bytes } from './bytes.ts';
import { chunkBytesMax, type ChunkerKind } from './chunker.ts';
import { id32Of, idBytes, type BlockId, type ChunkHash, type ContentId, type ManifestId } from './ids.ts';
import type { Keyring } from './keyring.ts';
import { limits } from './limits.ts';
import type { Primitives } from './primitives.ts';
import { openBlock, openClaimedBlock, openForeignBlock, SEAL_OVERHEAD_BYTES, sealData } from './seal.ts';

export type ManifestChunk = {
  readonly blockId: BlockId;
  /** Length of the block's bytes. */
  readonly storedLength: number;
  /** Version of the space key that sealed the block; 0: sealed in another space, and `blockKey` opens it. */
  readonly keyVersion: number;
  readonly chunkHash: ChunkHash;
  readonly plainLength: number;
  /** 32 bytes, where `keyVersion` is 0 and only there. */
  readonly blockKey?: Bytes;
};

export type Manifest = {
  /** Plain bytes: the sum of the chunks'. */
  readonly size: number;
  readonly chunker: ChunkerKind;
  readonly chunks: readonly ManifestChunk[];
};

/** What the server, collection and scrub see. */
export type ManifestPublic = {
  /** Version of the space key that the sealed part is under. */
  readonly keyVersion: number;
  readonly blocks: readonly ManifestBlock[];
};
export type ManifestBlock = { readonly id: BlockId; readonly storedLength: number; readonly keyVersion: number };

const MAGIC_AND_VERSION = 0x48464d01;
const PUBLIC_HEAD_BYTES = 12;
const PUBLIC_ENTRY_BYTES = 40;
const SEALED_HEAD_BYTES = 44;
const SEALED_ENTRY_BYTES = 36;
const FOREIGN_ENTRY_BYTES = 36;
const CHUNKERS: readonly ChunkerKind[] = ['one', 'cdc-512k', 'cdc-2m'];

/** Seals under the keyring's current version. The manifest must be whole: sums and limits are asserted. */
export function sealManifest(
  p: Primitives,
  keyring: Keyring,
  manifest: Manifest,
): { readonly bytes: Uint8Array; readonly manifestId: ManifestId; readonly contentId: ContentId } {
  const wrong = whatIsWrong(manifest);
  assert(wrong === null, `a manifest that is made is whole: ${wrong}`);
  const publicPart = encodePublic(keyring.currentVersion, manifest.chunks);
  const contents = encodeContents(manifest);
  const sealedData = concat(
    p.sha256(publicPart),
    contents.subarray(0, 8),
    Uint8Array.of(CHUNKERS.indexOf(manifest.chunker), 0, 0, 0),
    contents.subarray(8),
    encodeForeign(manifest.chunks),
  );
  const bytes = concat(publicPart, sealData(p, keyring.currentSealKey('manifest'), sealedData));
  return { bytes, manifestId: manifestIdOf(p, bytes), contentId: contentIdOfContents(p, keyring, contents) };
}

/** Null where the bytes are no manifest. Says nothing about the sealed part. Needs no key. */
export function parseManifestPublic(bytes: Bytes): ManifestPublic | null {
  if (bytes.length < PUBLIC_HEAD_BYTES) return null;
  const view = viewOf(bytes);
  const keyVersion = view.getUint32(4);
  const count = view.getUint32(8);
  if (view.getUint32(0) !== MAGIC_AND_VERSION || keyVersion === 0 || count > limits.manifestChunksMax) return null;
  if (bytes.length <= publicLength(count) + SEAL_OVERHEAD_BYTES) return null;
  const blocks: ManifestBlock[] = [];
  for (let offset = PUBLIC_HEAD_BYTES; blocks.length < count; offset += PUBLIC_ENTRY_BYTES) {
    const storedLength = view.getUint32(offset + 32);
    if (!isStoredLength(storedLength)) return null;
    blocks.push({
      id: id32Of(bytes.subarray(offset, offset + 32)),
      storedLength,
      keyVersion: view.getUint32(offset + 36),
    });
  }
  return { keyVersion, blocks };
}

/**
 * Null unless the bytes are a whole and consistent manifest, sealed under a key of the keyring. The caller compares `manifestIdOf` and
 * `contentIdOf` with the revision's, and each chunk as it is opened.
 */
export function openManifest(p: Primitives, keyring: Keyring, bytes: Bytes): Manifest | null {
  const outline = parseManifestPublic(bytes);
  if (outline === null) return null;
  const sealKey = keyring.sealKey('manifest', outline.keyVersion);
  if (sealKey === null) return null;
  const publicPart = bytes.subarray(0, publicLength(outline.blocks.length));
  const data = openBlock(p, sealKey, bytes.subarray(publicPart.length), limits.manifestDataBytesMax);
  if (data === null || data.length < SEALED_HEAD_BYTES) return null;
  if (!equalBytes(data.subarray(0, 32), p.sha256(publicPart))) return null;
  return parseSealed(data, outline.blocks);
}

export function manifestIdOf(p: Primitives, bytes: Bytes): ManifestId {
  return id32Of(p.sha256(bytes));
}

/** The same for every sealing of the same chunks in the space, whatever codec or key version their blocks have. */
export function contentIdOf(p: Primitives, keyring: Keyring, manifest: Manifest): ContentId {
  return contentIdOfContents(p, keyring, encodeContents(manifest));
}

/** The chunk's plain bytes; null unless the block opens to exactly what the manifest says of it. */
export function openChunk(p: Primitives, keyring: Keyring, chunk: ManifestChunk, block: Bytes): Uint8Array | null {
  if (block.length !== chunk.storedLength) return null;
  const claim = { plainLength: chunk.plainLength, plainHash: idBytes(chunk.chunkHash) };
  if (chunk.keyVersion === 0) {
    return chunk.blockKey === undefined ? null : openForeignBlock(p, chunk.blockKey, block, claim);
  }
  const sealKey = keyring.sealKey('data', chunk.keyVersion);
  return sealKey === null ? null : openClaimedBlock(p, sealKey, block, claim);
}

function contentIdOfContents(p: Primitives, keyring: Keyring, contents: Bytes): ContentId {
  return id32Of(p.hmacSha256(keyring.contentKey, contents));
}

function encodePublic(keyVersion: number, chunks: readonly ManifestChunk[]): Uint8Array {
  const bytes = new Uint8Array(publicLength(chunks.length));
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC_AND_VERSION);
  view.setUint32(4, keyVersion);
  view.setUint32(8, chunks.length);
  let offset = PUBLIC_HEAD_BYTES;
  for (const chunk of chunks) {
    writeHex(bytes, offset, chunk.blockId);
    view.setUint32(offset + 32, chunk.storedLength);
    view.setUint32(offset + 36, chunk.keyVersion);
    offset += PUBLIC_ENTRY_BYTES;
  }
  return bytes;
}

/** size:u64 | n x (H(chunk) | plain length:u32): what a content id is made from, and most of the sealed part. */
function encodeContents(manifest: Manifest): Uint8Array {
  const bytes = new Uint8Array(8 + SEALED_ENTRY_BYTES * manifest.chunks.length);
  const view = viewOf(bytes);
  view.setUint32(0, Math.floor(manifest.size / 2 ** 32));
  view.setUint32(4, manifest.size % 2 ** 32);
  let offset = 8;
  for (const chunk of manifest.chunks) {
    writeHex(bytes, offset, chunk.chunkHash);
    view.setUint32(offset + 32, chunk.plainLength);
    offset += SEALED_ENTRY_BYTES;
  }
  return bytes;
}

function encodeForeign(chunks: readonly ManifestChunk[]): Uint8Array {
  const count = chunks.reduce((sum, chunk) => (chunk.blockKey === undefined ? sum : sum + 1), 0);
  const bytes = new Uint8Array(FOREIGN_ENTRY_BYTES * count);
  const view = viewOf(bytes);
  let offset = 0;
  chunks.forEach((chunk, index) => {
    if (chunk.blockKey === undefined) return;
    view.setUint32(offset, index);
    bytes.set(chunk.blockKey, offset + 4);
    offset += FOREIGN_ENTRY_BYTES;
  });
  return bytes;
}

function parseSealed(data: Bytes, blocks: readonly ManifestBlock[]): Manifest | null {
  const view = viewOf(data);
  const size = view.getUint32(32) * 2 ** 32 + view.getUint32(36);
  const chunker = CHUNKERS[data[40] as number];
  if (chunker === undefined || data[41] !== 0 || data[42] !== 0 || data[43] !== 0) return null;
  let foreignAt = SEALED_HEAD_BYTES + SEALED_ENTRY_BYTES * blocks.length;
  if (data.length < foreignAt) return null;
  const chunks: ManifestChunk[] = [];
  for (const [index, block] of blocks.entries()) {
    const offset = SEALED_HEAD_BYTES + SEALED_ENTRY_BYTES * index;
    const chunk = {
      blockId: block.id,
      storedLength: block.storedLength,
      keyVersion: block.keyVersion,
      chunkHash: id32Of<ChunkHash>(data.subarray(offset, offset + 32)),
      plainLength: view.getUint32(offset + 32),
    };
    if (block.keyVersion !== 0) {
      chunks.push(chunk);
      continue;
    }
    if (foreignAt + FOREIGN_ENTRY_BYTES > data.length || view.getUint32(foreignAt) !== index) return null;
    chunks.push({ ...chunk, blockKey: data.slice(foreignAt + 4, foreignAt + FOREIGN_ENTRY_BYTES) });
    foreignAt += FOREIGN_ENTRY_BYTES;
  }
  if (foreignAt !== data.length) return null;
  const manifest = { size, chunker, chunks };
  return whatIsWrong(manifest) === null ? manifest : null;
}

/** One judgement for both directions: nothing is sealed that would not be opened. */
function whatIsWrong(manifest: Manifest): string | null {
  if (manifest.chunks.length > limits.manifestChunksMax) return 'too many chunks';
  let sum = 0;
  for (const chunk of manifest.chunks) {
    if (chunk.plainLength < 1 || chunk.plainLength > chunkBytesMax(manifest.chunker)) return 'length of a chunk';
    if (!isStoredLength(chunk.storedLength)) return 'length of a block';
    if ((chunk.keyVersion === 0) !== (chunk.blockKey !== undefined)) return 'a foreign entry has a block key';
    if (chunk.blockKey !== undefined && chunk.blockKey.length !== 32) return 'length of a block key';
    sum += chunk.plainLength;
  }
  return sum === manifest.size ? null : 'the lengths of the chunks do not add up to the size';
}

function isStoredLength(length: number): boolean {
  return length > SEAL_OVERHEAD_BYTES && length <= limits.blockBytesMax;
}

function publicLength(count: number): number {
  return PUBLIC_HEAD_BYTES + PUBLIC_ENTRY_BYTES * count;
}

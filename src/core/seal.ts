/**
 * The seal: deterministic authenticated encryption of one chunk (normative: docs/on-disk.md, "The seal").
 *
 * The key of a block comes from the very bytes that enter the cipher, header included. It must never come from the
 * uncompressed chunk: two compressions of one chunk would meet one key and one nonce.
 */
import { assert } from './assert.ts';
import { concat, equalBytes, utf8, viewOf, type Bytes } from './bytes.ts';
import { id32Of, type BlockId } from './ids.ts';
import { KIB, limits, MIB } from './limits.ts';
import type { Primitives, ZstdLevel } from './primitives.ts';

/** data: a chunk of a file; manifest: a manifest's sealed part; metadata: what the server keeps of itself in pools. */
export type BlockKind = 'data' | 'manifest' | 'metadata';

/** Keys of one kind under one version of a space key (of `metadata`: under the root key). */
export type SealKey = {
  readonly kind: BlockKind;
  /** Ks: what a block key's derivation starts from. */
  readonly sivKey: Bytes;
  /** Ke: turns that into the block key. */
  readonly blockKeyKey: Bytes;
};

/** `none`: never. Else where a trial says that it is worth it: `usual`, faster than disks and networks; `strong`, slower than they are, and smaller. */
export type Compression = 'none' | 'usual' | 'strong';

export type SealOptions = {
  /** Default: `usual`, but `none` for manifests, which hold hashes. */
  readonly compression?: Compression;
  /** Hides lengths a little: a setting of the space. Readers need not know it. */
  readonly padding?: 'none' | 'padme';
  /** SHA-256 of `plain` where the caller has it already. */
  readonly plainHash?: Bytes;
};

/** Bytes that a block is longer than its data and padding. */
export const SEAL_OVERHEAD_BYTES = 64;

const KINDS = {
  data: { code: 1, label: 'block', dataBytesMax: limits.blockDataBytesMax, blockBytesMax: limits.blockBytesMax },
  manifest: { code: 2, label: 'manifest', dataBytesMax: limits.manifestDataBytesMax, blockBytesMax: 34 * MIB },
  metadata: { code: 3, label: 'meta', dataBytesMax: limits.blockDataBytesMax, blockBytesMax: limits.blockBytesMax },
} as const;

const PREFIX_BYTES = 8;
const SIV_BYTES = 32;
const HEAD_BYTES = PREFIX_BYTES + SIV_BYTES;
const INNER_HEAD_BYTES = 8;
const NONCE = new Uint8Array(12);
const MAGIC = utf8('HFB');
const VERSION = 1;
const CODEC_NONE = 0;
const CODEC_ZSTD = 1;

/** Below this a frame's own header eats what compression saves. */
const COMPRESS_BYTES_MIN = 128;
const TRIAL_BYTES = 64 * KIB;
const WORTH_KEEPING = 0.97;
/** Of zstd. */
const TRIAL_LEVEL = 1;
const LEVELS = { usual: 1, strong: 12 } as const;

/** `key`: a version of the space key; for `metadata` the root key. */
export function deriveSealKey(p: Primitives, key: Bytes, kind: BlockKind): SealKey {
  assert(key.length === 32, 'a key has 32 bytes');
  const { label } = KINDS[kind];
  return {
    kind,
    sivKey: p.hkdfSha256(key, `holdfast/1 ${label} siv`),
    blockKeyKey: p.hkdfSha256(key, `holdfast/1 ${label} key`),
  };
}

/** Seals 1 byte to `limits.blockDataBytesMax` (manifests: `limits.manifestDataBytesMax`). The same input gives the same block. */
export function sealData(p: Primitives, sealKey: SealKey, plain: Bytes, options: SealOptions = {}): Uint8Array {
  const limit = KINDS[sealKey.kind].dataBytesMax;
  assert(plain.length > 0 && plain.length <= limit, 'data of a block has 1 byte at least, and its limit at most');
  const compression = options.compression ?? (sealKey.kind === 'manifest' ? 'none' : 'usual');
  const frame = compression === 'none' ? null : frameWorthKeeping(p, plain, LEVELS[compression]);
  const padded = (options.padding ?? 'none') === 'padme';
  if (frame !== null) return sealInner(p, sealKey, CODEC_ZSTD, frame, p.sha256(frame), padded);
  return sealInner(p, sealKey, CODEC_NONE, plain, options.plainHash ?? p.sha256(plain), padded);
}

/**
 * Seals a frame that was made elsewhere, as it is. `sealData` chooses for itself; this is for vectors, and for who has
 * compressed already.
 */
export function sealZstdFrame(
  p: Primitives,
  sealKey: SealKey,
  frame: Bytes,
  padding: 'none' | 'padme' = 'none',
): Uint8Array {
  return sealInner(p, sealKey, CODEC_ZSTD, frame, p.sha256(frame), padding === 'padme');
}

function sealInner(
  p: Primitives,
  sealKey: SealKey,
  codec: number,
  data: Bytes,
  dataHash: Bytes,
  padded: boolean,
): Uint8Array {
  const dataLength = INNER_HEAD_BYTES + data.length;
  const innerLength = padded ? padmeLength(dataLength) : dataLength;
  const innerHead = new Uint8Array(INNER_HEAD_BYTES);
  innerHead[0] = codec;
  viewOf(innerHead).setUint32(4, data.length);
  const prefix = prefixOf(sealKey.kind);
  const siv = sivOf(p, sealKey, prefix, innerHead, innerLength, dataHash);
  const head = concat(prefix, siv);
  const blockKey = p.hmacSha256(sealKey.blockKeyKey, siv);
  const padding = innerLength === dataLength ? [] : [new Uint8Array(innerLength - dataLength)];
  return p.aes256GcmSeal(blockKey, NONCE, head, [innerHead, data, ...padding], head);
}

/**
 * The plain bytes, at most `plainLengthMax` of them; null where the block is not exactly what this key's holder sealed. All of
 * it is checked before a byte is handed out.
 */
export function openBlock(p: Primitives, sealKey: SealKey, block: Bytes, plainLengthMax: number): Uint8Array | null {
  const opened = openWithSiv(p, sealKey, block);
  return opened === null ? null : plainOf(p, sealKey.kind, opened, plainLengthMax);
}

/** What a manifest says of a chunk: its exact length, and SHA-256 of its bytes. */
export type ChunkClaim = { readonly plainLength: number; readonly plainHash: Bytes };

/** `openBlock` that also compares the claim, without hashing uncompressed bytes twice. */
export function openClaimedBlock(p: Primitives, sealKey: SealKey, block: Bytes, claim: ChunkClaim): Uint8Array | null {
  const opened = openWithSiv(p, sealKey, block);
  if (opened === null) return null;
  const plain = plainOf(p, sealKey.kind, opened, claim.plainLength);
  if (plain === null || plain.length !== claim.plainLength) return null;
  const plainHash = opened.codec === CODEC_NONE ? opened.dataHash : p.sha256(plain);
  return equalBytes(plainHash, claim.plainHash) ? plain : null;
}

/**
 * Opens a data block by its own key, without the space's: blocks of another space that a manifest refers to. The claim takes the
 * place of the check that needs the space key, and is therefore not optional.
 */
export function openForeignBlock(p: Primitives, blockKey: Bytes, block: Bytes, claim: ChunkClaim): Uint8Array | null {
  const opened = openWithBlockKey(p, 'data', blockKey, block);
  if (opened === null) return null;
  const plain = plainOf(p, 'data', opened, claim.plainLength);
  if (plain === null || plain.length !== claim.plainLength) return null;
  return equalBytes(p.sha256(plain), claim.plainHash) ? plain : null;
}

/** The key that opens this one block alone. It tells nothing about any other. Null where `block` is too short to be one. */
export function blockKeyOf(p: Primitives, sealKey: SealKey, block: Bytes): Uint8Array | null {
  if (block.length < HEAD_BYTES) return null;
  return p.hmacSha256(sealKey.blockKeyKey, block.subarray(PREFIX_BYTES, HEAD_BYTES));
}

export function blockIdOf(p: Primitives, block: Bytes): BlockId {
  return id32Of(p.sha256(block));
}

/** Padmé: the length that `length` is padded to, at most 12 % more. */
export function padmeLength(length: number): number {
  const exponent = 31 - Math.clz32(length);
  const mantissaBits = exponent === 0 ? 1 : 32 - Math.clz32(exponent);
  const step = 2 ** Math.max(exponent - mantissaBits, 0);
  return Math.ceil(length / step) * step;
}

type Opened = {
  readonly codec: number;
  readonly innerHead: Bytes;
  readonly innerLength: number;
  readonly data: Uint8Array;
};

function openWithSiv(p: Primitives, sealKey: SealKey, block: Bytes): (Opened & { readonly dataHash: Bytes }) | null {
  const blockKey = blockKeyOf(p, sealKey, block);
  if (blockKey === null) return null;
  const opened = openWithBlockKey(p, sealKey.kind, blockKey, block);
  if (opened === null) return null;
  // Commits the block to its key and content, and catches a sealer that derives its keys wrongly.
  const dataHash = p.sha256(opened.data);
  const prefix = block.subarray(0, PREFIX_BYTES);
  const siv = sivOf(p, sealKey, prefix, opened.innerHead, opened.innerLength, dataHash);
  return equalBytes(siv, block.subarray(PREFIX_BYTES, HEAD_BYTES)) ? { ...opened, dataHash } : null;
}

function openWithBlockKey(p: Primitives, kind: BlockKind, blockKey: Bytes, block: Bytes): Opened | null {
  if (block.length <= SEAL_OVERHEAD_BYTES || block.length > KINDS[kind].blockBytesMax) return null;
  if (!equalBytes(block.subarray(0, PREFIX_BYTES), prefixOf(kind))) return null;
  const inner = p.aes256GcmOpen(blockKey, NONCE, block.subarray(0, HEAD_BYTES), block.subarray(HEAD_BYTES));
  if (inner === null) return null;
  const codec = inner[0] as number;
  if ((codec !== CODEC_NONE && codec !== CODEC_ZSTD) || !isZero(inner.subarray(1, 4))) return null;
  const dataLength = viewOf(inner).getUint32(4);
  if (dataLength === 0 || dataLength > KINDS[kind].dataBytesMax) return null;
  const dataEnd = INNER_HEAD_BYTES + dataLength;
  if (dataEnd > inner.length || !isZero(inner.subarray(dataEnd))) return null;
  return {
    codec,
    innerHead: inner.subarray(0, INNER_HEAD_BYTES),
    innerLength: inner.length,
    data: inner.subarray(INNER_HEAD_BYTES, dataEnd),
  };
}

function plainOf(p: Primitives, kind: BlockKind, opened: Opened, plainLengthMax: number): Uint8Array | null {
  const lengthMax = Math.min(plainLengthMax, KINDS[kind].dataBytesMax);
  if (opened.codec === CODEC_NONE) return opened.data.length <= lengthMax ? opened.data : null;
  const plain = p.zstdDecompress(opened.data, lengthMax);
  return plain === null || plain.length === 0 ? null : plain;
}

function sivOf(
  p: Primitives,
  sealKey: SealKey,
  prefix: Bytes,
  innerHead: Bytes,
  innerLength: number,
  dataHash: Bytes,
): Uint8Array {
  const message = new Uint8Array(PREFIX_BYTES + INNER_HEAD_BYTES + 4 + 32);
  message.set(prefix, 0);
  message.set(innerHead, PREFIX_BYTES);
  viewOf(message).setUint32(PREFIX_BYTES + INNER_HEAD_BYTES, innerLength);
  message.set(dataHash, PREFIX_BYTES + INNER_HEAD_BYTES + 4);
  return p.hmacSha256(sealKey.sivKey, message);
}

function prefixOf(kind: BlockKind): Uint8Array {
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set(MAGIC);
  prefix[3] = VERSION;
  prefix[4] = KINDS[kind].code;
  return prefix;
}

/** The choice looks at the bytes, so that at one level equal chunks make equal choices whatever their files are called. */
function frameWorthKeeping(p: Primitives, plain: Bytes, level: ZstdLevel): Uint8Array | null {
  if (plain.length < COMPRESS_BYTES_MIN) return null;
  const trial = plain.subarray(0, TRIAL_BYTES);
  const trialFrame = p.zstdCompress(trial, TRIAL_LEVEL);
  if (trialFrame.length >= WORTH_KEEPING * trial.length) return null;
  if (trial.length === plain.length && level === TRIAL_LEVEL) return trialFrame;
  const frame = p.zstdCompress(plain, level);
  return frame.length < WORTH_KEEPING * plain.length ? frame : null;
}

function isZero(bytes: Bytes): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

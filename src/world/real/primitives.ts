/** `Primitives` over node:crypto and node:zlib. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hash,
  hkdfSync,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { assert } from '#core/assert.ts';
import type { Bytes } from '#core/bytes.ts';
import type { Primitives } from '#core/primitives.ts';
import { zstdFrameContentLength } from './zstd-frame.ts';

const TAG_BYTES = 16;
/** Below this, joining pieces is cheaper than another call into the cipher. */
const JOINED_BYTES_MAX = 32 * 1024;
/** RFC 8878: bytes that do not compress get a frame header (18 bytes at most) and 3 bytes for each block of 128 KiB. Node takes no less than 64. */
const FRAME_GROWTH_BYTES = 64;
const UNZEROED_BYTES_MIN = 64 * 1024;
const EMPTY = new Uint8Array(0);

/** RFC 8410: what stands before the 32 bytes of an Ed25519 key in PKCS#8 and in SubjectPublicKeyInfo. */
const PRIVATE_KEY_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_KEY_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

export const nodePrimitives: Primitives = {
  sha256(...pieces) {
    if (pieces.length === 1) return plain(hash('sha256', pieces[0] ?? EMPTY, 'buffer'));
    const running = createHash('sha256');
    for (const piece of pieces) running.update(piece);
    return plain(running.digest());
  },

  hmacSha256(key, ...pieces) {
    const running = createHmac('sha256', key);
    for (const piece of pieces) running.update(piece);
    return plain(running.digest());
  },

  hkdfSha256(key, label) {
    return new Uint8Array(hkdfSync('sha256', key, EMPTY, label, 32));
  },

  aes256GcmSeal(key, nonce, associated, pieces, prefix = EMPTY) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    const length = lengthOf(pieces);
    const sealed = memoryToFill(prefix.length + length + TAG_BYTES);
    sealed.set(prefix);
    let offset = prefix.length;
    for (const piece of length < JOINED_BYTES_MAX && pieces.length > 1 ? [join(pieces, length)] : pieces) {
      sealed.set(cipher.update(piece), offset);
      offset += piece.length;
    }
    cipher.final();
    sealed.set(cipher.getAuthTag(), offset);
    return sealed;
  },

  aes256GcmOpen(key, nonce, associated, sealed) {
    if (sealed.length < TAG_BYTES) return null;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(associated);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    // GCM is a stream cipher: all of the plain text comes out of `update`, none of `final`.
    const opened = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return plain(opened);
  },

  zstdCompress(bytes, level) {
    return unpooled(
      zstdCompressSync(bytes, {
        // One output buffer that every frame of a trial fits, one that grew as well, so that nothing is joined afterwards.
        chunkSize: bytes.length + FRAME_GROWTH_BYTES,
        pledgedSrcSize: bytes.length,
        params: {
          [constants.ZSTD_c_compressionLevel]: level,
          [constants.ZSTD_c_contentSizeFlag]: 1,
          [constants.ZSTD_c_checksumFlag]: 0,
          [constants.ZSTD_c_dictIDFlag]: 0,
        },
      }),
    );
  },

  zstdDecompress(frame, lengthMax) {
    const length = zstdFrameContentLength(frame);
    if (length === null || length > lengthMax) return null;
    try {
      const bytes = zstdDecompressSync(frame, {
        // One byte more than needed: a buffer filled to its end makes another one be tried.
        chunkSize: Math.max(length + 1, 64),
        maxOutputLength: Math.max(length, 1),
      });
      return bytes.length === length ? unpooled(bytes) : null;
    } catch (error) {
      if (isRefusalOfFrame(error)) return null;
      throw error;
    }
  },

  ed25519PublicKey(seed) {
    const exported = createPublicKey(privateKeyOf(seed)).export({ format: 'der', type: 'spki' });
    return new Uint8Array(exported.subarray(PUBLIC_KEY_PREFIX.length));
  },

  ed25519Sign(seed, message) {
    return plain(sign(null, message, privateKeyOf(seed)));
  },

  ed25519Verify(publicKey, message, signature) {
    if (publicKey.length !== 32 || signature.length !== 64) return false;
    const der = Buffer.concat([PUBLIC_KEY_PREFIX, publicKey]);
    return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
  },

  equalConstantTime(left, right) {
    return left.length === right.length && timingSafeEqual(left, right);
  },
};

/** Callers get plain arrays: a Buffer's `slice` and `toString` mean something else than those of the type that is promised. */
function plain(buffer: Bytes): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Node makes short buffers from memory that it shares among many: such a one is copied out. */
function unpooled(buffer: Bytes): Uint8Array {
  return buffer.length < Buffer.poolSize ? new Uint8Array(buffer) : plain(buffer);
}

/** All of it is about to be overwritten. Large arrays are not zeroed first: that takes longer than filling them. */
function memoryToFill(length: number): Uint8Array {
  return length < UNZEROED_BYTES_MIN ? new Uint8Array(length) : plain(Buffer.allocUnsafeSlow(length));
}

function lengthOf(pieces: readonly Bytes[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

function join(pieces: readonly Bytes[], length: number): Uint8Array {
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.length;
  }
  return joined;
}

function privateKeyOf(seed: Bytes): KeyObject {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes');
  return createPrivateKey({ key: Buffer.concat([PRIVATE_KEY_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

/** What zstd, or the cap on its output, says of a frame; all else (out of memory, say) is not the frame's fault. */
function isRefusalOfFrame(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  if (error.code === 'ZSTD_error_memory_allocation') return false;
  return error.code.startsWith('ZSTD_error_') || error.code.startsWith('Z_') || error.code === 'ERR_BUFFER_TOO_LARGE';
}

import type { Bytes } from './bytes.ts';

export type ZstdLevel = 1 | 3 | 12;

/**
 * Cryptography and compression as plain, synchronous, deterministic functions. `core` lays formats out and never
 * names a library; `world/real` implements this with node:crypto and node:zlib. All results are freshly allocated:
 * each lies in memory of its own and may be kept, changed or transferred.
 */
export interface Primitives {
  sha256(...pieces: readonly Bytes[]): Uint8Array;
  hmacSha256(key: Bytes, ...pieces: readonly Bytes[]): Uint8Array;
  /** HKDF-SHA-256 (RFC 5869), empty salt, `info` = the label's ASCII bytes, 32 bytes. */
  hkdfSha256(key: Bytes, label: string): Uint8Array;
  /** Returns prefix | ciphertext of all pieces, joined | 16-byte tag. The prefix only saves a copy: it is authenticated where `associated` says so. */
  aes256GcmSeal(key: Bytes, nonce: Bytes, associated: Bytes, pieces: readonly Bytes[], prefix?: Bytes): Uint8Array;
  /** `sealed` = ciphertext | 16-byte tag. Null where the tag does not verify; no plain byte is shown before it does. */
  aes256GcmOpen(key: Bytes, nonce: Bytes, associated: Bytes, sealed: Bytes): Uint8Array | null;
  /** One zstd frame that states its content size, no dictionary. */
  zstdCompress(bytes: Bytes, level: ZstdLevel): Uint8Array;
  /** Null unless `frame` is exactly one complete frame whose plain length is `lengthMax` at most. */
  zstdDecompress(frame: Bytes, lengthMax: number): Uint8Array | null;
  /** Ed25519 (RFC 8032); `seed` is the 32-byte private key. */
  ed25519PublicKey(seed: Bytes): Uint8Array;
  ed25519Sign(seed: Bytes, message: Bytes): Uint8Array;
  ed25519Verify(publicKey: Bytes, message: Bytes, signature: Bytes): boolean;
  /** Compares in time that does not depend on where they differ. */
  equalConstantTime(left: Bytes, right: Bytes): boolean;
}

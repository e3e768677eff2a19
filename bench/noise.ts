import { createCipheriv, hash } from 'node:crypto';

/**
 * Endless bytes that no compressor shortens, the same for the same seed on every machine: the key stream of AES-CTR, since
 * it is made faster than a disk writes.
 */
export function noise(seed: string): (byteCount: number) => Buffer {
  const key = hash('sha256', seed, 'buffer').subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  return (byteCount) => cipher.update(Buffer.alloc(byteCount));
}

import { readFileSync } from 'node:fs';

/**
 * Bytes that every version must make and read again, in `test/golden`. They were computed by another implementation than the one they
 * test. A change here is a change of a format: it needs a new version of it.
 */
export function readGolden<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(new URL(`./golden/${name}.json`, import.meta.url), 'utf8')) as Shape;
}

/** The first `length` bytes of SHA-256(0:u32) | SHA-256(1:u32) | ...: `pattern` of the golden files. */
export function goldenPattern(length: number, sha256: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(length / 32) * 32);
  const counter = new Uint8Array(4);
  for (let index = 0; 32 * index < length; index++) {
    new DataView(counter.buffer).setUint32(0, index);
    bytes.set(sha256(counter), 32 * index);
  }
  return bytes.subarray(0, length);
}

/** Ed25519 over label | 00 | message: a signature made for one format means nothing in another. */
import { concat, utf8, type Bytes } from './bytes.ts';
import type { Primitives } from './primitives.ts';

export const SIGNATURE_BYTES = 64;

export function signAs(p: Primitives, seed: Bytes, label: string, message: Bytes): Uint8Array {
  return p.ed25519Sign(seed, concat(utf8(`${label}\0`), message));
}

export function verifyAs(p: Primitives, publicKey: Bytes, label: string, message: Bytes, signature: Bytes): boolean {
  return p.ed25519Verify(publicKey, concat(utf8(`${label}\0`), message), signature);
}

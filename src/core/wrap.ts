/** Secrets that the server must read back, sealed under the root key (normative: docs/on-disk.md, "Wrapped secrets"). */
import { assert } from './assert.ts';
import { concat, viewOf, type Bytes } from './bytes.ts';
import { ByteWriter } from './byte-writer.ts';
import type { ClusterId } from './ids.ts';
import type { Primitives } from './primitives.ts';
import type { RootKey } from './root-key.ts';

/** FORMAT: what a secret is for. */
const PURPOSES = {
  space_identity_key: 1,
  space_key: 2,
  cluster_identity_seed: 3,
  ticket_key_seed: 4,
  server_tls_key: 5,
  bucket_credentials: 6,
  totp_seed: 7,
  oidc_secret: 8,
  share_link_token: 9,
} as const;
export type WrapPurpose = keyof typeof PURPOSES;

/** Where a wrap belongs. It opens nowhere else: a wrap that is copied into another row is worth nothing. */
export type WrapPlace = {
  readonly cluster: ClusterId;
  readonly purpose: WrapPurpose;
  /** 16 bytes, hexadecimal: the space, node or account that it belongs to; zeros where there is only one of its purpose. */
  readonly object: string;
  readonly version: number;
};

const HEAD_BYTES = 12;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAGIC_AND_VERSION = 0x48465701;
const TYPE_ROOT_KEY = 1;

/** For things of which a cluster has one. */
export const NO_OBJECT = '00000000000000000000000000000000';

/** `nonce`: 12 fresh random bytes for every wrap, a wrap of the same secret in the same place included. */
export function wrapSecret(p: Primitives, root: RootKey, nonce: Bytes, place: WrapPlace, secret: Bytes): Uint8Array {
  assert(nonce.length === NONCE_BYTES && root.key.length === 32, 'a nonce of 12 bytes and a key of 32');
  const head = new ByteWriter(HEAD_BYTES)
    .u32(MAGIC_AND_VERSION)
    .u32(TYPE_ROOT_KEY * 2 ** 24)
    .u32(root.generation)
    .finish();
  return p.aes256GcmSeal(wrapKeyOf(p, root), nonce, associatedOf(head, place), [secret], concat(head, nonce));
}

/** Null unless this root key wrapped it for this very place. */
export function unwrapSecret(p: Primitives, root: RootKey, place: WrapPlace, wrap: Bytes): Uint8Array | null {
  if (wrapGeneration(wrap) !== root.generation) return null;
  const head = wrap.subarray(0, HEAD_BYTES);
  const nonce = wrap.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const sealed = wrap.subarray(HEAD_BYTES + NONCE_BYTES);
  return p.aes256GcmOpen(wrapKeyOf(p, root), nonce, associatedOf(head, place), sealed);
}

/** Which generation of the root key opens it; null where it is no wrap under a root key. */
export function wrapGeneration(wrap: Bytes): number | null {
  if (wrap.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES) return null;
  const view = viewOf(wrap);
  if (view.getUint32(0) !== MAGIC_AND_VERSION || view.getUint32(4) !== TYPE_ROOT_KEY * 2 ** 24) return null;
  return view.getUint32(8);
}

function wrapKeyOf(p: Primitives, root: RootKey): Uint8Array {
  return p.hkdfSha256(root.key, 'holdfast/1 wrap');
}

function associatedOf(head: Bytes, place: WrapPlace): Uint8Array {
  assert(place.object.length === 32, 'an object id has 16 bytes');
  return new ByteWriter(64)
    .bytes(head)
    .id(place.cluster)
    .u8(PURPOSES[place.purpose])
    .id(place.object)
    .u32(place.version)
    .finish();
}

/** Secrets that devices show (normative: docs/on-disk.md, "Tokens"). The server keeps only their hashes. */
import { fromBase64url, toBase64url } from './base64url.ts';
import { toHex, type Bytes } from './bytes.ts';
import { assert } from './assert.ts';
import type { Primitives } from './primitives.ts';

export type DeviceToken = {
  /** 16 lower-case hexadecimal digits: which token it is. No secret. */
  readonly id: string;
  /** 32 random bytes, made by the device. */
  readonly secret: Bytes;
};

const TOKEN = /^hfd1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/;

export function formatDeviceToken(token: DeviceToken): string {
  assert(/^[0-9a-f]{16}$/.test(token.id) && token.secret.length === 32, 'a token has an id and a secret of 32 bytes');
  return `hfd1.${token.id}.${toBase64url(token.secret)}`;
}

/** Null where `text` is no device token. */
export function parseDeviceToken(text: string): DeviceToken | null {
  const [, id, encoded] = TOKEN.exec(text) ?? [];
  if (id === undefined || encoded === undefined) return null;
  const secret = fromBase64url(encoded);
  return secret === null ? null : { id, secret };
}

/**
 * What the server keeps of a random secret, hexadecimal. Plain SHA-256: 16 random bytes or more cannot be guessed, so that
 * a slow hash protects nothing.
 */
export function secretHash(p: Primitives, secret: Bytes): string {
  return toHex(p.sha256(secret));
}

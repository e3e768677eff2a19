/**
 * One-time introductions, as text that people copy: a device link and a storage node's ticket (normative:
 * docs/on-disk.md, "Invites"). They carry the cluster's identity, so that whoever redeems one knows whom to trust.
 */
import { assert } from './assert.ts';
import { fromBase64url, toBase64url } from './base64url.ts';
import { concat, equalBytes, toHex, utf8, writeHex, type Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { hasCode, HoldfastError } from './errors.ts';
import { id32Of, type ClusterId, type Pin } from './ids.ts';
import { clusterIdOf } from './key-list.ts';
import type { Primitives } from './primitives.ts';

export type InviteContent = {
  readonly kind: 'device' | 'node';
  /** The cluster identity's public key, 32 bytes. */
  readonly publicKey: Bytes;
  /** The server's TLS key. Null where a public certificate proves the server (`webPki`), and where all addresses are plain loopback. */
  readonly pin: Pin | null;
  /** The server shows a certificate that systems trust. */
  readonly webPki: boolean;
  /** 16 lower-case hexadecimal digits: which invite it is. */
  readonly tokenId: string;
  /** 16 random bytes as base64url, 22 characters. */
  readonly secret: string;
  /** `https://host:port`, or `http://` and a loopback host. The best one first. */
  readonly addresses: readonly string[];
};

export type Invite = InviteContent & { readonly cluster: ClusterId };

const VERSION = 1;
const KINDS = { device: 1, node: 2 } as const;
const FLAG_WEB_PKI = 1;
const CHECK_BYTES = 4;
const CHECK_LABEL = utf8('holdfast/1 invite\0');
const NODE_PREFIX = 'hfn1.';
const DEVICE_MARK = '/join#';
const ADDRESSES_MAX = 8;
const ADDRESS = /^https?:\/\/[^\s/?#@\\]{1,240}$/;
const LOOPBACK = /^http:\/\/(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/;

/**
 * `https://host:port/join#...` for a device, `hfn1....` for a node. Throws `invalid_field` where an address is not one that a
 * secret may be sent to.
 */
export function encodeInvite(p: Primitives, invite: InviteContent): string {
  const secret = fromBase64url(invite.secret);
  assert(secret !== null && secret.length === 16 && /^[0-9a-f]{16}$/.test(invite.tokenId), 'an invite has its secret');
  assert(invite.publicKey.length === 32, 'a public key has 32 bytes');
  const why = whatIsWrong(invite);
  if (why !== null) throw new HoldfastError('invalid_field', `No such invite can be made: ${why}.`);
  const pin = new Uint8Array(32);
  if (invite.pin !== null) writeHex(pin, 0, invite.pin);
  const writer = new ByteWriter();
  writer
    .u8(VERSION)
    .u8(KINDS[invite.kind])
    .u8(invite.webPki ? FLAG_WEB_PKI : 0);
  writer.bytes(invite.publicKey).bytes(pin).id(invite.tokenId).bytes(secret).u8(invite.addresses.length);
  for (const address of invite.addresses) writer.text8(address);
  const checked = writer.finish();
  const text = toBase64url(writer.bytes(checkOf(p, checked)).finish());
  return invite.kind === 'node' ? NODE_PREFIX + text : `${invite.addresses[0]}${DEVICE_MARK}${text}`;
}

/**
 * Reads what a person pasted: spaces, line breaks and quotes in it do not count. Throws `invalid_usage` where it is no invite or was not copied
 * whole, `upgrade_required` where it is one of another version.
 */
export function parseInvite(p: Primitives, text: string): Invite {
  const { kind, encoded } = findEncoded(text.replace(/[\s"'<>]+/g, ''));
  const bytes = fromBase64url(encoded);
  if (bytes === null || bytes.length <= CHECK_BYTES) throw notWhole();
  const checked = bytes.subarray(0, bytes.length - CHECK_BYTES);
  if (!equalBytes(checkOf(p, checked), bytes.subarray(checked.length))) throw notWhole();
  const invite = readInvite(checked);
  if (invite.kind !== kind) throw notWhole();
  const why = whatIsWrong(invite);
  if (why !== null) throw new HoldfastError('invalid_usage', `This invite cannot be used: ${why}.`);
  return { ...invite, cluster: clusterIdOf(p, invite.publicKey) };
}

/** Plain HTTP to this very machine. */
export function isLoopbackAddress(address: string): boolean {
  return LOOPBACK.test(address);
}

function findEncoded(text: string): { readonly kind: InviteContent['kind']; readonly encoded: string } {
  if (text.startsWith(NODE_PREFIX)) return { kind: 'node', encoded: text.slice(NODE_PREFIX.length) };
  const mark = text.indexOf(DEVICE_MARK);
  if (mark >= 0) return { kind: 'device', encoded: text.slice(mark + DEVICE_MARK.length) };
  if (/^hfn\d+\./.test(text)) throw otherVersion();
  throw new HoldfastError(
    'invalid_usage',
    'This is no invite: a device link contains "/join#", a node ticket begins with "hfn1.".',
  );
}

function readInvite(checked: Bytes): InviteContent {
  const reader = new ByteReader(checked, 'this invite');
  try {
    const version = reader.u8();
    const kind = reader.u8();
    const flags = reader.u8();
    if (version !== VERSION || (kind !== KINDS.device && kind !== KINDS.node) || (flags & ~FLAG_WEB_PKI) !== 0) {
      throw otherVersion();
    }
    const publicKey = reader.bytes(32).slice();
    const pin = reader.bytes(32);
    const tokenId = toHex(reader.bytes(8));
    const secret = toBase64url(reader.bytes(16));
    const addresses = Array.from({ length: reader.u8() }, () => reader.text8());
    reader.end();
    return {
      kind: kind === KINDS.node ? 'node' : 'device',
      publicKey,
      pin: pin.every((byte) => byte === 0) ? null : id32Of<Pin>(pin),
      webPki: (flags & FLAG_WEB_PKI) !== 0,
      tokenId,
      secret,
      addresses,
    };
  } catch (error) {
    throw hasCode(error, 'integrity') ? notWhole() : error;
  }
}

function whatIsWrong(invite: InviteContent): string | null {
  if (invite.addresses.length < 1 || invite.addresses.length > ADDRESSES_MAX) return 'it names no address, or too many';
  for (const address of invite.addresses) {
    if (!ADDRESS.test(address)) return 'one of its addresses is malformed';
    // Without TLS anyone on the way could read the secret and answer in the server's place.
    if (address.startsWith('http:') && !isLoopbackAddress(address))
      return 'it asks for an unprotected connection to another machine';
    if (address.startsWith('https:') && !invite.webPki && invite.pin === null) return 'nothing in it proves the server';
  }
  return null;
}

function checkOf(p: Primitives, checked: Bytes): Uint8Array {
  return p.sha256(concat(CHECK_LABEL, checked)).subarray(0, CHECK_BYTES);
}

function notWhole(): HoldfastError {
  return new HoldfastError(
    'invalid_usage',
    'This invite was not copied whole, or was changed on the way; copy it again.',
  );
}

function otherVersion(): HoldfastError {
  return new HoldfastError('upgrade_required', 'This invite was made by another version of Holdfast.');
}

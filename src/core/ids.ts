/**
 * Names of things, as lower-case hexadecimal text in code and in JSON, as bytes in formats and in databases.
 * Each brand is made only by its `parse` function (untrusted text) or `…Of` function (bytes of the right length).
 */
import { fromHex, toHex, type Bytes } from './bytes.ts';
import { assert } from './assert.ts';

declare const tag: unique symbol;
type Brand<Name extends string> = string & { readonly [tag]: Name };

/** 16 random bytes, made by the client that makes the thing; unique everywhere and for ever. */
export type SpaceId = Brand<'SpaceId'>;
export type EntryId = Brand<'EntryId'>;
export type DeviceId = Brand<'DeviceId'>;
export type NodeId = Brand<'NodeId'>;
export type OpId = Brand<'OpId'>;
export type UploadId = Brand<'UploadId'>;
/** The state of one link, as long as it is one: a copy of it, or an older one put back, gets another. */
export type InstallId = Brand<'InstallId'>;
/** One run of a client on its state; never stored by the client. */
export type SessionId = Brand<'SessionId'>;
/** H(cluster identity public key)[0..16]. */
export type ClusterId = Brand<'ClusterId'>;
/** A space's epoch, 16 random bytes: another epoch means that history may have been rewritten. */
export type Epoch = Brand<'Epoch'>;

/** SHA-256 of a block's sealed bytes. */
export type BlockId = Brand<'BlockId'>;
/** SHA-256 of a manifest's bytes. */
export type ManifestId = Brand<'ManifestId'>;
/** Keyed hash of a file's plain chunks; equal in a space exactly where the plain bytes were cut equally. */
export type ContentId = Brand<'ContentId'>;
/** SHA-256 of a chunk's plain bytes; never leaves the devices and the gateway but under a seal. */
export type ChunkHash = Brand<'ChunkHash'>;
/** Running hash over a space's journal. */
export type Chain = Brand<'Chain'>;
/** SHA-256 of a TLS key's SubjectPublicKeyInfo. */
export type Pin = Brand<'Pin'>;

type Sixteen = SpaceId | EntryId | DeviceId | NodeId | OpId | UploadId | InstallId | SessionId | ClusterId | Epoch;
type ThirtyTwo = BlockId | ManifestId | ContentId | ChunkHash | Chain | Pin;

const SIXTEEN = /^[0-9a-f]{32}$/;
const THIRTY_TWO = /^[0-9a-f]{64}$/;

/** Null where `text` is not 32 lower-case hexadecimal digits. */
export function parseId16<Id extends Sixteen>(text: string): Id | null {
  return SIXTEEN.test(text) ? (text as Id) : null;
}

/** Null where `text` is not 64 lower-case hexadecimal digits. */
export function parseId32<Id extends ThirtyTwo>(text: string): Id | null {
  return THIRTY_TWO.test(text) ? (text as Id) : null;
}

export function id16Of<Id extends Sixteen>(bytes: Bytes): Id {
  assert(bytes.length === 16, 'an id of 16 bytes');
  return toHex(bytes) as Id;
}

export function id32Of<Id extends ThirtyTwo>(bytes: Bytes): Id {
  assert(bytes.length === 32, 'an id of 32 bytes');
  return toHex(bytes) as Id;
}

export function idBytes(id: Sixteen | ThirtyTwo): Uint8Array {
  const bytes = fromHex(id);
  assert(bytes !== null, 'a branded id is hexadecimal');
  return bytes;
}

/** The root folder of every space, and the place where deleted entries lie. Never made, moved or deleted. */
export const ROOT_ENTRY = '00000000000000000000000000000000' as EntryId;
export const TRASH_ENTRY = 'ffffffffffffffffffffffffffffffff' as EntryId;

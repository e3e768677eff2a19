/**
 * What the cluster's identity says about the keys of the present: who may sign tickets, which TLS keys its server shows
 * (normative: docs/on-disk.md, "The key list"). Nodes and devices keep the newest one, and know new keys by it.
 */
import { assert } from './assert.ts';
import { equalBytes, type Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HoldfastError } from './errors.ts';
import { id16Of, idBytes, type ClusterId, type Pin } from './ids.ts';
import type { Primitives } from './primitives.ts';
import { SIGNATURE_BYTES, signAs, verifyAs } from './signed.ts';

export type TicketKey = {
  readonly publicKey: Bytes;
  /** Server's clock, milliseconds since 1970. */
  readonly fromMs: number;
  readonly untilMs: number;
};

export type KeyList = {
  readonly cluster: ClusterId;
  /** Of the cluster's identity, 32 bytes. */
  readonly publicKey: Bytes;
  /** Raised when a server is restored or rescued: the old one's lists are then older than any of the new one's. */
  readonly incarnation: number;
  readonly seq: number;
  readonly ticketKeys: readonly TicketKey[];
  /** TLS keys that the server may show. */
  readonly pins: readonly Pin[];
};

const MAGIC_AND_VERSION = 0x48464b01;
const LABEL = 'holdfast/1 key list';
const TICKET_KEYS_MAX = 16;
const PINS_MAX = 16;

export function clusterIdOf(p: Primitives, publicKey: Bytes): ClusterId {
  return id16Of(p.sha256(publicKey).subarray(0, 16));
}

/** `cluster` and `publicKey` of the list must be those of the seed. */
export function signKeyList(p: Primitives, identitySeed: Bytes, list: KeyList): Uint8Array {
  assert(equalBytes(p.ed25519PublicKey(identitySeed), list.publicKey), 'the list names the key that signs it');
  assert(clusterIdOf(p, list.publicKey) === list.cluster, 'a cluster is called after its identity');
  assert(list.ticketKeys.length <= TICKET_KEYS_MAX && list.pins.length <= PINS_MAX, 'a key list is short');
  const writer = new ByteWriter();
  writer.u32(MAGIC_AND_VERSION).id(list.cluster).bytes(list.publicKey).u32(list.incarnation).u64(list.seq);
  writer.u8(list.ticketKeys.length);
  for (const key of list.ticketKeys) {
    assert(key.publicKey.length === 32, 'a public key has 32 bytes');
    writer.bytes(key.publicKey).u64(key.fromMs).u64(key.untilMs);
  }
  writer.u8(list.pins.length);
  for (const pin of list.pins) writer.bytes(idBytes(pin));
  const unsigned = writer.finish();
  return writer.bytes(signAs(p, identitySeed, LABEL, unsigned)).finish();
}

/**
 * Null unless the bytes are a list that the identity of `cluster` signed. Whether it is newer than the one at hand is for the
 * caller to ask (`isNewer`): an old list verifies for ever.
 */
export function verifyKeyList(p: Primitives, bytes: Bytes, cluster: ClusterId): KeyList | null {
  const list = parseKeyList(bytes);
  if (list === null || list.cluster !== cluster || clusterIdOf(p, list.publicKey) !== cluster) return null;
  const end = bytes.length - SIGNATURE_BYTES;
  return verifyAs(p, list.publicKey, LABEL, bytes.subarray(0, end), bytes.subarray(end)) ? list : null;
}

/** True where `candidate` replaces `present`: a higher (incarnation, seq). */
export function isNewer(
  candidate: Pick<KeyList, 'incarnation' | 'seq'>,
  present: Pick<KeyList, 'incarnation' | 'seq'>,
): boolean {
  if (candidate.incarnation !== present.incarnation) return candidate.incarnation > present.incarnation;
  return candidate.seq > present.seq;
}

function parseKeyList(bytes: Bytes): KeyList | null {
  try {
    return readKeyList(new ByteReader(bytes, 'a key list'));
  } catch (error) {
    if (error instanceof HoldfastError) return null;
    throw error;
  }
}

function readKeyList(reader: ByteReader): KeyList {
  if (reader.u32() !== MAGIC_AND_VERSION) throw reader.malformed('it begins with other bytes');
  const cluster = reader.id<ClusterId>(16);
  const publicKey = reader.bytes(32).slice();
  const incarnation = reader.u32();
  const seq = reader.u64();
  const ticketKeys: TicketKey[] = [];
  const ticketKeyCount = reader.u8();
  if (ticketKeyCount > TICKET_KEYS_MAX) throw reader.malformed('too many ticket keys');
  while (ticketKeys.length < ticketKeyCount) {
    ticketKeys.push({ publicKey: reader.bytes(32).slice(), fromMs: reader.u64(), untilMs: reader.u64() });
  }
  const pins: Pin[] = [];
  const pinCount = reader.u8();
  if (pinCount > PINS_MAX) throw reader.malformed('too many pins');
  while (pins.length < pinCount) pins.push(reader.id<Pin>(32));
  reader.bytes(SIGNATURE_BYTES);
  reader.end();
  return { cluster, publicKey, incarnation, seq, ticketKeys, pins };
}

/**
 * Where the cluster's metadata lies in the pools, signed by the cluster's identity (normative: docs/on-disk.md, "Roots and
 * snapshots"). Every storage node keeps some; with one of them and the recovery kit everything is found again.
 */
import { assert } from './assert.ts';
import { equalBytes, type Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HoldfastError } from './errors.ts';
import type { BlockId, ClusterId } from './ids.ts';
import { clusterIdOf, isNewer } from './key-list.ts';
import type { Primitives } from './primitives.ts';
import { SIGNATURE_BYTES, signAs, verifyAs } from './signed.ts';

export type RootRecord = {
  readonly cluster: ClusterId;
  /** Of the cluster's identity, 32 bytes. */
  readonly publicKey: Bytes;
  readonly incarnation: number;
  /** Of the root key that opens the metadata. */
  readonly generation: number;
  /** Rises by root; over incarnations, the incarnation decides first. */
  readonly seq: number;
  /** Server's clock when what it leads to was read, milliseconds since 1970. */
  readonly timeMs: number;
  readonly index: BlockId;
  readonly indexLength: number;
};

export const ROOT_RECORD_BYTES = 176;
const MAGIC_AND_VERSION = 0x48465201;
const LABEL = 'holdfast/1 root';

/** `cluster` and `publicKey` must be those of the seed. */
export function signRoot(p: Primitives, identitySeed: Bytes, root: RootRecord): Uint8Array {
  assert(equalBytes(p.ed25519PublicKey(identitySeed), root.publicKey), 'the root names the key that signs it');
  assert(clusterIdOf(p, root.publicKey) === root.cluster, 'a cluster is called after its identity');
  const writer = new ByteWriter();
  writer.u32(MAGIC_AND_VERSION).id(root.cluster).bytes(root.publicKey);
  writer.u32(root.incarnation).u32(root.generation).u64(root.seq).u64(root.timeMs);
  const unsigned = writer.id(root.index).u32(root.indexLength).finish();
  return writer.bytes(signAs(p, identitySeed, LABEL, unsigned)).finish();
}

/** Null unless the bytes are a root that the identity of `cluster` signed. An old one verifies for ever. */
export function verifyRoot(p: Primitives, bytes: Bytes, cluster: ClusterId): RootRecord | null {
  const root = parseRoot(bytes);
  if (root === null || root.cluster !== cluster || clusterIdOf(p, root.publicKey) !== cluster) return null;
  const end = bytes.length - SIGNATURE_BYTES;
  return verifyAs(p, root.publicKey, LABEL, bytes.subarray(0, end), bytes.subarray(end)) ? root : null;
}

function parseRoot(bytes: Bytes): RootRecord | null {
  try {
    const reader = new ByteReader(bytes, 'a root record');
    if (reader.u32() !== MAGIC_AND_VERSION) return null;
    const root: RootRecord = {
      cluster: reader.id(16),
      publicKey: reader.bytes(32).slice(),
      incarnation: reader.u32(),
      generation: reader.u32(),
      seq: reader.u64(),
      timeMs: reader.u64(),
      index: reader.id(32),
      indexLength: reader.u32(),
    };
    reader.bytes(SIGNATURE_BYTES);
    reader.end();
    return root;
  } catch (error) {
    if (error instanceof HoldfastError) return null;
    throw error;
  }
}

type Dated = Pick<RootRecord, 'incarnation' | 'seq' | 'timeMs'>;

const NEWEST_KEPT = 100;
const HOUR_MS = 3_600_000;
const HOURS_KEPT = 48;
const DAY_MS = 24 * HOUR_MS;
const DAYS_KEPT = 30;

/** Highest (incarnation, seq) first. */
export function newestFirst<Root extends Dated>(roots: readonly Root[]): readonly Root[] {
  return [...roots].sort((left, right) => (isNewer(left, right) ? -1 : 1));
}

/**
 * Those to keep: the newest 100, and the newest of each of the last 48 hours and 30 days in which there were any. Hours without a
 * root count for nothing, so that a cluster that was off for a year, or a clock that jumps, loses none.
 */
export function rootsToKeep<Root extends Dated>(roots: readonly Root[]): ReadonlySet<Root> {
  const ordered = newestFirst(roots);
  const kept = new Set(ordered.slice(0, NEWEST_KEPT));
  for (const [spanMs, spans] of [
    [HOUR_MS, HOURS_KEPT],
    [DAY_MS, DAYS_KEPT],
  ] as const) {
    const seen = new Set<number>();
    for (const root of ordered) {
      const span = Math.floor(root.timeMs / spanMs);
      if (seen.has(span) || seen.size >= spans) continue;
      seen.add(span);
      kept.add(root);
    }
  }
  return kept;
}

/** The plain bytes of a root's index block: which blocks hold the metadata (normative: docs/on-disk.md, "Roots and snapshots"). */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HoldfastError } from './errors.ts';
import type { BlockId, Chain, Epoch, SpaceId } from './ids.ts';
import type { Bytes } from './bytes.ts';

export type ListedBlock = { readonly id: BlockId; readonly storedLength: number };
export type ListedHead = {
  readonly space: SpaceId;
  readonly epoch: Epoch;
  readonly headSeq: number;
  readonly headChain: Chain;
};

export type RootIndex = {
  /** Of the tables whose rows the streams hold. */
  readonly schemaVersion: number;
  readonly incarnation: number;
  readonly seq: number;
  readonly timeMs: number;
  /** When the first stream, the snapshot, was begun. */
  readonly snapshotMs: number;
  readonly heads: readonly ListedHead[];
  /** The snapshot, then what changed since, in order: each the blocks of one stream (`export-stream.ts`). */
  readonly streams: readonly (readonly ListedBlock[])[];
};

const MAGIC_AND_VERSION = 0x48465801;

export function encodeRootIndex(index: RootIndex): Uint8Array {
  const writer = new ByteWriter(4096);
  writer.u32(MAGIC_AND_VERSION).u32(index.schemaVersion).u32(index.incarnation).u64(index.seq);
  writer.u64(index.timeMs).u64(index.snapshotMs).u32(index.heads.length);
  for (const { space, epoch, headSeq, headChain } of index.heads) writer.id(space).id(epoch).u64(headSeq).id(headChain);
  writer.u32(index.streams.length);
  for (const stream of index.streams) {
    writer.u32(stream.length);
    for (const { id, storedLength } of stream) writer.id(id).u32(storedLength);
  }
  return writer.finish();
}

/** Null where the bytes are no index. Throws `newer_version` for one of a later version. */
export function parseRootIndex(bytes: Bytes): RootIndex | null {
  const reader = new ByteReader(bytes, 'the index of a root');
  try {
    const head = reader.u32();
    if (head >>> 8 !== MAGIC_AND_VERSION >>> 8) return null;
    if (head !== MAGIC_AND_VERSION)
      throw new HoldfastError('newer_version', 'the metadata in the pools was written by a newer version of Holdfast');
    return readIndex(reader);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'integrity') return null;
    throw error;
  }
}

function readIndex(reader: ByteReader): RootIndex {
  const common = {
    schemaVersion: reader.u32(),
    incarnation: reader.u32(),
    seq: reader.u64(),
    timeMs: reader.u64(),
    snapshotMs: reader.u64(),
  };
  const heads: ListedHead[] = [];
  for (let left = reader.u32(); left > 0; left--)
    heads.push({ space: reader.id(16), epoch: reader.id(16), headSeq: reader.u64(), headChain: reader.id(32) });
  const streams: ListedBlock[][] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const stream: ListedBlock[] = [];
    for (let blocks = reader.u32(); blocks > 0; blocks--)
      stream.push({ id: reader.id(32), storedLength: reader.u32() });
    streams.push(stream);
  }
  reader.end();
  return { ...common, heads, streams };
}

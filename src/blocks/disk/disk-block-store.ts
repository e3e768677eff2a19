/** Blocks in a log on one disk (normative: docs/on-disk-node.md). */
import { toHex, viewOf } from '#core/bytes.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Checksum } from '#world/checksum.ts';
import type { Block, GetResult, PutResult } from '../block-store.ts';
import type { BlockStoreStatus, DeleteResult, NodeBlockStore } from '../node-block-store.ts';
import type { BlockIndex, BlockPlace, Damage, IndexedRecord } from './block-index.ts';
import { Compaction } from './compaction.ts';
import { FreeSpace } from './free-space.ts';
import { openIndex, REBUILD_MARK, type IndexOptions } from './open-index.ts';
import { PutQueue, type QueuedPut } from './put-queue.ts';
import { recoverLog } from './recover-log.ts';
import { SEGMENT_DIRECTORY, SegmentFiles } from './segment-files.ts';
import {
  bodyMatches,
  parseRecordHeader,
  RECORD_HEADER_BYTES,
  recordBytes,
  PAYLOAD_BYTES_MAX,
} from './segment-format.ts';
import { SegmentWriter, type ActiveSegment, type NewRecord, type WriterOptions } from './segment-writer.ts';
import { VerifiedPlaces } from './verified-places.ts';

export type DiskBlockStoreOptions = IndexOptions & {
  readonly checksum: Checksum;
  readonly primitives: Pick<Primitives, 'sha256'>;
  /** For tests that want small segments. */
  readonly segmentBytesMax?: number;
  readonly segmentRecordsMax?: number;
};

const READS_AT_ONCE_MAX = 16;

/**
 * `disk` is the node's directory, which the caller keeps others out of. Rejects with `newer_version`, `integrity` where the log is
 * missing or another node's, or what the disk reports. Damage inside the log is no reason not to open: it is logged and counted.
 */
export async function openDiskBlockStore(options: DiskBlockStoreOptions): Promise<NodeBlockStore> {
  await options.disk.makeDirectory(SEGMENT_DIRECTORY);
  const index = await openIndex(options);
  try {
    const { active, nextSegment } = await recoverLog(options, index);
    return new DiskBlockStore(options, index, active, nextSegment);
  } catch (error) {
    index.close();
    throw error;
  }
}

type Plan = { readonly records: readonly NewRecord[]; readonly results: readonly PutResult[] };

class DiskBlockStore implements NodeBlockStore {
  readonly #options: DiskBlockStoreOptions;
  readonly #index: BlockIndex;
  readonly #files: SegmentFiles;
  readonly #writer: SegmentWriter;
  readonly #queue: PutQueue;
  readonly #space: FreeSpace;
  readonly #verified = new VerifiedPlaces();
  readonly #compaction: Compaction;
  /** Durable in the log, but not in the index yet: only after an index transaction that failed. */
  #unindexed: readonly IndexedRecord[] = [];
  #finished: number[] = [];
  #indexFailed = false;
  readonly #begun = new Set<Promise<unknown>>();
  #closed = false;

  constructor(options: DiskBlockStoreOptions, index: BlockIndex, active: ActiveSegment | null, nextSegment: number) {
    this.#options = options;
    this.#index = index;
    this.#files = new SegmentFiles(options.disk);
    this.#space = new FreeSpace(options.disk);
    this.#queue = new PutQueue((group) => this.#writeGroup(group));
    const writerOptions: WriterOptions = {
      ...options,
      newSalt: () => index.newSalt(),
      onFinished: (segment) => this.#finished.push(segment),
    };
    this.#writer = new SegmentWriter(writerOptions, active, nextSegment);
    this.#compaction = new Compaction({
      disk: options.disk,
      checksum: options.checksum,
      log: options.log,
      files: this.#files,
      indexed: (work) => this.#indexed(work),
      read: (id, place) => this.#read(id, place),
      freeBytes: async () => (await this.#space.ask()).freeBytes,
      alone: (work) => this.#queue.between(work),
      append: (records) => this.#append(records),
    });
  }

  async put(blocks: readonly Block[], fence: number, signal: AbortSignal): Promise<readonly PutResult[]> {
    this.#begin(signal);
    return this.#tracked(Promise.all(blocks.map((block) => this.#putOne({ ...block, fence }))));
  }

  async #putOne(put: QueuedPut): Promise<PutResult> {
    if (put.bytes.length > PAYLOAD_BYTES_MAX)
      throw new HoldfastError(
        'too_large',
        `a block has at most ${PAYLOAD_BYTES_MAX} bytes, this one ${put.bytes.length}`,
      );
    if (toHex(this.#options.primitives.sha256(put.bytes)) !== put.id) return 'hash_mismatch';
    const place = this.#indexed((index) => index.find(put.id));
    // A copy that nobody has looked at since the start is no reason to refuse a good one.
    if (place && !place.corrupt && !this.#verified.has(place)) await this.#read(put.id, place);
    return this.#queue.add(put);
  }

  async delete(
    ids: readonly BlockId[],
    order: { readonly number: number; readonly fence: number },
  ): Promise<readonly DeleteResult[]> {
    this.#begin(null);
    return this.#tracked(this.#queue.between(() => this.#deleteNow(ids, order)));
  }

  /** Its bytes stay in the log; a tombstone says that they are no longer held, also to an index that is made anew. */
  async #deleteNow(
    ids: readonly BlockId[],
    { number, fence }: { readonly number: number; readonly fence: number },
  ): Promise<readonly DeleteResult[]> {
    const payload = new Uint8Array(8);
    viewOf(payload).setBigUint64(0, BigInt(number));
    const places = new Map(ids.map((id) => [id, this.#indexed((index) => index.find(id))]));
    const results = new Map<BlockId, DeleteResult>();
    const records: NewRecord[] = [];
    for (const [id, place] of places) {
      results.set(id, !place ? 'missing' : place.fence >= fence ? 'spared' : 'deleted');
      if (results.get(id) === 'deleted') records.push({ kind: 'tombstone', id, fence, payload });
    }
    const failure = records.length === 0 ? null : await this.#append(records);
    if (failure !== null) throw new HoldfastError(failure, 'what was to be deleted is still there');
    for (const { id } of records) {
      const place = places.get(id);
      if (place) this.#verified.remove(place);
    }
    return ids.map((id) => results.get(id) as DeleteResult);
  }

  async compact(): Promise<'busy' | 'idle'> {
    this.#begin(null);
    return this.#tracked(this.#compaction.step());
  }

  async get(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly GetResult[]> {
    this.#begin(signal);
    return this.#tracked(this.#getInTurns(ids));
  }

  async #getInTurns(ids: readonly BlockId[]): Promise<readonly GetResult[]> {
    const results: GetResult[] = [];
    for (let first = 0; first < ids.length; first += READS_AT_ONCE_MAX)
      results.push(...(await Promise.all(ids.slice(first, first + READS_AT_ONCE_MAX).map((id) => this.#getOne(id)))));
    return results;
  }

  async #getOne(id: BlockId): Promise<GetResult> {
    const place = this.#indexed((index) => index.find(id));
    if (!place) return { kind: 'missing' };
    return place.corrupt ? { kind: 'corrupt' } : this.#read(id, place);
  }

  async has(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly boolean[]> {
    signal.throwIfAborted();
    return (await this.lengths(ids)).map((length) => length !== null);
  }

  async lengths(ids: readonly BlockId[]): Promise<readonly (number | null)[]> {
    this.#begin(null);
    return ids.map((id) => {
      const place = this.#indexed((index) => index.find(id));
      return place && !place.corrupt ? place.length : null;
    });
  }

  async status(): Promise<BlockStoreStatus> {
    this.#begin(null);
    const { freeBytes, isShort } = await this.#space.ask();
    const failed = this.#writer.failed || this.#indexFailed;
    return {
      state: failed ? 'failed' : isShort ? 'read_only' : 'ok',
      blocks: this.#index.blocks,
      storedBytes: this.#index.storedBytes,
      deadBytes: this.#indexed((index) => index.deadBytes()),
      freeBytes,
      quarantined: this.#indexed((index) => index.quarantined()),
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#begun);
    await this.#queue.idle();
    await this.#writer.close();
    await this.#files.close();
    this.#index.close();
  }

  async #tracked<T>(work: Promise<T>): Promise<T> {
    this.#begun.add(work);
    try {
      return await work;
    } finally {
      this.#begun.delete(work);
    }
  }

  #begin(signal: AbortSignal | null): void {
    signal?.throwIfAborted();
    if (this.#closed) throw new HoldfastError('stopping', 'the storage node is stopping');
  }

  /** Reads and verifies. Damage is noted before it is answered for. */
  async #read(id: BlockId, place: BlockPlace): Promise<GetResult> {
    const { segment, offset, length } = place;
    let bytes: Uint8Array;
    try {
      bytes = await this.#files.read(segment, offset, recordBytes(length));
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      if (!hasCode(error, 'not_found')) return { kind: 'disk_failed' };
      // Compaction may have taken the segment away, after the block was found in it and copied.
      const now = this.#indexed((index) => index.find(id));
      if (!now) return { kind: 'missing' };
      if (now.segment !== segment || now.offset !== offset)
        return now.corrupt ? { kind: 'corrupt' } : this.#read(id, now);
      this.#noteDamage({ segment, offset, length: recordBytes(length), id, why: 'segment_missing' });
      return { kind: 'corrupt' };
    }
    const why = this.#fault(id, place, bytes);
    if (why !== null) {
      this.#noteDamage({ segment, offset, length: recordBytes(length), id, why });
      return { kind: 'corrupt' };
    }
    this.#verified.add(place);
    return { kind: 'found', bytes: bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length) };
  }

  #fault(id: BlockId, place: BlockPlace, bytes: Uint8Array): Damage['why'] | null {
    const { checksum, primitives } = this.#options;
    // Whatever the salt: the block's own hash says whether it is the one.
    const judged = parseRecordHeader(checksum, bytes, { ...place, salt: null });
    if (judged.kind !== 'valid') return 'header';
    const { header } = judged;
    if (header.kind !== 'block' || header.id !== id || header.payloadLength !== place.length) return 'misplaced';
    const body = bytes.subarray(RECORD_HEADER_BYTES);
    if (!bodyMatches(checksum, header, body)) return 'checksum';
    return toHex(primitives.sha256(body.subarray(0, place.length))) === id ? null : 'hash';
  }

  #noteDamage(damage: Damage): void {
    this.#verified.remove(damage);
    try {
      if (this.#indexed((index) => index.quarantine(damage)) < 0) return;
    } catch (error) {
      // On a full disk the note has to wait for the next one who reads it.
      if (!(error instanceof HoldfastError)) throw error;
    }
    this.#options.log.error('a stored block is damaged', { ...damage });
  }

  async #writeGroup(group: readonly QueuedPut[]): Promise<readonly PutResult[]> {
    const { records, results } = this.#plan(group);
    const fits = await this.#hasRoom(records);
    // Fences may use the reserve: they are small, and without them a delete could take what was put again.
    const written = fits ? records : records.filter(({ kind }) => kind === 'fence');
    const failure = written.length === 0 ? null : await this.#append(written);
    const failures = new Map<BlockId, PutResult>();
    if (!fits) for (const { id } of records) failures.set(id, 'no_space');
    for (const { id } of written) {
      if (failure === null) failures.delete(id);
      else failures.set(id, failure);
    }
    return results.map((result, index) => failures.get((group[index] as QueuedPut).id) ?? result);
  }

  /** Decides for each put what has to be written for it. A group sees the index as the groups before it left it. */
  #plan(group: readonly QueuedPut[]): Plan {
    const fences = new Map<BlockId, number>();
    for (const { id, fence } of group) fences.set(id, Math.max(fence, fences.get(id) ?? 0));
    const records: NewRecord[] = [];
    const seen = new Set<BlockId>();
    const results = group.map(({ id, bytes }): PutResult => {
      if (seen.has(id)) return 'held';
      seen.add(id);
      const place = this.#indexed((index) => index.find(id));
      const fence = Math.max(fences.get(id) ?? 0, place?.fence ?? 0);
      const isHeld = place !== null && !place.corrupt && this.#verified.has(place);
      if (isHeld && fence === place.fence) return 'held';
      records.push(
        isHeld ? { kind: 'fence', id, fence, payload: NO_BYTES } : { kind: 'block', id, fence, payload: bytes },
      );
      return isHeld ? 'held' : 'stored';
    });
    return { records, results };
  }

  async #hasRoom(records: readonly NewRecord[]): Promise<boolean> {
    const blocks = records.filter(({ kind }) => kind === 'block');
    return (
      blocks.length === 0 || this.#space.take(blocks.reduce((sum, { payload }) => sum + recordBytes(payload.length), 0))
    );
  }

  /** Null when the records are in the log, durable, and in the index. */
  async #append(records: readonly NewRecord[]): Promise<'no_space' | 'disk_failed' | null> {
    if (this.#indexFailed) return 'disk_failed';
    try {
      const placed = await this.#writer.append(records);
      this.#unindexed = [...this.#unindexed, ...placed];
      this.#indexed((index) => index.apply(this.#unindexed, this.#finished));
      this.#unindexed = [];
      this.#finished = [];
      for (const record of placed) if (record.kind === 'block') this.#verified.add(record);
      return null;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#options.log.error('blocks could not be written', { error });
      return hasCode(error, 'no_space') ? 'no_space' : 'disk_failed';
    }
  }

  /** A damaged index ends the service of this process; the next start makes a new one from the log. */
  #indexed<T>(work: (index: BlockIndex) => T): T {
    try {
      return work(this.#index);
    } catch (error) {
      if (hasCode(error, 'integrity') && !this.#indexFailed) {
        this.#indexFailed = true;
        this.#options.log.error('the index is damaged; a restart makes it anew from the log', { error });
        this.#options.disk.replace(REBUILD_MARK, new Uint8Array([1])).catch(() => undefined);
      }
      throw error;
    }
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * Takes segments out of the log that hold mostly what was deleted: copies what still means something to the end of the log, and lets the rest go. A
 * copy is an ordinary record, durable before anything relies on it, so that a crash leaves a longer log and nothing else.
 */
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Checksum } from '#world/checksum.ts';
import type { Disk, DiskFile } from '#world/disk.ts';
import type { Log } from '#world/log.ts';
import type { GetResult } from '../block-store.ts';
import type { BlockIndex, BlockPlace } from './block-index.ts';
import { addCompacted } from './compacted.ts';
import { listSegments, SEGMENT_DIRECTORY, segmentPath, type SegmentFiles } from './segment-files.ts';
import {
  parseSegmentHeader,
  recordBytes,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type LogRecord,
} from './segment-format.ts';
import { readFooter, scanSegment } from './segment-scan.ts';
import type { NewRecord } from './segment-writer.ts';

export type CompactionTools = {
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly log: Log;
  readonly files: SegmentFiles;
  readonly indexed: <T>(work: (index: BlockIndex) => T) => T;
  /** Verified bytes; notes damage. */
  readonly read: (id: BlockId, place: BlockPlace) => Promise<GetResult>;
  readonly freeBytes: () => Promise<number>;
  /** Nothing else is written meanwhile. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  /** Null when the records are durable and in the index. */
  readonly append: (records: readonly NewRecord[]) => Promise<'no_space' | 'disk_failed' | null>;
};

/** Dead bytes of a segment, from which on it is worth the work. */
const DEAD_SHARE = 0.3;
const STEP_BYTES = 4 * MIB;
const STEP_RECORDS = 512;
/** Beyond what is copied: compaction may use what blocks may not, and must not take the last of it. */
const MARGIN_BYTES = 64 * MIB;

type Listed = Pick<LogRecord, 'kind' | 'id' | 'fence' | 'payloadLength'> & { readonly offset: number };
type Work = {
  readonly segment: number;
  readonly records: readonly Listed[];
  /** No older segment can hold a block that one of its tombstones deletes. */
  readonly isOldest: boolean;
  next: number;
};

export class Compaction {
  readonly #tools: CompactionTools;
  #work: Work | null = null;
  /** In which something was found that must not be copied, nor lost. */
  readonly #left = new Set<number>();
  #running: Promise<'busy' | 'idle'> | null = null;

  constructor(tools: CompactionTools) {
    this.#tools = tools;
  }

  /** One at a time, whoever asks. */
  step(): Promise<'busy' | 'idle'> {
    this.#running ??= this.#step().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #step(): Promise<'busy' | 'idle'> {
    const work = (this.#work ??= await this.#begin());
    if (!work) return 'idle';
    if (work.next < work.records.length) {
      const isDone = await this.#tools.alone(() => this.#copySome(work));
      if (isDone) return 'busy';
      this.#work = null;
      return 'idle';
    }
    this.#work = null;
    await this.#tools.alone(() => this.#remove(work));
    return 'busy';
  }

  async #begin(): Promise<Work | null> {
    const { disk, indexed } = this.#tools;
    const segment = indexed((index) => index.mostlyDead(DEAD_SHARE, this.#left));
    if (segment === null) return null;
    const records = await this.#list(segment);
    if (!records) {
      this.#left.add(segment);
      return this.#begin();
    }
    return { segment, records, isOldest: (await listSegments(disk))[0] === segment, next: 0 };
  }

  /** Null where not everything in it is a whole record. A finished segment does not change any more. */
  async #list(segment: number): Promise<readonly Listed[] | null> {
    const { disk, checksum } = this.#tools;
    const file = await disk.open(segmentPath(segment), 'read');
    try {
      const judged = parseSegmentHeader(checksum, await file.read(0, SEGMENT_HEADER_BYTES));
      if (judged.kind !== 'valid') return null;
      const listed = await readFooter(file, checksum, judged.header);
      if (listed) return listed;
      const records: Listed[] = [];
      const range = { from: SEGMENT_HEADER_BYTES, to: await file.size() };
      for await (const item of scanSegment(file, checksum, judged.header, range)) {
        if (item.kind === 'bad') return null;
        records.push(item.header);
      }
      return records;
    } finally {
      await closeQuietly(file);
    }
  }

  /** False where it cannot go on now. */
  async #copySome(work: Work): Promise<boolean> {
    const { append, freeBytes } = this.#tools;
    if ((await freeBytes()) < 2 * STEP_BYTES + MARGIN_BYTES) return false;
    const copies: NewRecord[] = [];
    let bytes = 0;
    let { next } = work;
    while (next < work.records.length && bytes < STEP_BYTES && copies.length < STEP_RECORDS) {
      const record = must(work.records[next], 'within the list');
      const copy = await this.#copyOf(work, record);
      if (copy === 'unreadable') {
        // Where it is damage, that was noted: the segment stays as it is.
        this.#left.add(work.segment);
        return false;
      }
      next += 1;
      if (!copy) continue;
      copies.push(copy);
      bytes += recordBytes(copy.payload.length);
    }
    if (copies.length > 0 && (await append(copies)) !== null) return false;
    work.next = next;
    return true;
  }

  /** What of a record still means something; null: nothing. */
  async #copyOf(
    { segment, isOldest }: Work,
    { kind, id, fence, offset, payloadLength }: Listed,
  ): Promise<NewRecord | 'unreadable' | null> {
    const { indexed, read } = this.#tools;
    const place = indexed((index) => index.find(id));
    switch (kind) {
      case 'block': {
        if (place?.segment !== segment || place.offset !== offset) return null;
        const result = place.corrupt ? null : await read(id, place);
        return result?.kind === 'found' ? { kind, id, fence: place.fence, payload: result.bytes } : 'unreadable';
      }
      case 'fence':
        // Of a block that lies elsewhere: its own record there may have been put under a lower one.
        return place && place.segment !== segment ? { kind, id, fence: place.fence, payload: NO_BYTES } : null;
      case 'tombstone':
        // Where it is held again, a later record says so. Where not, an older one must not come back with an index that is made anew.
        return place || isOldest
          ? null
          : { kind, id, fence, payload: await this.#payload(segment, offset, payloadLength) };
      case 'root':
        // Nothing here says which of them are still needed.
        return 'unreadable';
      case 'footer':
        return null;
    }
  }

  #payload(segment: number, offset: number, length: number): Promise<Uint8Array> {
    return this.#tools.files.read(segment, offset + RECORD_HEADER_BYTES, length);
  }

  async #remove({ segment, records }: Work): Promise<void> {
    const { disk, files, indexed, log } = this.#tools;
    const isUsed = records.some(({ kind, id, offset }) => {
      const place = kind === 'block' ? indexed((index) => index.find(id)) : null;
      return place?.segment === segment && place.offset === offset;
    });
    if (isUsed) {
      this.#left.add(segment);
      return;
    }
    await addCompacted(disk, segment);
    await files.forget(segment);
    await disk.remove(segmentPath(segment));
    await disk.syncDirectory(SEGMENT_DIRECTORY);
    indexed((index) => index.forgetSegment(segment));
    log.info('a segment of the log was compacted', { segment });
  }
}

const NO_BYTES = new Uint8Array(0);

async function closeQuietly(file: DiskFile): Promise<void> {
  try {
    await file.close();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
  }
}

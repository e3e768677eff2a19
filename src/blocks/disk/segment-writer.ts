/** The one writer of the log: appends groups of records, each durable as a whole when `append` resolves. */
import { assert } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import { id32Of, type BlockId, type NodeId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Checksum } from '#world/checksum.ts';
import type { Disk, DiskFile } from '#world/disk.ts';
import { SEGMENT_DIRECTORY, segmentPath } from './segment-files.ts';
import {
  encodeFooterPayload,
  encodeRecord,
  encodeSegmentHeader,
  recordBytes,
  SEGMENT_HEADER_BYTES,
  type FooterEntry,
  type LogRecord,
  type PlacedRecord,
} from './segment-format.ts';

export type NewRecord = Omit<LogRecord, 'payloadLength'> & { readonly payload: Uint8Array };

export type WriterOptions = {
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly primitives: Pick<Primitives, 'sha256'>;
  readonly node: NodeId;
  /** A segment is sealed before it would grow beyond these. */
  readonly segmentBytesMax?: number;
  readonly segmentRecordsMax?: number;
  /** 32 bits that nobody can foretell, for each segment anew. */
  readonly newSalt: () => number;
  /** The segment will never be written to again; what was not acknowledged in it is not part of it. */
  readonly onFinished: (segment: number) => void;
};

/** Keeps a footer below 4 MiB, however small the blocks are. */
const SEGMENT_RECORDS_MAX = 65_536;
/** Failed syncs and writes, after which the disk is taken out of service. */
const DISK_FAILURES_MAX = 3;

export type ActiveSegment = {
  readonly segment: number;
  readonly salt: number;
  readonly file: DiskFile;
  /** Everything before is durable. */
  size: number;
  readonly entries: FooterEntry[];
};

export class SegmentWriter {
  readonly #options: WriterOptions;
  readonly #segmentBytesMax: number;
  readonly #segmentRecordsMax: number;
  #active: ActiveSegment | null;
  #nextSegment: number;
  #failures = 0;

  /** `active`: the segment to go on with, where there is one. */
  constructor(options: WriterOptions, active: ActiveSegment | null, nextSegment: number) {
    this.#options = options;
    this.#segmentBytesMax = options.segmentBytesMax ?? limits.segmentBytesMax;
    this.#segmentRecordsMax = options.segmentRecordsMax ?? SEGMENT_RECORDS_MAX;
    this.#active = active;
    this.#nextSegment = nextSegment;
  }

  get failed(): boolean {
    return this.#failures >= DISK_FAILURES_MAX;
  }

  /** What `append` may write beside the records themselves, at most: a footer and a header. */
  get overheadBytesMax(): number {
    return recordBytes(56 * this.#segmentRecordsMax + 16) + SEGMENT_HEADER_BYTES;
  }

  /**
   * Resolves when all of the records are durable, with their places. Rejects where none of them may be acknowledged: `no_space` or
   * `disk_failed`. Not to be called again before it settled.
   */
  async append(records: readonly NewRecord[]): Promise<readonly PlacedRecord[]> {
    for (;;) {
      if (this.failed) throw new HoldfastError('disk_failed', 'the disk reported too many errors');
      const active = await this.#segmentFor(records);
      const { placed, pieces, end } = this.#encode(active, records);
      try {
        await active.file.append(pieces);
      } catch (error) {
        this.#note(error);
        await this.#abandonTail(active);
        throw error;
      }
      if (await this.#synced(active)) {
        active.size = end;
        for (const record of placed) active.entries.push(record);
        return placed;
      }
    }
  }

  #encode(active: ActiveSegment, records: readonly NewRecord[]) {
    const { checksum } = this.#options;
    const pieces: Uint8Array[] = [];
    const placed: PlacedRecord[] = [];
    let offset = active.size;
    for (const { kind, id, fence, payload } of records) {
      const { segment, salt, size: group } = active;
      const record = { kind, id, fence, payloadLength: payload.length, segment, salt, offset, group };
      pieces.push(...encodeRecord(checksum, record, payload));
      placed.push(record);
      offset += recordBytes(payload.length);
    }
    return { placed, pieces, end: offset };
  }

  /**
   * False where the sync failed: the kernel may have dropped what it could not write and call it clean, so that a second sync would
   * prove nothing. The segment is given up; the caller writes what it still holds to another.
   */
  async #synced(active: ActiveSegment): Promise<boolean> {
    try {
      await active.file.sync();
      this.#failures = 0;
      return true;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      await this.#giveUp(active);
      // A disk that is full says so late on some file systems; another segment would not fit either.
      if (hasCode(error, 'no_space')) throw error;
      this.#failures += 1;
      return false;
    }
  }

  /** Takes back what an append left of itself behind the last durable record. */
  async #abandonTail(active: ActiveSegment): Promise<void> {
    try {
      await active.file.truncate(active.size);
    } catch (error) {
      this.#note(error);
      await this.#giveUp(active);
    }
  }

  /** What may be otherwise a moment later (a full disk, one mounted read-only, too many open files) says nothing about how the disk is. */
  #note(error: unknown): void {
    if (hasCode(error, 'disk_failed')) this.#failures += 1;
  }

  async #giveUp(active: ActiveSegment): Promise<void> {
    this.#active = null;
    this.#options.onFinished(active.segment);
    await closeQuietly(active.file);
  }

  /** The active segment where they fit; else a new one, the old one sealed. */
  async #segmentFor(records: readonly NewRecord[]): Promise<ActiveSegment> {
    const active = this.#active;
    if (active && this.#fits(active, records)) return active;
    if (active) await this.#seal(active);
    this.#active = await this.#create();
    return this.#active;
  }

  #fits(active: ActiveSegment, records: readonly NewRecord[]): boolean {
    if (active.entries.length === 0) return true;
    const added = records.reduce((sum, { payload }) => sum + recordBytes(payload.length), 0);
    return (
      active.size + added <= this.#segmentBytesMax && active.entries.length + records.length <= this.#segmentRecordsMax
    );
  }

  /** A segment without its footer is complete as well, only slower to read at a rebuild: whatever fails here loses nothing. */
  async #seal(active: ActiveSegment): Promise<void> {
    const { checksum, primitives } = this.#options;
    const { file } = active;
    try {
      await file.append(footerPieces(checksum, primitives, active));
      await file.sync();
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
    }
    await this.#giveUp(active);
  }

  /** Durable with its name before anything in it may be acknowledged. */
  async #create(): Promise<ActiveSegment> {
    const { disk, checksum, node } = this.#options;
    const segment = this.#nextSegment;
    const salt = this.#options.newSalt();
    // A number whose file could not be finished is not used again: what lies there is judged at the next start.
    this.#nextSegment += 1;
    const file = await disk.create(segmentPath(segment));
    try {
      await file.append([encodeSegmentHeader(checksum, { segment, node, salt })]);
      await file.sync();
      await disk.syncDirectory(SEGMENT_DIRECTORY);
    } catch (error) {
      this.#note(error);
      await closeQuietly(file);
      // It was never part of the log.
      await disk.remove(segmentPath(segment)).catch(() => undefined);
      throw error;
    }
    return { segment, salt, file, size: SEGMENT_HEADER_BYTES, entries: [] };
  }

  async close(): Promise<void> {
    const active = this.#active;
    this.#active = null;
    if (active) await active.file.close();
  }
}

/** The record that seals the segment, to be appended at its end. */
export function footerPieces(
  checksum: Checksum,
  primitives: Pick<Primitives, 'sha256'>,
  { segment, salt, size: offset, entries }: ActiveSegment,
): readonly Uint8Array[] {
  const payload = encodeFooterPayload(entries, offset);
  const id = id32Of<BlockId>(primitives.sha256(payload));
  const footer = { kind: 'footer', id, fence: 0, payloadLength: payload.length } as const;
  return encodeRecord(checksum, { ...footer, segment, salt, offset, group: offset }, payload);
}

/** Everything that matters was synced, or is known not to be. */
async function closeQuietly(file: DiskFile): Promise<void> {
  try {
    await file.close();
  } catch (error) {
    assert(error instanceof HoldfastError, 'a disk fails with an error of Holdfast');
  }
}

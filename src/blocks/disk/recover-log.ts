/**
 * What a start does before anything is served: brings the index up to the end of the log, takes back torn writes, and finds out where
 * the log goes on. A torn write is bytes that were never acknowledged; every other damage is noted and left as it lies.
 */
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Checksum } from '#world/checksum.ts';
import type { Disk, DiskFile } from '#world/disk.ts';
import type { Log } from '#world/log.ts';
import type { BlockIndex, Damage, IndexedRecord } from './block-index.ts';
import { removeCompacted } from './compacted.ts';
import { judgeScan, recordsOf, type Bad } from './judge-scan.ts';
import { newerLog } from './log-error.ts';
import { listSegments, SEGMENT_DIRECTORY, segmentPath } from './segment-files.ts';
import {
  encodeSegmentHeader,
  parseSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type FooterEntry,
  type SegmentHeader,
} from './segment-format.ts';
import { readFooter, scanSegment, type Scanned } from './segment-scan.ts';
import { footerPieces, type ActiveSegment } from './segment-writer.ts';

export type RecoverOptions = {
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly primitives: Pick<Primitives, 'sha256'>;
  readonly node: NodeId;
  readonly log: Log;
};

export type RecoveredLog = { readonly active: ActiveSegment | null; readonly nextSegment: number };

const APPLY_RECORDS_MAX = 1000;

export async function recoverLog(options: RecoverOptions, index: BlockIndex): Promise<RecoveredLog> {
  const gone = await removeCompacted(options.disk);
  for (const segment of gone) index.forgetSegment(segment);
  const segments = await listSegments(options.disk);
  const known = index.segments();
  const last = segments.at(-1) ?? 0;
  noteMissing(options, index, segments);
  let active: ActiveSegment | null = null;
  for (const segment of segments) {
    const { indexedUpto = 0, state = 'open' } = known.get(segment) ?? {};
    const recovery = new SegmentRecovery(options, index, { segment, indexedUpto, isLast: segment === last });
    if (state === 'finished') await recovery.checkLength();
    else active = await recovery.run();
  }
  return { active, nextSegment: Math.max(last, ...known.keys(), ...gone, 0) + 1 };
}

/** Segments that the index knows and the disk does not have. */
function noteMissing({ log }: RecoverOptions, index: BlockIndex, present: readonly number[]): void {
  const there = new Set(present);
  const known = [...index.segments()];
  const missing = known.filter(([segment]) => !there.has(segment));
  if (missing.length === 0) return;
  if (missing.length === known.length)
    throw new HoldfastError(
      'integrity',
      'the log of the storage node is missing: is its disk mounted? Nothing was changed',
    );
  for (const [segment, { indexedUpto: length }] of missing) {
    const blocks = index.quarantine({ segment, offset: 0, length, id: null, why: 'segment_missing' });
    if (blocks >= 0) log.error('a segment of the log is missing', { segment, blocks });
  }
}

type Known = { readonly segment: number; readonly indexedUpto: number; readonly isLast: boolean };

class SegmentRecovery {
  readonly #options: RecoverOptions;
  readonly #index: BlockIndex;
  readonly #known: Known;
  #pending: IndexedRecord[] = [];
  #damaged = false;

  constructor(options: RecoverOptions, index: BlockIndex, known: Known) {
    this.#options = options;
    this.#index = index;
    this.#known = known;
  }

  /** Of a segment that is not read again: that it did not get shorter. */
  async checkLength(): Promise<void> {
    const file = await this.#options.disk.open(segmentPath(this.#known.segment), 'read');
    try {
      this.#noteLost(await file.size());
    } finally {
      await file.close();
    }
  }

  /** Answers with the segment where the log can go on in it. */
  async run(): Promise<ActiveSegment | null> {
    const { segment } = this.#known;
    const file = await this.#options.disk.open(segmentPath(segment), 'append');
    let active: ActiveSegment | null = null;
    try {
      active = await this.#recover(file);
    } finally {
      if (!active) await file.close();
    }
    return active;
  }

  async #recover(file: DiskFile): Promise<ActiveSegment | null> {
    const { checksum } = this.#options;
    const { segment, isLast } = this.#known;
    const header = await this.#readHeader(file);
    const listed = header ? await readFooter(file, checksum, header) : null;
    if (listed) return this.#takeFooter(file, listed);

    const size = await file.size();
    const salt = header?.salt ?? null;
    const range = { from: SEGMENT_HEADER_BYTES, to: size };
    const scanned: Scanned[] = [];
    for await (const item of scanSegment(file, checksum, { segment, salt }, range)) scanned.push(item);
    if (!header && isLast && this.#wasNeverBegun(scanned)) return this.#beginAgain(file);

    const { kept, torn, cutAt } = judgeScan(scanned, this.#known);
    if (cutAt !== null) await this.#cut(file, size, cutAt);
    await this.#makeDurable(file);
    const active = salt === null ? null : { segment, salt, file, size: cutAt ?? size, entries: [...recordsOf(kept)] };
    await this.#sealTorn(torn, kept.some(isBad) ? null : active);

    if (!header) this.#note({ segment, offset: 0, length: SEGMENT_HEADER_BYTES, id: null, why: 'header' });
    this.#take(kept);
    // Where a record is cut short, its block was noted with it.
    if (scanned.at(-1)?.kind !== 'bad') this.#noteLost(size);
    const ended = !isLast || this.#damaged || torn.length > 0 || kept.some(isFooter);
    this.#flush(ended ? [segment] : []);
    return ended ? null : active;
  }

  /** Null where it is damaged. */
  async #readHeader(file: DiskFile): Promise<SegmentHeader | null> {
    const { checksum, node } = this.#options;
    const { segment } = this.#known;
    const judged = parseSegmentHeader(checksum, await file.read(0, SEGMENT_HEADER_BYTES));
    if (judged.kind === 'newer') throw newerLog();
    if (judged.kind === 'bad') return null;
    if (judged.header.segment !== segment || judged.header.node !== node)
      throw new HoldfastError('integrity', `segment ${segment} belongs to another place; nothing was changed`);
    return judged.header;
  }

  async #takeFooter(file: DiskFile, listed: readonly FooterEntry[]): Promise<null> {
    // Before a later segment was begun, this one was made durable: by the process that sealed it, or at the start after it.
    if (this.#known.isLast) await this.#makeDurable(file);
    for (const entry of listed) this.#takeRecord({ ...entry, segment: this.#known.segment });
    this.#noteLost(await file.size());
    this.#flush([this.#known.segment]);
    return null;
  }

  /**
   * The process that wrote these bytes may have died before its sync: what is served from here on must survive power loss. So must what
   * the index takes, or a power cut would show its end of the log as lost.
   */
  async #makeDurable(file: DiskFile): Promise<void> {
    await file.sync();
    await this.#options.disk.syncDirectory(SEGMENT_DIRECTORY);
  }

  /**
   * Torn writes among whole records cannot be cut off: where it was the disk that damaged the rest, the records were acknowledged. As long
   * as nothing follows, torn writes show themselves to be such. Before the index reaches beyond them, or another group or segment follows, a
   * footer has to say which records there are: without one the next start would take the rest for damage. `active`: null where the
   * segment has damage as well, which a footer would hide from an index that is made anew.
   */
  async #sealTorn(torn: readonly Bad[], active: ActiveSegment | null): Promise<void> {
    const { checksum, primitives, log } = this.#options;
    for (const item of torn)
      log.warn('a torn write lies in the log; it was never acknowledged', { segment: this.#known.segment, ...item });
    if (torn.length === 0 || !active) return;
    const { file, size } = active;
    try {
      await file.append(footerPieces(checksum, primitives, active));
      await file.sync();
    } catch (error) {
      // On a full disk what is held is served all the same. An index made anew may then report these torn writes: too much, never too little.
      if (!hasCode(error, 'no_space')) throw error;
      await file.truncate(size);
    }
  }

  /** Nothing in a segment is acknowledged before its header is durable. */
  #wasNeverBegun(scanned: readonly Scanned[]): boolean {
    return this.#known.indexedUpto === 0 && scanned.every(({ kind }) => kind === 'bad');
  }

  async #beginAgain(file: DiskFile): Promise<ActiveSegment> {
    const { disk, checksum, node } = this.#options;
    const { segment } = this.#known;
    const salt = this.#index.newSalt();
    await file.truncate(0);
    await file.append([encodeSegmentHeader(checksum, { segment, node, salt })]);
    await file.sync();
    await disk.syncDirectory(SEGMENT_DIRECTORY);
    return { segment, salt, file, size: SEGMENT_HEADER_BYTES, entries: [] };
  }

  /** In the order of the log. */
  #take(kept: readonly Scanned[]): void {
    const { segment, indexedUpto } = this.#known;
    for (const item of kept) {
      if (item.kind === 'record') this.#takeRecord(item.header);
      else {
        const { offset, length, id } = item;
        // Below, the index knows better than the header whether a block lies there still.
        const named = offset < indexedUpto ? null : id;
        this.#note({ segment, offset, length, id: named, why: id === null ? 'header' : 'checksum' });
      }
    }
  }

  async #cut(file: DiskFile, size: number, offset: number): Promise<void> {
    await file.truncate(offset);
    this.#options.log.warn('cut a torn write off the end of the log; it was never acknowledged', {
      segment: this.#known.segment,
      offset,
      bytes: size - offset,
    });
  }

  /** Where the segment ends before what the index knows of it. */
  #noteLost(size: number): void {
    const { segment, indexedUpto } = this.#known;
    if (size >= indexedUpto) return;
    this.#note({ segment, offset: size, length: indexedUpto - size, id: null, why: 'checksum' });
  }

  #note(damage: Damage): void {
    this.#flush([]);
    this.#damaged = true;
    const blocks = this.#index.quarantine(damage);
    if (blocks >= 0) this.#options.log.error('a part of the log is damaged', { ...damage, blocks });
  }

  #takeRecord(record: IndexedRecord): void {
    if (record.offset < this.#known.indexedUpto) return;
    this.#pending.push(record);
    if (this.#pending.length === APPLY_RECORDS_MAX) this.#flush([]);
  }

  #flush(finished: readonly number[]): void {
    const records = this.#pending;
    this.#pending = [];
    if (records.length === 0 && finished.length === 0) return;
    try {
      this.#index.apply(records, finished);
    } catch (error) {
      // That a segment is finished can be noted another time: on a full disk, what is held is served all the same.
      if (records.length > 0 || !hasCode(error, 'no_space')) throw error;
    }
  }
}

function isFooter(item: Scanned): boolean {
  return item.kind === 'record' && item.header.kind === 'footer';
}

function isBad(item: Scanned): boolean {
  return item.kind === 'bad';
}

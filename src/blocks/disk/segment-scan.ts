/** Reads a segment from front to back and finds what is whole in it, whatever happened to the rest. */
import type { BlockId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Checksum } from '#world/checksum.ts';
import type { DiskFile } from '#world/disk.ts';
import { newerLog } from './log-error.ts';
import {
  bodyMatches,
  FOOTER_TRAILER_BYTES,
  paddingBytes,
  parseFooterPayload,
  parseFooterTrailer,
  parseRecordHeader,
  RECORD_HEADER_BYTES,
  recordBytes,
  type FooterEntry,
  type RecordHeader,
  type RecordPlace,
  type SegmentHeader,
} from './segment-format.ts';

export type Scanned =
  | { readonly kind: 'record'; readonly header: RecordHeader }
  /** Bytes that are no record. `id`: of the block whose payload is damaged, where its header is whole. */
  | { readonly kind: 'bad'; readonly offset: number; readonly length: number; readonly id: BlockId | null };

const WINDOW_BYTES = 4 * MIB;
const ALIGNMENT = 8;

export type ScannedSegment = {
  readonly segment: number;
  /** Null where the segment's header is damaged: then the first whole record says it. */
  readonly salt: number | null;
};

/**
 * Everything between `from` and `to`, without gap or overlap, every checksum verified. After a header that is damaged it goes on at the
 * next place where a whole one says that it lies there. Throws `newer_version` at a whole header of an unknown kind.
 */
export async function* scanSegment(
  file: DiskFile,
  checksum: Checksum,
  { segment, salt: knownSalt }: ScannedSegment,
  range: { readonly from: number; readonly to: number },
): AsyncGenerator<Scanned> {
  const window = new Window(file, checksum);
  let offset = range.from;
  let salt = knownSalt;
  while (offset < range.to) {
    const header = await window.header({ segment, offset, salt });
    if (!header) {
      const next = await window.nextHeader({ segment, offset: offset + ALIGNMENT, salt }, range.to);
      yield { kind: 'bad', offset, length: next - offset, id: null };
      offset = next;
      continue;
    }
    salt ??= header.salt;
    const length = recordBytes(header.payloadLength);
    const body = await window.read(offset + RECORD_HEADER_BYTES, length - RECORD_HEADER_BYTES);
    if (bodyMatches(checksum, header, body)) yield { kind: 'record', header };
    else {
      const id = header.kind === 'block' ? header.id : null;
      yield { kind: 'bad', offset, length: Math.min(length, range.to - offset), id };
    }
    offset += length;
  }
}

/** The records that the footer of a sealed segment lists; null where there is no whole footer at the end. */
export async function readFooter(
  file: DiskFile,
  checksum: Checksum,
  { segment, salt }: SegmentHeader,
): Promise<readonly FooterEntry[] | null> {
  const size = await file.size();
  if (size < FOOTER_TRAILER_BYTES) return null;
  const offset = parseFooterTrailer(await file.read(size - FOOTER_TRAILER_BYTES, FOOTER_TRAILER_BYTES));
  if (offset === null || offset > size) return null;
  const bytes = await file.read(offset, size - offset);
  const judged = parseRecordHeader(checksum, bytes, { segment, offset, salt });
  if (judged.kind !== 'valid' || judged.header.kind !== 'footer') return null;
  const { payloadLength } = judged.header;
  const body = bytes.subarray(RECORD_HEADER_BYTES);
  if (body.length !== payloadLength + paddingBytes(payloadLength)) return null;
  if (!bodyMatches(checksum, judged.header, body)) return null;
  return parseFooterPayload(body.subarray(0, payloadLength));
}

/** Small reads out of large ones. */
class Window {
  readonly #file: DiskFile;
  readonly #checksum: Checksum;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(file: DiskFile, checksum: Checksum) {
    this.#file = file;
    this.#checksum = checksum;
  }

  /** Shorter only at the end of the file. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      this.#start = offset;
      this.#bytes = await this.#file.read(offset, Math.max(length, WINDOW_BYTES));
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + length);
  }

  /** Null where no whole header says that it lies at `place`. */
  async header(place: RecordPlace): Promise<RecordHeader | null> {
    return this.#judge(await this.read(place.offset, RECORD_HEADER_BYTES), place);
  }

  /** The first offset from `from` on at which a whole header says that it lies there; `to` where there is none. */
  async nextHeader(from: RecordPlace, to: number): Promise<number> {
    let start = from.offset;
    while (start < to) {
      const bytes = await this.read(start, WINDOW_BYTES);
      const searched = Math.max(bytes.length - RECORD_HEADER_BYTES + 1, 0);
      for (let index = 0; index < searched; index += ALIGNMENT) {
        const piece = bytes.subarray(index, index + RECORD_HEADER_BYTES);
        if (this.#judge(piece, { ...from, offset: start + index })) return start + index;
      }
      if (bytes.length < WINDOW_BYTES) break;
      start += Math.ceil(searched / ALIGNMENT) * ALIGNMENT;
    }
    return to;
  }

  #judge(bytes: Uint8Array, place: RecordPlace): RecordHeader | null {
    const judged = parseRecordHeader(this.#checksum, bytes, place);
    if (judged.kind === 'newer') throw newerLog();
    return judged.kind === 'valid' ? judged.header : null;
  }
}

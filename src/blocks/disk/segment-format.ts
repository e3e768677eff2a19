/**
 * A segment of the log, byte for byte (normative: docs/on-disk-node.md). Integers are big-endian.
 *
 *   segment = header | record ... | footer (once sealed)
 *   header  = "HFS" | version u8 | 0^4 | segment number u64 | node id 16 | salt u32 | 0^24
 *             | CRC-32 of the 60 bytes before u32                                                                         64 B
 *   record  = "HFL" 01 | kind u8 | 0^3 | segment number u64 | offset u32 | group u32 | payload length u32
 *             | CRC-32 of payload and padding u32 | fence u64 | id 32 | salt u32 | CRC-32 of the 76 bytes before u32      80 B
 *             | payload | zero bytes up to a multiple of 8
 *
 * A record says where it lies, so that bytes of another place or another segment are never taken for it. The salt is a number that
 * nobody outside the node knows: whoever sends a block that looks like records cannot have them believed.
 */
import { assert } from '#core/assert.ts';
import { concat, type Bytes } from '#core/bytes.ts';
import { id16Of, id32Of, idBytes, type BlockId, type NodeId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Checksum } from '#world/checksum.ts';

export const SEGMENT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 64;
export const RECORD_HEADER_BYTES = 80;
export const PAYLOAD_BYTES_MAX = 64 * MIB;
const RECORD_ALIGNMENT = 8;
const SEGMENT_MAGIC = 0x484653;
const RECORD_MAGIC = 0x48464c01;

const KIND_NUMBERS = { block: 1, tombstone: 2, fence: 3, root: 4, footer: 5 } as const;
export type RecordKind = keyof typeof KIND_NUMBERS;
const KINDS = new Map<number, RecordKind>(
  Object.entries(KIND_NUMBERS).map(([kind, value]) => [value, kind as RecordKind]),
);

/** What a record says, wherever it lies. */
export type LogRecord = {
  readonly kind: RecordKind;
  /** Of the block that it holds, deletes or fences; of a root and a footer: SHA-256 of the payload. */
  readonly id: BlockId;
  /** Of a block and a fence: the put's. Of a tombstone: the order's, which spares blocks whose fence is not lower. Else 0. */
  readonly fence: number;
  readonly payloadLength: number;
};

/** A record at its place. `group`: everything before that offset was durable before this record was written. */
export type PlacedRecord = LogRecord & {
  readonly segment: number;
  readonly salt: number;
  readonly offset: number;
  readonly group: number;
};

/** Where a record is expected. `salt`: of the segment; null where that is not known, or the record is verified in another way. */
export type RecordPlace = { readonly segment: number; readonly offset: number; readonly salt: number | null };

export type SegmentHeader = { readonly segment: number; readonly node: NodeId; readonly salt: number };

export type RecordHeader = PlacedRecord & { readonly payloadCrc: number };

export type HeaderJudgement<Header> =
  | { readonly kind: 'valid'; readonly header: Header }
  /** Well-formed, but of a version or kind that came later. */
  | { readonly kind: 'newer' }
  | { readonly kind: 'bad' };

/** Of the whole record, header and padding included. */
export function recordBytes(payloadLength: number): number {
  return RECORD_HEADER_BYTES + payloadLength + paddingBytes(payloadLength);
}

export function paddingBytes(payloadLength: number): number {
  return (RECORD_ALIGNMENT - (payloadLength % RECORD_ALIGNMENT)) % RECORD_ALIGNMENT;
}

export function encodeSegmentHeader(checksum: Checksum, { segment, node, salt }: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SEGMENT_MAGIC * 256 + SEGMENT_VERSION);
  view.setBigUint64(8, BigInt(segment));
  bytes.set(idBytes(node), 16);
  view.setUint32(32, salt);
  view.setUint32(60, checksum.crc32(bytes.subarray(0, 60)));
  return bytes;
}

export function parseSegmentHeader(checksum: Checksum, bytes: Bytes): HeaderJudgement<SegmentHeader> {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { kind: 'bad' };
  const view = viewOf(bytes);
  if (view.getUint32(0) >>> 8 !== SEGMENT_MAGIC) return { kind: 'bad' };
  if (view.getUint32(60) !== checksum.crc32(bytes.subarray(0, 60))) return { kind: 'bad' };
  if ((view.getUint32(0) & 0xff) !== SEGMENT_VERSION) return { kind: 'newer' };
  const segment = safeNumber(view, 8);
  if (segment === null) return { kind: 'bad' };
  const node = id16Of<NodeId>(bytes.subarray(16, 32));
  return { kind: 'valid', header: { segment, node, salt: view.getUint32(32) } };
}

/** The pieces of a record in order: header, payload, padding. `payload` is not copied. */
export function encodeRecord(checksum: Checksum, record: PlacedRecord, payload: Bytes): readonly Uint8Array[] {
  assert(payload.length === record.payloadLength, 'a record is as long as it says');
  assert(payload.length <= PAYLOAD_BYTES_MAX, 'a payload is within its limit');
  assert(record.offset % RECORD_ALIGNMENT === 0 && record.group <= record.offset, 'a record lies in its group');
  const padding = new Uint8Array(paddingBytes(payload.length));
  const header = new Uint8Array(RECORD_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, RECORD_MAGIC);
  view.setUint8(4, KIND_NUMBERS[record.kind]);
  view.setBigUint64(8, BigInt(record.segment));
  view.setUint32(16, record.offset);
  view.setUint32(20, record.group);
  view.setUint32(24, payload.length);
  view.setUint32(28, checksum.crc32(padding, checksum.crc32(payload)));
  view.setBigUint64(32, BigInt(record.fence));
  header.set(idBytes(record.id), 40);
  view.setUint32(72, record.salt);
  view.setUint32(76, checksum.crc32(header.subarray(0, 76)));
  return padding.length === 0 ? [header, payload] : [header, payload, padding];
}

/** `bytes` begins at the place `at` of the log and may go on after the header. */
export function parseRecordHeader(checksum: Checksum, bytes: Bytes, at: RecordPlace): HeaderJudgement<RecordHeader> {
  if (bytes.length < RECORD_HEADER_BYTES) return { kind: 'bad' };
  const view = viewOf(bytes);
  if (view.getUint32(0) !== RECORD_MAGIC) return { kind: 'bad' };
  if (view.getUint32(76) !== checksum.crc32(bytes.subarray(0, 76))) return { kind: 'bad' };
  const segment = safeNumber(view, 8);
  const fence = safeNumber(view, 32);
  const offset = view.getUint32(16);
  const payloadLength = view.getUint32(24);
  if (segment !== at.segment || offset !== at.offset || fence === null) return { kind: 'bad' };
  if (payloadLength > PAYLOAD_BYTES_MAX) return { kind: 'bad' };
  const salt = view.getUint32(72);
  if (at.salt !== null && salt !== at.salt) return { kind: 'bad' };
  const kind = KINDS.get(view.getUint8(4));
  if (!kind) return { kind: 'newer' };
  const id = id32Of<BlockId>(bytes.subarray(40, 72));
  const [group, payloadCrc] = [view.getUint32(20), view.getUint32(28)];
  return { kind: 'valid', header: { kind, id, fence, payloadLength, segment, salt, offset, group, payloadCrc } };
}

/** `body`: payload and padding, as they follow the header. */
export function bodyMatches(checksum: Checksum, header: RecordHeader, body: Bytes): boolean {
  const length = header.payloadLength + paddingBytes(header.payloadLength);
  return body.length >= length && checksum.crc32(body.subarray(0, length)) === header.payloadCrc;
}

/*
 * The footer's payload lists every record of the segment in the order of the log, and ends with where the footer begins:
 *   entry   = kind u8 | 0^3 | offset u32 | payload length u32 | 0^4 | fence u64 | id 32        56 B
 *   payload = entry ... | "HFSEGEND" | offset of the footer u64
 */
const ENTRY_BYTES = 56;
export const FOOTER_TRAILER_BYTES = 16;
const TRAILER_MAGIC = 0x4846534547454e44n;

export type FooterEntry = LogRecord & { readonly offset: number };

export function encodeFooterPayload(entries: readonly FooterEntry[], footerOffset: number): Uint8Array {
  const table = new Uint8Array(entries.length * ENTRY_BYTES);
  const view = new DataView(table.buffer);
  entries.forEach((entry, index) => {
    const start = index * ENTRY_BYTES;
    view.setUint8(start, KIND_NUMBERS[entry.kind]);
    view.setUint32(start + 4, entry.offset);
    view.setUint32(start + 8, entry.payloadLength);
    view.setBigUint64(start + 16, BigInt(entry.fence));
    table.set(idBytes(entry.id), start + 24);
  });
  const trailer = new Uint8Array(FOOTER_TRAILER_BYTES);
  const trailerView = new DataView(trailer.buffer);
  trailerView.setBigUint64(0, TRAILER_MAGIC);
  trailerView.setBigUint64(8, BigInt(footerOffset));
  return concat(table, trailer);
}

/** Where the segment that ends with these bytes has its footer; null where it has none. */
export function parseFooterTrailer(trailer: Bytes): number | null {
  if (trailer.length !== FOOTER_TRAILER_BYTES) return null;
  const view = viewOf(trailer);
  return view.getBigUint64(0) === TRAILER_MAGIC ? safeNumber(view, 8) : null;
}

/** `payload` was verified against its checksum. Null where it is no footer's all the same. */
export function parseFooterPayload(payload: Bytes): readonly FooterEntry[] | null {
  const tableBytes = payload.length - FOOTER_TRAILER_BYTES;
  if (tableBytes < 0 || tableBytes % ENTRY_BYTES !== 0) return null;
  const view = viewOf(payload);
  const entries: FooterEntry[] = [];
  for (let start = 0; start < tableBytes; start += ENTRY_BYTES) {
    const kind = KINDS.get(view.getUint8(start));
    const fence = safeNumber(view, start + 16);
    if (!kind || fence === null) return null;
    entries.push({
      kind,
      offset: view.getUint32(start + 4),
      payloadLength: view.getUint32(start + 8),
      fence,
      id: id32Of<BlockId>(payload.subarray(start + 24, start + ENTRY_BYTES)),
    });
  }
  return entries;
}

function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Null where the number is not one that JavaScript counts exactly. */
function safeNumber(view: DataView, offset: number): number | null {
  const value = view.getBigUint64(offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

/**
 * Rows of tables as a stream of bytes, independent of any database (normative: docs/on-disk.md, "Roots and snapshots"). The same
 * rows in the same order are the same bytes, so that what did not change is cut into the same chunks.
 */
import { assert } from './assert.ts';
import { concat, fromUtf8, utf8, viewOf, type Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HoldfastError } from './errors.ts';

export type ExportValue = null | number | string | Bytes;
/** `whole`: what follows of that table is all of it; rows that were read before are none any more. */
export type ExportRecord =
  | { readonly kind: 'table'; readonly table: number; readonly name: string; readonly columns: readonly string[] }
  | { readonly kind: 'whole'; readonly table: number }
  | { readonly kind: 'row'; readonly table: number; readonly values: readonly ExportValue[] };

const HEAD = Uint8Array.of(0x48, 0x46, 0x45, 0x01);
const KINDS = { table: 1, whole: 2, row: 3 } as const;
/** Above the longest row: a manifest of the largest file. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;
const TAGS = { null: 0, integer: 1, real: 2, text: 3, bytes: 4 } as const;

export function exportHead(): Uint8Array {
  return HEAD.slice();
}

export function encodeExportRecord(record: ExportRecord): Uint8Array {
  const writer = new ByteWriter(512);
  writer.u32(0).u8(KINDS[record.kind]).u8(record.table);
  if (record.kind === 'table') {
    writer.text8(record.name).u8(record.columns.length);
    for (const column of record.columns) writer.text8(column);
  } else if (record.kind === 'row') for (const value of record.values) writeValue(writer, value);
  const bytes = writer.finish();
  assert(bytes.length <= RECORD_BYTES_MAX, 'a record is within its limit');
  viewOf(bytes).setUint32(0, bytes.length - 4);
  return bytes;
}

function writeValue(writer: ByteWriter, value: ExportValue): void {
  if (value === null) writer.u8(TAGS.null);
  else if (typeof value === 'string') {
    assert(value.isWellFormed(), 'texts are well-formed');
    const encoded = utf8(value);
    writer.u8(TAGS.text).u32(encoded.length).bytes(encoded);
  } else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) writer.u8(TAGS.integer).i64(value);
    else {
      const real = new Uint8Array(8);
      viewOf(real).setFloat64(0, value);
      writer.u8(TAGS.real).bytes(real);
    }
  } else writer.u8(TAGS.bytes).u32(value.length).bytes(value);
}

/** Takes a stream in pieces of any length, and gives its records as they are complete. Throws `integrity` or `newer_version`. */
export class ExportParser {
  #pending: Uint8Array = new Uint8Array(0);
  #begun = false;

  *push(piece: Bytes): Generator<ExportRecord> {
    this.#pending = this.#pending.length === 0 ? piece : concat(this.#pending, piece);
    let offset = 0;
    if (!this.#begun) {
      if (this.#pending.length < HEAD.length) return;
      judgeHead(this.#pending);
      this.#begun = true;
      offset = HEAD.length;
    }
    const view = viewOf(this.#pending);
    while (offset + 4 <= this.#pending.length) {
      const length = view.getUint32(offset);
      if (length < 2 || length > RECORD_BYTES_MAX) throw malformed('a record cannot have that length');
      if (offset + 4 + length > this.#pending.length) break;
      yield parseRecord(this.#pending.subarray(offset + 4, offset + 4 + length));
      offset += 4 + length;
    }
    this.#pending = this.#pending.subarray(offset);
  }

  /** Throws `integrity` where the stream ends within a record. */
  end(): void {
    if (!this.#begun || this.#pending.length > 0) throw malformed('it ends early');
  }
}

function judgeHead(bytes: Bytes): void {
  if (HEAD.some((byte, index) => index < 3 && bytes[index] !== byte)) throw malformed('it begins with other bytes');
  if (bytes[3] !== HEAD[3])
    throw new HoldfastError('newer_version', 'the metadata in the pools was written by a newer version of Holdfast');
}

function parseRecord(bytes: Bytes): ExportRecord {
  const reader = new ByteReader(bytes, 'exported metadata');
  const kind = reader.u8();
  const table = reader.u8();
  if (kind === KINDS.whole) {
    reader.end();
    return { kind: 'whole', table };
  }
  if (kind === KINDS.table) {
    const name = reader.text8();
    const columns: string[] = [];
    for (let left = reader.u8(); left > 0; left--) columns.push(reader.text8());
    reader.end();
    return { kind: 'table', table, name, columns };
  }
  if (kind !== KINDS.row) throw new HoldfastError('newer_version', 'exported metadata has records of an unknown kind');
  const values: ExportValue[] = [];
  while (reader.offset < bytes.length) values.push(readValue(reader));
  return { kind: 'row', table, values };
}

function readValue(reader: ByteReader): ExportValue {
  const tag = reader.u8();
  if (tag === TAGS.null) return null;
  if (tag === TAGS.integer) return reader.i64();
  if (tag === TAGS.real) return viewOf(reader.bytes(8)).getFloat64(0);
  if (tag === TAGS.bytes) return reader.bytes(reader.u32()).slice();
  if (tag !== TAGS.text) throw malformed('a value of an unknown type');
  const text = fromUtf8(reader.bytes(reader.u32()));
  if (text === null) throw malformed('a text is not UTF-8');
  return text;
}

function malformed(why: string): HoldfastError {
  return new HoldfastError('integrity', `exported metadata is malformed: ${why}`);
}

/**
 * The canonical bytes of a journal's rows, and the chain over them (normative: docs/on-disk.md, "The journal"). One row has
 * one encoding: what parses encodes to the same bytes again.
 */
import { assert } from './assert.ts';
import { concat, utf8, viewOf, type Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import type { Entry, EntryKind, FileContent, JournalRow } from './entry.ts';
import { HoldfastError } from './errors.ts';
import { TRASH_ENTRY, id32Of, idBytes, type Chain, type EntryId, type Epoch, type SpaceId } from './ids.ts';
import { limits } from './limits.ts';
import type { Primitives } from './primitives.ts';

const MAGIC = 0x48464a;
const VERSION = 1;
const ROW_KINDS = { entry: 1, key: 2 } as const;
const ENTRY_KINDS = { file: 1, folder: 2, symlink: 3 } as const satisfies Partial<Record<EntryKind, number>>;
const FLAG_EXEC = 1;
const FLAG_TRASHED_FROM = 2;
const CHAIN_LABEL = utf8('holdfast/1 chain\0');
/** More than the longest row; a length above it is damage, not a row. */
const ROW_BYTES_MAX = 64 * 1024;

type EntryRow = Extract<JournalRow, { kind: 'entry' }>;
type KeyRow = Extract<JournalRow, { kind: 'key' }>;

/** `mtimeUs` and `exec` of what is no file are not part of a row. */
export function encodeRow(row: JournalRow): Uint8Array {
  const writer = new ByteWriter(384);
  writer
    .u32(MAGIC * 256 + VERSION)
    .u8(ROW_KINDS[row.kind])
    .u8(0)
    .u16(0);
  writer.id(row.space).id(row.epoch).u64(row.seq).id(row.device).i64(row.atMs);
  if (row.kind === 'entry') encodeEntry(writer, row);
  else encodeKey(writer, row);
  // Length of the reserved signature.
  return writer.u16(0).finish();
}

function encodeKey(writer: ByteWriter, row: KeyRow): void {
  assert(row.keyVersion >= 1, 'key version 0 is not a version that data takes');
  writer.u32(row.keyVersion);
}

function encodeEntry(writer: ByteWriter, row: EntryRow): void {
  const { entry } = row;
  assert(entry.kind !== 'mount', 'this version of the row has no mounts');
  assert(entry.seq === row.seq, 'a row is the state that its seq made');
  const why = whatIsWrong(row);
  assert(why === null, `a row that is made is whole: ${why}`);
  const exec = entry.kind === 'file' && entry.exec ? FLAG_EXEC : 0;
  const trashed = entry.trashedFrom === null ? 0 : FLAG_TRASHED_FROM;
  writer.u64(row.base).id(entry.entry).id(entry.parent).u64(entry.revision).u64(entry.placed);
  writer
    .u8(ENTRY_KINDS[entry.kind])
    .u8(exec | trashed)
    .text16(entry.name);
  if (entry.trashedFrom !== null) writer.id(entry.trashedFrom);
  if (entry.content !== null) {
    writer.id(entry.content.contentId).id(entry.content.manifestId).u64(entry.content.size).i64(entry.mtimeUs);
  }
  if (entry.target !== null) writer.text16(entry.target);
}

/** Throws `upgrade_required` for a version or kind that this program does not know, `integrity` for what is no row at all. */
export function parseRow(bytes: Bytes): JournalRow {
  const reader = new ByteReader(bytes, 'a journal row');
  const head = reader.u32();
  if (head >>> 8 !== MAGIC) throw reader.malformed('it begins with other bytes');
  if ((head & 0xff) !== VERSION) throw newerRow(`version ${head & 0xff}`);
  const kind = reader.u8();
  if (kind !== ROW_KINDS.entry && kind !== ROW_KINDS.key) throw newerRow(`kind ${kind}`);
  reader.zeros(3);
  const common = {
    space: reader.id<SpaceId>(16),
    epoch: reader.id<Epoch>(16),
    seq: reader.u64(),
    device: reader.id<EntryRow['device']>(16),
    atMs: reader.i64(),
  };
  const row: JournalRow = kind === ROW_KINDS.entry ? parseEntry(reader, common) : parseKey(reader, common);
  if (reader.u16() !== 0) throw newerRow('with a signature');
  reader.end();
  return row;
}

type Common = Pick<KeyRow, 'space' | 'epoch' | 'seq' | 'device' | 'atMs'>;

function parseKey(reader: ByteReader, common: Common): KeyRow {
  const keyVersion = reader.u32();
  if (keyVersion === 0) throw reader.malformed('key version 0 is not a version that data takes');
  return { kind: 'key', ...common, keyVersion };
}

function parseEntry(reader: ByteReader, common: Common): EntryRow {
  const base = reader.u64();
  const ids = { entry: reader.id<EntryId>(16), parent: reader.id<EntryId>(16) };
  const revision = reader.u64();
  const placed = reader.u64();
  const kind = parseEntryKind(reader.u8());
  const flags = reader.u8();
  if ((flags & ~(FLAG_EXEC | FLAG_TRASHED_FROM)) !== 0) throw newerRow(`with flags ${flags}`);
  if ((flags & FLAG_EXEC) !== 0 && kind !== 'file') throw reader.malformed('an exec bit on what is no file');
  const name = reader.text16();
  const trashedFrom = (flags & FLAG_TRASHED_FROM) === 0 ? null : reader.id<EntryId>(16);
  const content = kind === 'file' ? parseContent(reader) : null;
  const entry: Entry = {
    ...ids,
    name,
    kind,
    revision,
    placed,
    seq: common.seq,
    content,
    mtimeUs: kind === 'file' ? reader.i64() : 0,
    target: kind === 'symlink' ? reader.text16() : null,
    exec: (flags & FLAG_EXEC) !== 0,
    trashedFrom,
  };
  const row: EntryRow = { kind: 'entry', ...common, base, entry };
  const why = whatIsWrong(row);
  if (why !== null) throw reader.malformed(why);
  return row;
}

function parseEntryKind(code: number): keyof typeof ENTRY_KINDS {
  if (code === ENTRY_KINDS.file) return 'file';
  if (code === ENTRY_KINDS.folder) return 'folder';
  if (code === ENTRY_KINDS.symlink) return 'symlink';
  throw newerRow(`of an entry of kind ${code}`);
}

function parseContent(reader: ByteReader): FileContent {
  return { contentId: reader.id(32), manifestId: reader.id(32), size: reader.u64() };
}

/** One judgement for both directions: no row is written that would not be read. */
function whatIsWrong(row: EntryRow): string | null {
  const { entry } = row;
  if (Math.max(entry.revision, entry.placed) !== row.seq) return 'its seq is neither of its revision nor of its place';
  if (row.base > row.seq) return 'its base is newer than itself';
  if ((entry.kind === 'file') !== (entry.content !== null)) return 'a file has a content, and nothing else has';
  if ((entry.kind === 'symlink') !== (entry.target !== null)) return 'a symlink has a target, and nothing else has';
  if ((entry.parent === TRASH_ENTRY) !== (entry.trashedFrom !== null))
    return 'what is in the trash was somewhere before';
  if (utf8LengthAbove(entry.name, limits.nameBytesMax)) return 'its name is too long';
  if (entry.target !== null && utf8LengthAbove(entry.target, limits.symlinkTargetBytesMax))
    return 'its target is too long';
  return null;
}

/** Only texts that could be too long are encoded to find out: no UTF-16 unit takes more than three bytes. */
function utf8LengthAbove(text: string, bytesMax: number): boolean {
  return 3 * text.length > bytesMax && utf8(text).length > bytesMax;
}

function newerRow(which: string): HoldfastError {
  return new HoldfastError('upgrade_required', `this version does not understand a journal row ${which}`);
}

/** Rows as they travel and as they are exported: length:u32 | row, one after another. */
export function frameRows(rows: readonly Bytes[]): Uint8Array {
  const framed = new Uint8Array(rows.reduce((sum, row) => sum + 4 + row.length, 0));
  const view = viewOf(framed);
  let offset = 0;
  for (const row of rows) {
    view.setUint32(offset, row.length);
    framed.set(row, offset + 4);
    offset += 4 + row.length;
  }
  return framed;
}

/** Views into `bytes`, not yet parsed. Throws `integrity`. */
export function parseRows(bytes: Bytes): Uint8Array[] {
  const reader = new ByteReader(bytes, 'a list of journal rows');
  const rows: Uint8Array[] = [];
  while (reader.offset < bytes.length) {
    const length = reader.u32();
    if (length === 0 || length > ROW_BYTES_MAX) throw reader.malformed('a row cannot have that length');
    rows.push(reader.bytes(length));
  }
  return rows;
}

/** chain(0): where the journal of an epoch begins. */
export function chainStart(p: Primitives, space: SpaceId, epoch: Epoch): Chain {
  return id32Of(p.sha256(concat(CHAIN_LABEL, idBytes(space), idBytes(epoch))));
}

/** chain(seq) from chain(seq - 1) and the row of seq. */
export function chainNext(p: Primitives, chain: Chain, rowBytes: Bytes): Chain {
  return id32Of(p.sha256(concat(CHAIN_LABEL, idBytes(chain), p.sha256(rowBytes))));
}

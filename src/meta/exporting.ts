/** Rows of the store for an export that depends on no database, and back: what of it goes out is decided here, table by table. */
import { sql } from 'kysely';
import { must } from '#core/assert.ts';
import type { FileContent } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ExportValue } from '#core/export-stream.ts';
import { id32Of, idBytes, type ManifestId, type SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { tables } from './create-schema.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { lookupSlices } from './slices.ts';

export type TableName = keyof MetaSchema;
/**
 * By their seq, so that what is new stands at the end; or whole, since there is little of it; or not at all: sessions and what ends with
 * them, what is found anew from the storage nodes, and what says how far this very index has come.
 */
const TREATMENT: Readonly<Record<TableName, 'by seq' | 'whole' | 'left out'>> = {
  journal: 'by seq',
  content: 'by seq',
  entry: 'by seq',
  cluster: 'whole',
  secret: 'whole',
  account: 'whole',
  device: 'whole',
  space: 'whole',
  journal_mark: 'whole',
  pool: 'whole',
  merged_extension: 'whole',
  rule: 'whole',
  placing: 'whole',
  purged: 'whole',
  purging_folder: 'whole',
  collection: 'whole',
  node: 'whole',
  layout: 'whole',
  token: 'left out',
  install: 'left out',
  invite: 'left out',
  upload: 'left out',
  upload_block: 'left out',
  op_result: 'left out',
  hold: 'left out',
  hold_operation: 'left out',
  tally: 'left out',
  presence: 'left out',
  node_lie: 'left out',
  misplaced: 'left out',
  placing_folder: 'left out',
  garbage: 'left out',
  job: 'left out',
  root: 'left out',
  root_block: 'left out',
};

/** Written down every minute, and of no use to a server that is made anew. */
const EMPTIED = new Set(['last_seen_ms', 'condemned_mark', 'condemned_ms']);

export const WHOLE_TABLES = tablesThat('whole');
export const EXPORTED_TABLES = [...tablesThat('by seq'), ...WHOLE_TABLES];

function tablesThat(treatment: 'by seq' | 'whole'): readonly TableName[] {
  return (Object.keys(TREATMENT) as TableName[]).filter((table) => TREATMENT[table] === treatment).sort();
}

export function exportColumns(table: TableName): readonly string[] {
  return Object.keys(tables[table].columns);
}

export type ExportedRow = { readonly table: TableName; readonly values: readonly ExportValue[] };
type DatabaseRow = Readonly<Record<string, unknown>>;

/** All rows in the order of their key. */
export async function wholeTable({ db }: MetaReader, table: TableName): Promise<readonly ExportedRow[]> {
  let query = db.selectFrom(table as 'rule').selectAll();
  for (const column of tables[table].key) query = query.orderBy(sql.ref(column));
  return (await query.execute()).map((row) => exported(table, row as DatabaseRow));
}

/** A manifest takes about so many bytes for each of a file's bytes. */
const MANIFEST_PART = 76 / (256 * 1024);
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

export type JournalPage = { readonly rows: readonly ExportedRow[]; readonly lastSeq: number; readonly more: boolean };

/**
 * The journal's rows after `afterSeq`, `limit` at most, and behind each what it made: the content of a file's revision, and the entry
 * where that is its present state still.
 */
export async function journalPage(
  reader: MetaReader,
  space: SpaceId,
  afterSeq: number,
  limit: number,
): Promise<JournalPage> {
  const { db } = reader;
  const spaceBytes = idBytes(space);
  const journal = await db
    .selectFrom('journal')
    .selectAll()
    .where('space', '=', spaceBytes)
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit + 1)
    .execute();
  const asked = journal.slice(0, limit);
  const last = asked.at(-1);
  if (!last) return { rows: [], lastSeq: afterSeq, more: false };
  const entries = await db
    .selectFrom('entry')
    .selectAll()
    .where('space', '=', spaceBytes)
    .where('seq', '>', afterSeq)
    .where('seq', '<=', last.seq)
    .orderBy('seq')
    .execute();
  const entryAt = new Map(entries.map((entry) => [entry.seq, entry]));
  const taken = withinBytes(asked.map((row) => ({ row, entry: entryAt.get(row.seq), file: fileOf(row, entryAt) })));
  const contents = await contentsOf(
    reader,
    spaceBytes,
    taken.flatMap(({ file }) => file?.manifestId ?? []),
  );
  const rows: ExportedRow[] = [];
  for (const { row, entry, file } of taken) {
    rows.push(exported('journal', row));
    const content = file && contents.get(file.manifestId);
    if (content) rows.push(exported('content', content));
    if (entry) rows.push(exported('entry', entry));
  }
  const { seq: lastSeq } = must(taken.at(-1), 'a page has a row at least').row;
  return { rows, lastSeq, more: taken.length < journal.length };
}

/** The content that the row made, or that its entry has still. */
function fileOf(row: MetaSchema['journal'], present: ReadonlyMap<number, unknown>): FileContent | null {
  const parsed = parseRow(row.row);
  if (parsed.kind !== 'entry') return null;
  return parsed.entry.revision === row.seq || present.has(row.seq) ? parsed.entry.content : null;
}

async function contentsOf({ db }: MetaReader, space: Uint8Array, manifests: readonly ManifestId[]) {
  const contents = new Map<ManifestId, DatabaseRow>();
  for (const slice of lookupSlices([...new Set(manifests)])) {
    const found = await db
      .selectFrom('content')
      .selectAll()
      .where('space', '=', space)
      .where('manifest', 'in', slice.map(idBytes))
      .execute();
    for (const row of found) contents.set(id32Of(row.manifest), row);
  }
  return contents;
}

/** As many of the first as have small manifests in all; one at least. */
function withinBytes<Row extends { readonly file: FileContent | null }>(rows: readonly Row[]): Row[] {
  const taken: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    bytes += (row.file?.size ?? 0) * MANIFEST_PART;
    if (taken.length > 0 && bytes > PAGE_BYTES_MAX) break;
    taken.push(row);
  }
  return taken;
}

function exported(table: TableName, row: DatabaseRow): ExportedRow {
  const values = exportColumns(table).map((column) => (EMPTIED.has(column) ? null : (row[column] as ExportValue)));
  return { table, values };
}

const ROWS_AT_ONCE = 100;

/** Puts rows of an export into a store that nobody else uses. Later rows replace earlier ones of the same key. */
export class RowImport {
  readonly #writer: MetaWriter;
  readonly #waiting = new Map<TableName, Readonly<Record<string, ExportValue>>[]>();
  readonly #tables = new Map<number, { readonly table: TableName; readonly columns: readonly string[] }>();

  constructor(writer: MetaWriter) {
    this.#writer = writer;
  }

  /** Throws `newer_version` where this version's tables are others. */
  define(number: number, name: string, columns: readonly string[]): void {
    const table = EXPORTED_TABLES.find((known) => known === name);
    if (!table || exportColumns(table).join() !== columns.join())
      throw new HoldfastError(
        'newer_version',
        `the metadata in the pools has a table "${name}" that is not as this version of Holdfast has it`,
      );
    this.#tables.set(number, { table, columns });
  }

  async empty(number: number): Promise<void> {
    const { table } = this.#known(number);
    await this.end();
    await this.#writer.db.deleteFrom(table as 'rule').execute();
  }

  async add(number: number, values: readonly ExportValue[]): Promise<void> {
    const { table, columns } = this.#known(number);
    if (values.length !== columns.length)
      throw new HoldfastError('integrity', `exported metadata is malformed: a row of ${table} has another length`);
    const row: Record<string, ExportValue> = {};
    for (const [index, column] of columns.entries()) row[column] = values[index] as ExportValue;
    if (table === 'entry') {
      await this.#makeRoom(table, row);
      await this.#writer.db
        .insertInto('entry')
        .values(row as never)
        .execute();
      return;
    }
    const waiting = this.#waiting.get(table) ?? [];
    this.#waiting.set(table, [...waiting, row]);
    if (waiting.length + 1 >= ROWS_AT_ONCE) await this.end();
  }

  /** After the last row of a stream. */
  async end(): Promise<void> {
    // Rows of journals and contents never change: the same key is the same row.
    for (const [table, rows] of this.#waiting)
      await this.#writer.db
        .insertInto(table as 'rule')
        .values(rows as never)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    this.#waiting.clear();
  }

  /** The row's own key; and whoever had its place before moved on, which a later row tells. */
  async #makeRoom(table: TableName, row: Readonly<Record<string, ExportValue>>): Promise<void> {
    for (const columns of [tables[table].key, ...(tables[table].unique ?? [])]) {
      let query = this.#writer.db.deleteFrom(table as 'rule');
      for (const column of columns) query = query.where(sql.ref(column), '=', row[column]);
      await query.execute();
    }
  }

  #known(number: number) {
    const known = this.#tables.get(number);
    if (!known) throw new HoldfastError('integrity', 'exported metadata is malformed: a row of a table without a name');
    return known;
  }
}

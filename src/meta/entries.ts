/** Entries as they are now. */
import { sql } from 'kysely';
import { must } from '#core/assert.ts';
import { fromUtf8, utf8 } from '#core/bytes.ts';
import type { StoredEntry } from '#core/commit-tree.ts';
import type { EntryKind } from '#core/entry.ts';
import { id16Of, id32Of, idBytes, ROOT_ENTRY, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { insertSlices, lookupSlices } from './slices.ts';

/** Where a file's bytes are, and where the rules want them; both null for what is not a file. */
export type Pools = { readonly pool: string | null; readonly poolWanted: string | null };
export type PooledEntry = StoredEntry &
  Pools & {
    /** Server's clock when it was made, milliseconds since 1970. Only ever asked how old something is before a person is asked about it. */
    readonly madeMs: number;
    /** The same for its present content: what its age is counted from. */
    readonly revisedMs: number;
    /** The last move of its bytes to another pool, by the server's clock: for people. */
    readonly pooled: { readonly from: string; readonly atMs: number } | null;
  };

const TRASH_BYTES = idBytes(TRASH_ENTRY);
/**
 * Below every slot. Asking for children also says that their slot is not below this: true of all, and what makes SQLite go by parent. It
 * knows no numbers of rows, thinks a space small, and would read the whole of it for each folder.
 */
export const SLOT_MIN = new Uint8Array(0);

/** The named entries and everything above them. */
export async function entriesWithAncestors(
  { db }: MetaReader,
  space: SpaceId,
  entries: readonly EntryId[],
): Promise<readonly PooledEntry[]> {
  const spaceBytes = idBytes(space);
  const found = new Map<EntryId, PooledEntry>();
  let wanted = [...new Set(entries)];
  // Level by level: a set-based query per level of depth is few, and each goes by the key.
  while (wanted.length > 0) {
    const parents = new Set<EntryId>();
    for (const slice of lookupSlices(wanted)) {
      const rows = await db
        .selectFrom('entry')
        .selectAll()
        .where('space', '=', spaceBytes)
        .where('entry', 'in', slice.map(idBytes))
        .execute();
      for (const row of rows) {
        const entry = entryOf(row);
        found.set(entry.entry, entry);
        parents.add(entry.parent);
      }
    }
    wanted = [...parents].filter((parent) => !found.has(parent));
    if (wanted.every((parent) => parent === TRASH_ENTRY || parent === ROOT_ENTRY)) break;
  }
  return [...found.values()];
}

/** Who has these names now, below these live parents. */
export async function entriesAt(
  { db }: MetaReader,
  space: SpaceId,
  places: readonly { readonly parent: EntryId; readonly name: string }[],
): Promise<readonly PooledEntry[]> {
  const spaceBytes = idBytes(space);
  const found = new Map<EntryId, PooledEntry>();
  for (const slice of lookupSlices(places)) {
    const pairs = slice.map(({ parent, name }) => sql`(${idBytes(parent)}, ${utf8(name)})`);
    // Driven by the list: a condition on pairs would make SQLite read the whole space.
    const { rows } = await sql<MetaSchema['entry']>`
      with wanted(parent, slot) as (values ${sql.join(pairs)})
      select entry.* from wanted cross join entry
      where entry.space = ${spaceBytes} and entry.parent = wanted.parent and entry.slot = wanted.slot`.execute(db);
    for (const row of rows) found.set(id16Of(row.entry), entryOf(row));
  }
  return [...found.values()];
}

/** Ids of entries that were made, changed or placed after `seq`. */
export async function entriesChangedAfter(
  { db }: MetaReader,
  space: SpaceId,
  seq: number,
): Promise<readonly EntryId[]> {
  const rows = await db
    .selectFrom('entry')
    .select('entry')
    .where('space', '=', idBytes(space))
    .where('seq', '>', seq)
    .execute();
  return rows.map((row) => id16Of(row.entry));
}

export async function childrenOf(
  { db }: MetaReader,
  space: SpaceId,
  parents: readonly EntryId[],
): Promise<readonly PooledEntry[]> {
  const found: PooledEntry[] = [];
  for (const parent of parents) {
    const rows = await db
      .selectFrom('entry')
      .selectAll()
      .where('space', '=', idBytes(space))
      .where('parent', '=', idBytes(parent))
      .where('slot', '>=', SLOT_MIN)
      .execute();
    for (const row of rows) found.push(entryOf(row));
  }
  return found;
}

/** Levels below a folder, counted up to `levelsMax`. */
export async function heightOf(
  { db }: MetaReader,
  space: SpaceId,
  folder: EntryId,
  levelsMax: number,
): Promise<number> {
  const spaceBytes = idBytes(space);
  const row = await sql<{ height: number | null }>`
    with recursive below(entry, kind, level) as (
      select entry, kind, 1 from entry
      where space = ${spaceBytes} and parent = ${idBytes(folder)} and slot >= ${SLOT_MIN}
      union all
      select child.entry, child.kind, below.level + 1 from below cross join entry child
      where below.kind = 'folder' and below.level < ${levelsMax}
        and child.space = ${spaceBytes} and child.parent = below.entry and child.slot >= ${SLOT_MIN}
    ) select max(level) as height from below`.execute(db);
  return row.rows[0]?.height ?? 0;
}

/** Puts the new states of entries, made or changed. In two steps, so that entries may change names with one another. */
export async function replaceEntries(
  { db }: MetaWriter,
  space: SpaceId,
  entries: readonly PooledEntry[],
  isNew: (entry: EntryId) => boolean,
): Promise<void> {
  const spaceBytes = idBytes(space);
  const old = entries.filter((entry) => !isNew(entry.entry)).map((entry) => idBytes(entry.entry));
  for (const slice of lookupSlices(old)) {
    await db.deleteFrom('entry').where('space', '=', spaceBytes).where('entry', 'in', slice).execute();
    await db.deleteFrom('misplaced').where('space', '=', spaceBytes).where('entry', 'in', slice).execute();
  }
  for (const slice of insertSlices(entries))
    await db
      .insertInto('entry')
      .values(slice.map((entry) => rowOf(spaceBytes, entry)))
      .execute();
  const misplaced = entries.filter(({ pool, poolWanted }) => pool !== poolWanted);
  for (const slice of insertSlices(misplaced))
    await db
      .insertInto('misplaced')
      .values(slice.map(({ entry }) => ({ space: spaceBytes, entry: idBytes(entry) })))
      .execute();
}

/** Rows of the journal that gave the entries after `after`, in order of entry id, their present state. */
export async function presentRows({ db }: MetaReader, space: SpaceId, after: EntryId | null, limit: number) {
  let query = db
    .selectFrom('entry')
    .innerJoin('journal', (join) =>
      join.onRef('journal.space', '=', 'entry.space').onRef('journal.seq', '=', 'entry.seq'),
    )
    .select(['entry.entry', 'entry.parent', 'journal.row'])
    .where('entry.space', '=', idBytes(space))
    .orderBy('entry.entry')
    .limit(limit);
  if (after !== null) query = query.where('entry.entry', '>', idBytes(after));
  const rows = await query.execute();
  return rows.map((row) => ({
    entry: id16Of<EntryId>(row.entry),
    parent: id16Of<EntryId>(row.parent),
    row: row.row,
  }));
}

export async function filesAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: EntryId | null,
  limit: number,
): Promise<readonly PooledEntry[]> {
  let query = db
    .selectFrom('entry')
    .selectAll()
    .where('space', '=', idBytes(space))
    .where('kind', '=', 'file')
    .orderBy('entry')
    .limit(limit);
  if (after !== null) query = query.where('entry', '>', idBytes(after));
  return (await query.execute()).map(entryOf);
}

/** Files whose bytes are not where the rules want them, in order of entry id. */
export async function misplacedFiles(
  { db }: MetaReader,
  space: SpaceId,
  after: EntryId | null,
  limit: number,
): Promise<readonly PooledEntry[]> {
  let query = db
    .selectFrom('misplaced')
    .select('entry')
    .where('space', '=', idBytes(space))
    .orderBy('entry')
    .limit(limit);
  if (after !== null) query = query.where('entry', '>', idBytes(after));
  const found: PooledEntry[] = [];
  for (const slice of lookupSlices((await query.execute()).map(({ entry }) => entry))) {
    const rows = await db
      .selectFrom('entry')
      .selectAll()
      .where('space', '=', idBytes(space))
      .where('entry', 'in', slice)
      .orderBy('entry')
      .execute();
    found.push(...rows.map(entryOf));
  }
  return found;
}

/** The bytes are in `pool` now. Only while the entry still has that content and the rules want it there. */
export async function settlePool(
  writer: MetaWriter,
  space: SpaceId,
  entry: PooledEntry,
  pool: string,
  atMs: number,
): Promise<void> {
  const [present] = (await entriesWithAncestors(writer, space, [entry.entry])).filter(
    (one) => one.entry === entry.entry,
  );
  if (present?.revision !== entry.revision || present.poolWanted !== pool) return;
  const pooled = present.pool === null ? null : { from: present.pool, atMs };
  await replaceEntries(writer, space, [{ ...present, pool, pooled }], () => false);
}

/** What lies elsewhere than the rules want it, told anew from the entries themselves. */
export async function noteMisplaced({ db }: MetaWriter): Promise<void> {
  await db.deleteFrom('misplaced').execute();
  await db
    .insertInto('misplaced')
    .columns(['space', 'entry'])
    .expression((eb) =>
      eb
        .selectFrom('entry')
        .select(['space', 'entry'])
        .where('kind', '=', 'file')
        .whereRef('pool', '<>', 'pool_wanted'),
    )
    .execute();
}

/** Live files of a space: all but those that lie in the trash, at any depth. */
export async function countFiles({ db }: MetaReader, space: SpaceId): Promise<{ files: number; plainBytes: number }> {
  const spaceBytes = idBytes(space);
  const all = await db
    .selectFrom('entry')
    .select((eb) => [eb.fn.countAll<number>().as('files'), eb.fn.sum<number | null>('size').as('bytes')])
    .where('space', '=', spaceBytes)
    .where('kind', '=', 'file')
    .executeTakeFirstOrThrow();
  const trashed = await sql<{ files: number; bytes: number | null }>`
    with recursive below(entry, kind, size) as (
      select entry, kind, size from entry
      where space = ${spaceBytes} and parent = ${TRASH_BYTES} and slot >= ${SLOT_MIN}
      union all
      select child.entry, child.kind, child.size from below cross join entry child
      where below.kind = 'folder'
        and child.space = ${spaceBytes} and child.parent = below.entry and child.slot >= ${SLOT_MIN}
    ) select count(*) as files, sum(size) as bytes from below where kind = 'file'`.execute(db);
  const gone = must(trashed.rows[0], 'an aggregate has one row');
  return {
    files: Number(all.files) - Number(gone.files),
    plainBytes: Number(all.bytes ?? 0) - Number(gone.bytes ?? 0),
  };
}

function rowOf(space: Uint8Array, entry: PooledEntry): MetaSchema['entry'] {
  const id = idBytes(entry.entry);
  const name = utf8(entry.name);
  return {
    space,
    entry: id,
    parent: idBytes(entry.parent),
    name,
    slot: entry.parent === TRASH_ENTRY ? id : name,
    kind: entry.kind,
    revision: entry.revision,
    placed: entry.placed,
    seq: entry.seq,
    content: entry.content ? idBytes(entry.content.contentId) : null,
    manifest: entry.content ? idBytes(entry.content.manifestId) : null,
    size: entry.content?.size ?? null,
    target: entry.target,
    mtime_us: entry.mtimeUs,
    exec: entry.exec ? 1 : 0,
    trashed_from: entry.trashedFrom === null ? null : idBytes(entry.trashedFrom),
    revised_by: idBytes(entry.revisedBy),
    placed_by: idBytes(entry.placedBy),
    pool: entry.pool,
    pool_wanted: entry.poolWanted,
    made_ms: entry.madeMs,
    revised_ms: entry.revisedMs,
    pooled_from: entry.pooled?.from ?? null,
    pooled_ms: entry.pooled?.atMs ?? null,
  };
}

export function entryOf(row: MetaSchema['entry']): PooledEntry {
  return {
    entry: id16Of(row.entry),
    parent: id16Of(row.parent),
    name: must(fromUtf8(row.name), 'names are stored as UTF-8'),
    kind: row.kind as EntryKind,
    revision: row.revision,
    placed: row.placed,
    seq: row.seq,
    content:
      row.content && row.manifest && row.size !== null
        ? { contentId: id32Of(row.content), manifestId: id32Of(row.manifest), size: row.size }
        : null,
    target: row.target,
    mtimeUs: row.mtime_us,
    exec: row.exec === 1,
    trashedFrom: row.trashed_from === null ? null : id16Of(row.trashed_from),
    revisedBy: id16Of(row.revised_by),
    placedBy: id16Of(row.placed_by),
    pool: row.pool,
    poolWanted: row.pool_wanted,
    madeMs: row.made_ms,
    revisedMs: row.revised_ms,
    pooled: row.pooled_from === null ? null : { from: row.pooled_from, atMs: row.pooled_ms ?? 0 },
  };
}

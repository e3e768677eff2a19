/** What the index knows of one entry's past, and of paths that are no more. */
import { sql } from 'kysely';
import { id16Of, idBytes, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { utf8 } from '#core/bytes.ts';
import { entryOf, SLOT_MIN, type PooledEntry } from './entries.ts';
import { rowsBetween, type SeqRange } from './journal-marks.ts';
import type { MetaReader } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';

/** 1-based, as SQL counts (docs/on-disk.md, section 5): kind, entry and parent in the bytes of a row. */
const KIND_AT = 5;
const ENTRY_AT = 81;
const PARENT_AT = 97;
const ENTRY_KIND = Uint8Array.of(1);

/** Rows about an entry among those of some seqs. The journal is not sorted by entry: this reads all of them. */
export async function journalOfEntry(reader: MetaReader, space: SpaceId, entry: EntryId, range: SeqRange) {
  return rowsBetween(reader, space, range)
    .where(sql<boolean>`substr(row, ${sql.lit(ENTRY_AT)}, 16) = ${idBytes(entry)}`)
    .where(sql<boolean>`substr(row, ${sql.lit(KIND_AT)}, 1) = ${ENTRY_KIND}`)
    .execute();
}

/** Rows that put something into one of these folders, among those of some seqs. */
export async function journalOfFolders(
  reader: MetaReader,
  space: SpaceId,
  folders: readonly EntryId[],
  range: SeqRange,
) {
  return rowsBetween(reader, space, range)
    .where(sql<boolean>`substr(row, ${sql.lit(PARENT_AT)}, 16) in (${sql.join(folders.map(idBytes))})`)
    .where(sql<boolean>`substr(row, ${sql.lit(KIND_AT)}, 1) = ${ENTRY_KIND}`)
    .execute();
}

/** What lies in the trash itself under one of these names: it, not what is in it, was deleted. */
export async function trashedAs(
  { db }: MetaReader,
  space: SpaceId,
  names: readonly string[],
): Promise<readonly PooledEntry[]> {
  const rows = await db
    .selectFrom('entry')
    .selectAll()
    .where('space', '=', idBytes(space))
    .where('parent', '=', idBytes(TRASH_ENTRY))
    .where('slot', '>=', SLOT_MIN)
    .where('name', 'in', names.map(utf8))
    .execute();
  return rows.map(entryOf);
}

/** Names in a folder that begin with `beginning`, in order of their bytes. */
export async function namesBeginning(
  { db }: MetaReader,
  space: SpaceId,
  folder: EntryId,
  beginning: string,
  limit: number,
): Promise<readonly { readonly entry: EntryId; readonly name: Uint8Array }[]> {
  const low = utf8(beginning);
  const rows: Pick<MetaSchema['entry'], 'entry' | 'name'>[] = await db
    .selectFrom('entry')
    .select(['entry', 'name'])
    .where('space', '=', idBytes(space))
    .where('parent', '=', idBytes(folder))
    .where('slot', '>=', low)
    .where('slot', '<', Uint8Array.of(...low, 0xff))
    .orderBy('slot')
    .limit(limit)
    .execute();
  return rows.map(({ entry, name }) => ({ entry: id16Of(entry), name }));
}

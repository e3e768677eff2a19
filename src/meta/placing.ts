/** Which files are still to be judged by the rules anew, and whether the rules as they are were applied to all of them. */
import { id16Of, idBytes, ROOT_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { entryOf, SLOT_MIN, type PooledEntry } from './entries.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type PlacingState = {
  /** Rules were changed; files that were there already are where the former ones put them. */
  readonly pending: boolean;
  /** When all files were last begun to be looked at; 0: never. */
  readonly placedMs: number;
};

export async function placingState({ db }: MetaReader): Promise<PlacingState> {
  const row = await db.selectFrom('placing').selectAll().executeTakeFirst();
  return { pending: row?.pending === 1, placedMs: row?.placed_ms ?? 0 };
}

export async function putPlacingState({ db }: MetaWriter, { pending, placedMs }: PlacingState): Promise<void> {
  const rest = { pending: pending ? 1 : 0, placed_ms: placedMs };
  await db
    .insertInto('placing')
    .values({ one: 1, ...rest })
    .onConflict((conflict) => conflict.column('one').doUpdateSet(rest))
    .execute();
}

/** Every file below these folders is to be looked at, also where that was begun before. */
export async function addPlacing({ db }: MetaWriter, space: SpaceId, folders: readonly EntryId[]): Promise<void> {
  for (const slice of insertSlices(folders))
    await db
      .insertInto('placing_folder')
      .values(slice.map((folder) => ({ space: idBytes(space), folder: idBytes(folder), after: SLOT_MIN })))
      .onConflict((conflict) => conflict.columns(['space', 'folder']).doUpdateSet({ after: SLOT_MIN }))
      .execute();
}

export async function addPlacingEverywhere(writer: MetaWriter, spaces: readonly SpaceId[]): Promise<void> {
  for (const space of spaces) await addPlacing(writer, space, [ROOT_ENTRY]);
}

export type PlacingFolder = { readonly space: SpaceId; readonly folder: EntryId; readonly after: Uint8Array };

export async function nextPlacing({ db }: MetaReader): Promise<PlacingFolder | null> {
  const row = await db.selectFrom('placing_folder').selectAll().orderBy('space').orderBy('folder').executeTakeFirst();
  return row ? { space: id16Of(row.space), folder: id16Of(row.folder), after: row.after } : null;
}

/** `after` null: all of the folder's own were looked at. */
export async function putPlacing(
  { db }: MetaWriter,
  { space, folder }: PlacingFolder,
  after: Uint8Array | null,
): Promise<void> {
  const key = { space: idBytes(space), folder: idBytes(folder) };
  if (after === null)
    await db.deleteFrom('placing_folder').where('space', '=', key.space).where('folder', '=', key.folder).execute();
  else
    await db
      .updateTable('placing_folder')
      .set({ after })
      .where('space', '=', key.space)
      .where('folder', '=', key.folder)
      .execute();
}

export async function isPlacing({ db }: MetaReader): Promise<boolean> {
  return (await db.selectFrom('placing_folder').select('folder').limit(1).executeTakeFirst()) !== undefined;
}

/** Children of a folder in order of their slots, and the last one's. */
export async function childrenAfter(
  { db }: MetaReader,
  { space, folder, after }: PlacingFolder,
  limit: number,
): Promise<{ readonly children: readonly PooledEntry[]; readonly last: Uint8Array | null }> {
  const rows = await db
    .selectFrom('entry')
    .selectAll()
    .where('space', '=', idBytes(space))
    .where('parent', '=', idBytes(folder))
    .where('slot', '>', after)
    .orderBy('slot')
    .limit(limit)
    .execute();
  return { children: rows.map(entryOf), last: rows.at(-1)?.slot ?? null };
}

/** Where the rules want the bytes of these files. */
export async function wantIn(
  { db }: MetaWriter,
  space: SpaceId,
  files: readonly Pick<PooledEntry, 'entry' | 'pool'>[],
  pool: string,
): Promise<void> {
  const spaceBytes = idBytes(space);
  for (const slice of lookupSlices(files.map(({ entry }) => idBytes(entry)))) {
    await db
      .updateTable('entry')
      .set({ pool_wanted: pool })
      .where('space', '=', spaceBytes)
      .where('entry', 'in', slice)
      .execute();
    await db.deleteFrom('misplaced').where('space', '=', spaceBytes).where('entry', 'in', slice).execute();
  }
  const misplaced = files.filter((file) => file.pool !== pool);
  for (const slice of insertSlices(misplaced))
    await db
      .insertInto('misplaced')
      .values(slice.map(({ entry }) => ({ space: spaceBytes, entry: idBytes(entry) })))
      .execute();
}

export async function countMisplaced({ db }: MetaReader): Promise<number> {
  const row = await db
    .selectFrom('misplaced')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

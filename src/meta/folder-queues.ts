/**
 * Folders below which everything is to be looked at, as rows: whoever works them off takes one, looks at some of its children, notes how far it came,
 * and adds the folders among them. So a tree of any size is walked in bounded steps, and a restart goes on.
 */
import { id16Of, idBytes, type EntryId, type SpaceId } from '#core/ids.ts';
import { entryOf, SLOT_MIN, type PooledEntry } from './entries.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { insertSlices } from './slices.ts';

export type FolderQueue = 'placing_folder' | 'purging_folder';
/** `after`: children up to this slot were looked at. */
export type QueuedFolder = { readonly space: SpaceId; readonly folder: EntryId; readonly after: Uint8Array };

/** Also where that was begun before: from the first child on. */
export async function addFolders(
  { db }: MetaWriter,
  queue: FolderQueue,
  space: SpaceId,
  folders: readonly EntryId[],
): Promise<void> {
  for (const slice of insertSlices(folders))
    await db
      .insertInto(queue)
      .values(slice.map((folder) => ({ space: idBytes(space), folder: idBytes(folder), after: SLOT_MIN })))
      .onConflict((conflict) => conflict.columns(['space', 'folder']).doUpdateSet({ after: SLOT_MIN }))
      .execute();
}

export async function nextFolder({ db }: MetaReader, queue: FolderQueue): Promise<QueuedFolder | null> {
  const row = await db.selectFrom(queue).selectAll().orderBy('space').orderBy('folder').executeTakeFirst();
  return row ? { space: id16Of(row.space), folder: id16Of(row.folder), after: row.after } : null;
}

/** `after` null: all of the folder's own were looked at. */
export async function noteFolder(
  { db }: MetaWriter,
  queue: FolderQueue,
  { space, folder }: QueuedFolder,
  after: Uint8Array | null,
): Promise<void> {
  const key = { space: idBytes(space), folder: idBytes(folder) };
  if (after === null)
    await db.deleteFrom(queue).where('space', '=', key.space).where('folder', '=', key.folder).execute();
  else
    await db
      .updateTable(queue)
      .set({ after })
      .where('space', '=', key.space)
      .where('folder', '=', key.folder)
      .execute();
}

/** Children of a folder in order of their slots, and the last one's. */
export async function childrenAfter(
  { db }: MetaReader,
  { space, folder, after }: QueuedFolder,
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

/** Which files are still to be judged by the rules anew, and whether the rules as they are were applied to all of them. */
import { idBytes, ROOT_ENTRY, type SpaceId } from '#core/ids.ts';
import type { PooledEntry } from './entries.ts';
import { addFolders, type FolderQueue } from './folder-queues.ts';
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

/** Folders whose files are to be judged by the rules anew. */
export const PLACING: FolderQueue = 'placing_folder';

export async function addPlacingEverywhere(writer: MetaWriter, spaces: readonly SpaceId[]): Promise<void> {
  for (const space of spaces) await addFolders(writer, PLACING, space, [ROOT_ENTRY]);
}

export async function isPlacing({ db }: MetaReader): Promise<boolean> {
  return (await db.selectFrom('placing_folder').select('folder').limit(1).executeTakeFirst()) !== undefined;
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

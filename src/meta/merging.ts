/** Extensions of the files that are merged, per space. */
import { idBytes, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { insertSlices } from './slices.ts';

export async function mergedExtensions({ db }: MetaReader, space: SpaceId): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('merged_extension')
    .select('extension')
    .where('space', '=', idBytes(space))
    .orderBy('extension')
    .execute();
  return rows.map(({ extension }) => extension);
}

/** In place of those before. */
export async function putMergedExtensions(
  { db }: MetaWriter,
  space: SpaceId,
  extensions: readonly string[],
): Promise<void> {
  const spaceBytes = idBytes(space);
  await db.deleteFrom('merged_extension').where('space', '=', spaceBytes).execute();
  for (const slice of insertSlices([...new Set(extensions)]))
    await db
      .insertInto('merged_extension')
      .values(slice.map((extension) => ({ space: spaceBytes, extension })))
      .execute();
}

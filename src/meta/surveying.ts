/** All of a space, page by page, as whoever has to look at everything reads it: a rescue, a verification. */
import { fromUtf8 } from '#core/bytes.ts';
import { id16Of, idBytes, type EntryId, type ManifestId, type SpaceId } from '#core/ids.ts';
import { entryOf, type PooledEntry } from './entries.ts';
import type { MetaReader } from './meta-store.ts';
import { lookupSlices } from './slices.ts';

export async function entriesAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: EntryId | null,
  limit: number,
): Promise<readonly PooledEntry[]> {
  let query = db.selectFrom('entry').selectAll().where('space', '=', idBytes(space)).orderBy('entry').limit(limit);
  if (after !== null) query = query.where('entry', '>', idBytes(after));
  return (await query.execute()).map(entryOf);
}

export async function contentsAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: ManifestId | null,
  limit: number,
): Promise<readonly { readonly manifest: Uint8Array; readonly bytes: Uint8Array }[]> {
  let query = db
    .selectFrom('content')
    .select(['manifest', 'bytes'])
    .where('space', '=', idBytes(space))
    .orderBy('manifest')
    .limit(limit);
  if (after !== null) query = query.where('manifest', '>', idBytes(after));
  return query.execute();
}

/** Rows from `seq` on, with the chain that was stored with each. */
export async function chainedRows({ db }: MetaReader, space: SpaceId, seq: number, limit: number) {
  return db
    .selectFrom('journal')
    .select(['seq', 'row', 'chain'])
    .where('space', '=', idBytes(space))
    .where('seq', '>=', seq)
    .orderBy('seq')
    .limit(limit)
    .execute();
}

/** Parents and names of entries, by id. */
export async function placesOf({ db }: MetaReader, space: SpaceId, entries: readonly EntryId[]) {
  const places = new Map<EntryId, { readonly parent: EntryId; readonly name: string; readonly kind: string }>();
  for (const slice of lookupSlices([...new Set(entries)])) {
    const rows = await db
      .selectFrom('entry')
      .select(['entry', 'parent', 'name', 'kind'])
      .where('space', '=', idBytes(space))
      .where('entry', 'in', slice.map(idBytes))
      .execute();
    for (const { entry, parent, name, kind } of rows)
      places.set(id16Of(entry), { parent: id16Of(parent), name: fromUtf8(name) ?? '', kind });
  }
  return places;
}

/** By which name an entry is found in its parent, as it is stored. */
export async function slotsOf({ db }: MetaReader, space: SpaceId, entries: readonly EntryId[]) {
  const slots = new Map<EntryId, Uint8Array>();
  for (const slice of lookupSlices([...new Set(entries)])) {
    const rows = await db
      .selectFrom('entry')
      .select(['entry', 'slot'])
      .where('space', '=', idBytes(space))
      .where('entry', 'in', slice.map(idBytes))
      .execute();
    for (const { entry, slot } of rows) slots.set(id16Of(entry), slot);
  }
  return slots;
}

/** What of journals and of the trash is kept no more (`core/purged.ts`). */
import { idBytes, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { isPurgedIn, purgedChunkOf, withPurged } from '#core/purged.ts';
import type { FolderQueue } from './folder-queues.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { lookupSlices } from './slices.ts';

/** Folders in the trash that were purged, whose files are still to be. */
export const PURGING: FolderQueue = 'purging_folder';

/** Those of the seqs whose rows tell of something that is kept no more. */
export async function purgedAmong(
  reader: MetaReader,
  space: SpaceId,
  seqs: readonly number[],
): Promise<ReadonlySet<number>> {
  const chunks = await purgedChunks(reader, space, seqs);
  return new Set(seqs.filter((seq) => isPurgedIn(chunks.get(purgedChunkOf(seq)) ?? NONE, seq)));
}

const NONE = new Uint8Array(0);

/** Each seq for good. */
export async function addPurged(writer: MetaWriter, space: SpaceId, seqs: readonly number[]): Promise<void> {
  const known = await purgedChunks(writer, space, seqs);
  const byChunk = Map.groupBy(seqs, purgedChunkOf);
  for (const [chunk, some] of byChunk) {
    const bits = withPurged(known.get(chunk) ?? null, some);
    await writer.db
      .insertInto('purged')
      .values({ space: idBytes(space), chunk, bits })
      .onConflict((conflict) => conflict.columns(['space', 'chunk']).doUpdateSet({ bits }))
      .execute();
  }
}

async function purgedChunks({ db }: MetaReader, space: SpaceId, seqs: readonly number[]) {
  const found = new Map<number, Uint8Array>();
  for (const slice of lookupSlices([...new Set(seqs.map(purgedChunkOf))])) {
    const rows = await db
      .selectFrom('purged')
      .select(['chunk', 'bits'])
      .where('space', '=', idBytes(space))
      .where('chunk', 'in', slice)
      .execute();
    for (const { chunk, bits } of rows) found.set(chunk, bits);
  }
  return found;
}

/** Those of these entries that lie in the trash themselves, and not in a folder there, and do not come back. */
export async function purgedRoots(
  reader: MetaReader,
  space: SpaceId,
  entries: readonly { readonly entry: EntryId; readonly parent: EntryId; readonly placed: number }[],
): Promise<ReadonlySet<EntryId>> {
  const roots = entries.filter(({ parent }) => parent === TRASH_ENTRY);
  const placed = roots.map((root) => root.placed);
  const purged = await purgedAmong(reader, space, placed);
  return new Set(roots.filter((root) => purged.has(root.placed)).map(({ entry }) => entry));
}

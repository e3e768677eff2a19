/** Rows that garbage collection looks through and decides on. What is condemned, and why it may go, is `core/collection.ts`. */
import type { Condemned } from '#core/collection.ts';
import { id16Of, id32Of, idBytes, type BlockId, type ManifestId, type SpaceId, type UploadId } from '#core/ids.ts';
import { parseHolders, type Presence } from './contents.ts';
import { SLOT_MIN } from './entries.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { lookupSlices } from './slices.ts';

export type CollectionState = {
  /** Of the last mark that was begun. */
  readonly mark: number;
  /** When the last one was begun, by the server's clock; 0: never. */
  readonly markedMs: number;
  /** Of the last delete order. */
  readonly fence: number;
  /** Copies that were put under a lower one may be gone without a row that says so. */
  readonly forgottenFence: number;
};

export async function collectionState({ db }: MetaReader): Promise<CollectionState> {
  const row = await db.selectFrom('collection').selectAll().executeTakeFirst();
  return {
    mark: row?.mark ?? 0,
    markedMs: row?.marked_ms ?? 0,
    fence: row?.fence ?? 0,
    forgottenFence: row?.forgotten_fence ?? 0,
  };
}

export async function putCollectionState({ db }: MetaWriter, state: CollectionState): Promise<void> {
  const { mark, markedMs: marked_ms, fence, forgottenFence: forgotten_fence } = state;
  const rest = { mark, marked_ms, fence, forgotten_fence };
  await db
    .insertInto('collection')
    .values({ one: 1, ...rest })
    .onConflict((conflict) => conflict.column('one').doUpdateSet(rest))
    .execute();
}

export type JudgedPresence = Presence & { readonly condemned: Condemned | null };
export type PresenceKey = { readonly block: BlockId; readonly pool: string };

/** Rows of a space in the order of block and pool. */
export async function presenceAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: PresenceKey | null,
  limit: number,
): Promise<readonly JudgedPresence[]> {
  let query = db
    .selectFrom('presence')
    .selectAll()
    .where('space', '=', idBytes(space))
    .orderBy('block')
    .orderBy('pool')
    .limit(limit);
  if (after) {
    const block = idBytes(after.block);
    query = query
      .where('block', '>=', block)
      .where((eb) => eb.or([eb('block', '>', block), eb('pool', '>', after.pool)]));
  }
  return (await query.execute()).map((row) => ({
    block: id32Of(row.block),
    pool: row.pool,
    length: row.length,
    holders: parseHolders(row.holders),
    owed: row.owed,
    condemned: condemnedOf(row),
  }));
}

export async function judgePresence(
  { db }: MetaWriter,
  space: SpaceId,
  { block, pool }: PresenceKey,
  condemned: Condemned | null,
): Promise<void> {
  await db
    .updateTable('presence')
    .set({ condemned_mark: condemned?.mark ?? null, condemned_ms: condemned?.atMs ?? null })
    .where('space', '=', idBytes(space))
    .where('block', '=', idBytes(block))
    .where('pool', '=', pool)
    .execute();
}

export async function removePresence({ db }: MetaWriter, space: SpaceId, { block, pool }: PresenceKey): Promise<void> {
  await db
    .deleteFrom('presence')
    .where('space', '=', idBytes(space))
    .where('block', '=', idBytes(block))
    .where('pool', '=', pool)
    .execute();
}

/** Somebody relies on these: they are no longer condemned. Costs nothing where none is. */
export async function sparePresence(
  { db }: MetaWriter,
  space: SpaceId,
  blocks: readonly BlockId[],
  pool: string,
): Promise<void> {
  for (const slice of lookupSlices([...new Set(blocks)]))
    await db
      .updateTable('presence')
      .set({ condemned_mark: null, condemned_ms: null })
      .where('space', '=', idBytes(space))
      .where('block', 'in', slice.map(idBytes))
      .where('pool', '=', pool)
      .where('condemned_mark', 'is not', null)
      .execute();
}

export async function isAnyCondemned(
  { db }: MetaReader,
  space: SpaceId,
  blocks: readonly BlockId[],
  pool: string,
): Promise<boolean> {
  for (const slice of lookupSlices([...new Set(blocks)])) {
    const row = await db
      .selectFrom('presence')
      .select('block')
      .where('space', '=', idBytes(space))
      .where('block', 'in', slice.map(idBytes))
      .where('pool', '=', pool)
      .where('condemned_mark', 'is not', null)
      .limit(1)
      .executeTakeFirst();
    if (row) return true;
  }
  return false;
}

export type JudgedContent = { readonly manifest: ManifestId; readonly condemned: Condemned | null };

export async function contentsAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: ManifestId | null,
  limit: number,
): Promise<readonly JudgedContent[]> {
  let query = db
    .selectFrom('content')
    .select(['manifest', 'condemned_mark', 'condemned_ms'])
    .where('space', '=', idBytes(space))
    .orderBy('manifest')
    .limit(limit);
  if (after) query = query.where('manifest', '>', idBytes(after));
  return (await query.execute()).map((row) => ({ manifest: id32Of(row.manifest), condemned: condemnedOf(row) }));
}

export async function judgeContent(
  { db }: MetaWriter,
  space: SpaceId,
  manifest: ManifestId,
  condemned: Condemned | null,
): Promise<void> {
  await db
    .updateTable('content')
    .set({ condemned_mark: condemned?.mark ?? null, condemned_ms: condemned?.atMs ?? null })
    .where('space', '=', idBytes(space))
    .where('manifest', '=', idBytes(manifest))
    .execute();
}

export async function removeContent({ db }: MetaWriter, space: SpaceId, manifest: ManifestId): Promise<void> {
  await db
    .deleteFrom('content')
    .where('space', '=', idBytes(space))
    .where('manifest', '=', idBytes(manifest))
    .execute();
}

export type LeftBlock = {
  readonly upload: UploadId;
  readonly block: BlockId;
  readonly holders: readonly number[];
};

/** What uploads brought that are over by now. */
export async function leftBlocks(
  { db }: MetaReader,
  after: Pick<LeftBlock, 'upload' | 'block'> | null,
  limit: number,
): Promise<readonly LeftBlock[]> {
  const from = after ? idBytes(after.upload) : SLOT_MIN;
  let query = db
    .selectFrom('upload_block')
    .leftJoin('upload', 'upload.upload', 'upload_block.upload')
    .select(['upload_block.upload', 'upload_block.block', 'upload_block.holders'])
    .where('upload.upload', 'is', null)
    .where('upload_block.upload', '>=', from)
    .orderBy('upload_block.upload')
    .orderBy('upload_block.block')
    .limit(limit);
  if (after)
    query = query.where((eb) =>
      eb.or([eb('upload_block.upload', '>', from), eb('upload_block.block', '>', idBytes(after.block))]),
    );
  return (await query.execute()).map((row) => ({
    upload: id16Of(row.upload),
    block: id32Of(row.block),
    holders: parseHolders(row.holders),
  }));
}

export async function removeLeftBlocks({ db }: MetaWriter, rows: readonly LeftBlock[]): Promise<void> {
  for (const { upload, block } of rows)
    await db
      .deleteFrom('upload_block')
      .where('upload', '=', idBytes(upload))
      .where('block', '=', idBytes(block))
      .execute();
}

function condemnedOf(row: {
  readonly condemned_mark: number | null;
  readonly condemned_ms: number | null;
}): Condemned | null {
  return row.condemned_mark === null ? null : { mark: row.condemned_mark, atMs: row.condemned_ms ?? 0 };
}

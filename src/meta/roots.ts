/** Roots that were made, and the blocks of metadata that they lead to. */
import { id32Of, idBytes, type BlockId } from '#core/ids.ts';
import { formatHolders, parseHolders } from './contents.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type StoredRoot = {
  readonly seq: number;
  readonly madeMs: number;
  readonly snapshotMs: number;
  readonly index: BlockId;
  /** Plain bytes of the index block; of the newest alone. */
  readonly listing: Uint8Array | null;
  readonly wholeHash: Uint8Array;
  readonly pools: readonly string[];
  readonly nodes: number;
};

export type RootBlock = {
  readonly block: BlockId;
  readonly pool: string;
  readonly length: number;
  /** Numbers of the storage nodes. */
  readonly holders: readonly number[];
  readonly owed: number;
};

/** Those that were made, newest first. */
export async function allRoots({ db }: MetaReader): Promise<readonly StoredRoot[]> {
  const rows = await db.selectFrom('root').selectAll().where('nodes', '>', 0).orderBy('seq', 'desc').execute();
  return rows.map((row) => ({
    seq: row.seq,
    madeMs: row.made_ms,
    snapshotMs: row.snapshot_ms,
    index: id32Of(row.index_block),
    listing: row.listing,
    wholeHash: row.whole_hash,
    pools: row.pools === '' ? [] : row.pools.split(','),
    nodes: row.nodes,
  }));
}

/** The newest that was made, and how many nodes keep it. */
export async function newestRoot({ db }: MetaReader): Promise<{ readonly seq: number; readonly nodes: number } | null> {
  const newest = await db
    .selectFrom('root')
    .select(['seq', 'nodes'])
    .where('nodes', '>', 0)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return newest ?? null;
}

/** The highest number that was given to a root, made or not; 0 where none was. */
export async function lastRootSeq({ db }: MetaReader): Promise<number> {
  const newest = await db.selectFrom('root').select('seq').orderBy('seq', 'desc').limit(1).executeTakeFirst();
  return newest?.seq ?? 0;
}

/** A number above all that were given, durably: it is never given again, whether or not the root comes to be. */
export async function reserveRoot(writer: MetaWriter, madeMs: number): Promise<number> {
  const seq = (await lastRootSeq(writer)) + 1;
  await writer.db
    .insertInto('root')
    .values({
      seq,
      made_ms: madeMs,
      snapshot_ms: 0,
      index_block: new Uint8Array(32),
      listing: null,
      whole_hash: new Uint8Array(32),
      pools: '',
      nodes: 0,
    })
    .execute();
  return seq;
}

/** The reserved root is made. `kept`: seqs of those before it that stay. */
export async function finishRoot({ db }: MetaWriter, root: StoredRoot, kept: ReadonlySet<number>): Promise<void> {
  await db.updateTable('root').set({ listing: null }).where('listing', 'is not', null).execute();
  await db
    .updateTable('root')
    .set({
      snapshot_ms: root.snapshotMs,
      index_block: idBytes(root.index),
      listing: root.listing,
      whole_hash: root.wholeHash,
      pools: root.pools.join(),
      nodes: root.nodes,
    })
    .where('seq', '=', root.seq)
    .execute();
  const before = await db.selectFrom('root').select('seq').where('seq', '<', root.seq).execute();
  for (const { seq } of before) if (!kept.has(seq)) await db.deleteFrom('root').where('seq', '=', seq).execute();
}

/** Those of the blocks that the pool is known to have. */
export async function findRootBlocks(
  { db }: MetaReader,
  pool: string,
  blocks: readonly BlockId[],
): Promise<ReadonlyMap<BlockId, RootBlock>> {
  const found = new Map<BlockId, RootBlock>();
  for (const slice of lookupSlices([...new Set(blocks)])) {
    const rows = await db
      .selectFrom('root_block')
      .select(['block', 'length', 'holders', 'owed'])
      .where('pool', '=', pool)
      .where('block', 'in', slice.map(idBytes))
      .execute();
    for (const row of rows) {
      const block = id32Of<BlockId>(row.block);
      found.set(block, { block, pool, length: row.length, holders: parseHolders(row.holders), owed: row.owed });
    }
  }
  return found;
}

/** They are needed by the root of `seq`, and by those before it that needed them. */
export async function putRootBlocks({ db }: MetaWriter, seq: number, blocks: readonly RootBlock[]): Promise<void> {
  for (const slice of insertSlices(blocks))
    await db
      .insertInto('root_block')
      .values(
        slice.map((row) => ({
          block: idBytes(row.block),
          pool: row.pool,
          length: row.length,
          holders: formatHolders(row.holders),
          owed: row.owed,
          first_seq: seq,
          last_seq: seq,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['block', 'pool']).doUpdateSet((eb) => ({
          holders: eb.ref('excluded.holders'),
          owed: eb.ref('excluded.owed'),
          last_seq: eb.ref('excluded.last_seq'),
        })),
      )
      .execute();
}

/** The root of `seq` needs these as well, wherever they are. */
export async function keepRootBlocks({ db }: MetaWriter, seq: number, blocks: readonly BlockId[]): Promise<void> {
  for (const slice of lookupSlices([...new Set(blocks)]))
    await db.updateTable('root_block').set({ last_seq: seq }).where('block', 'in', slice.map(idBytes)).execute();
}

/** What an index that came back from another time says of pools is not to be relied on. */
export async function forgetRoots({ db }: MetaWriter): Promise<void> {
  await db.deleteFrom('root').execute();
  await db.deleteFrom('root_block').execute();
}

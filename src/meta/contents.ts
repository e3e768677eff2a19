/** Manifests, and which pools and nodes hold their blocks for a space. */
import { assert } from '#core/assert.ts';
import { id32Of, idBytes, type BlockId, type ContentId, type ManifestId, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type StoredContent = {
  readonly manifestId: ManifestId;
  readonly contentId: ContentId;
  readonly size: number;
  readonly bytes: Uint8Array;
};

export async function findContents(
  { db }: MetaReader,
  space: SpaceId,
  manifests: readonly ManifestId[],
): Promise<ReadonlyMap<ManifestId, StoredContent>> {
  const found = new Map<ManifestId, StoredContent>();
  for (const slice of lookupSlices([...new Set(manifests)])) {
    const rows = await db
      .selectFrom('content')
      .select(['manifest', 'content', 'size', 'bytes'])
      .where('space', '=', idBytes(space))
      .where('manifest', 'in', slice.map(idBytes))
      .execute();
    for (const row of rows) {
      const manifestId = id32Of<ManifestId>(row.manifest);
      found.set(manifestId, { manifestId, contentId: id32Of(row.content), size: row.size, bytes: row.bytes });
    }
  }
  return found;
}

/** Contents that are there already stay as they are, and are no longer condemned: a manifest's id names its bytes. */
export async function insertContents(
  { db }: MetaWriter,
  space: SpaceId,
  contents: readonly StoredContent[],
): Promise<void> {
  const spaceBytes = idBytes(space);
  for (const slice of insertSlices(contents))
    await db
      .insertInto('content')
      .values(
        slice.map((content) => ({
          space: spaceBytes,
          manifest: idBytes(content.manifestId),
          content: idBytes(content.contentId),
          size: content.size,
          bytes: content.bytes,
          condemned_mark: null,
          condemned_ms: null,
        })),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['space', 'manifest'])
          .doUpdateSet({ condemned_mark: null, condemned_ms: null })
          .where('content.condemned_mark', 'is not', null),
      )
      .execute();
}

/** That a pool holds a block durably, where, and how many copies are still owed. */
export type Presence = {
  readonly block: BlockId;
  readonly pool: string;
  readonly length: number;
  /** Numbers of the storage nodes. */
  readonly holders: readonly number[];
  readonly owed: number;
};

/** In every pool, or in one. */
export async function findPresence(
  { db }: MetaReader,
  space: SpaceId,
  blocks: readonly BlockId[],
  pool: string | null = null,
): Promise<readonly Presence[]> {
  const found: Presence[] = [];
  for (const slice of lookupSlices([...new Set(blocks)])) {
    let query = db
      .selectFrom('presence')
      .select(['block', 'pool', 'length', 'holders', 'owed'])
      .where('space', '=', idBytes(space))
      .where('block', 'in', slice.map(idBytes));
    if (pool !== null) query = query.where('pool', '=', pool);
    for (const row of await query.execute())
      found.push({ ...row, block: id32Of(row.block), holders: parseHolders(row.holders) });
  }
  return found;
}

/**
 * Told again, the newer word about the holders counts, and nothing is condemned any more. Of copies that were put just now `settleCopies` (`server/copies.ts`) says
 * which still count: it comes first.
 */
export async function putPresence({ db }: MetaWriter, space: SpaceId, rows: readonly Presence[]): Promise<void> {
  const spaceBytes = idBytes(space);
  for (const slice of insertSlices(rows))
    await db
      .insertInto('presence')
      .values(
        slice.map((row) => ({
          space: spaceBytes,
          block: idBytes(row.block),
          pool: row.pool,
          length: row.length,
          holders: formatHolders(row.holders),
          owed: row.owed,
          condemned_mark: null,
          condemned_ms: null,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['space', 'block', 'pool']).doUpdateSet((eb) => ({
          holders: eb.ref('excluded.holders'),
          owed: eb.ref('excluded.owed'),
          condemned_mark: null,
          condemned_ms: null,
        })),
      )
      .execute();
}

export function formatHolders(holders: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * holders.length);
  holders.forEach((holder, index) => {
    assert(holder > 0 && holder < 65_536, 'node numbers have two bytes');
    bytes[2 * index] = holder >>> 8;
    bytes[2 * index + 1] = holder & 255;
  });
  return bytes;
}

export function parseHolders(bytes: Uint8Array): number[] {
  assert(bytes.length % 2 === 0, 'node numbers have two bytes');
  const holders: number[] = [];
  for (let index = 0; index < bytes.length; index += 2)
    holders.push(((bytes[index] as number) << 8) | (bytes[index + 1] as number));
  return holders;
}

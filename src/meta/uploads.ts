/** Uploads under way: rows, so that they outlive a restart. */
import { must } from '#core/assert.ts';
import { fromUtf8, utf8 } from '#core/bytes.ts';
import {
  id16Of,
  id32Of,
  idBytes,
  type BlockId,
  type DeviceId,
  type EntryId,
  type SpaceId,
  type UploadId,
} from '#core/ids.ts';
import { formatHolders, parseHolders, type Presence } from './contents.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type StoredUpload = {
  readonly upload: UploadId;
  readonly space: SpaceId;
  readonly device: DeviceId;
  readonly entry: EntryId;
  readonly parent: EntryId;
  readonly name: string;
  readonly size: number;
  readonly pool: string;
  readonly keyVersion: number;
  /** Until then its blocks are kept. */
  readonly leaseMs: number;
};

export async function findUploads(
  { db }: MetaReader,
  uploads: readonly UploadId[],
): Promise<ReadonlyMap<UploadId, StoredUpload>> {
  const found = new Map<UploadId, StoredUpload>();
  for (const slice of lookupSlices([...new Set(uploads)])) {
    const rows = await db.selectFrom('upload').selectAll().where('upload', 'in', slice.map(idBytes)).execute();
    for (const row of rows) found.set(id16Of(row.upload), uploadOf(row));
  }
  return found;
}

/** Uploads of a space, in order of the entry that they are for. */
export async function uploadsOf({ db }: MetaReader, space: SpaceId, limit: number): Promise<readonly StoredUpload[]> {
  const rows = await db
    .selectFrom('upload')
    .selectAll()
    .where('space', '=', idBytes(space))
    .orderBy('entry')
    .limit(limit)
    .execute();
  return rows.map(uploadOf);
}

export async function countUploads({ db }: MetaReader): Promise<number> {
  const row = await db
    .selectFrom('upload')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function insertUploads({ db }: MetaWriter, uploads: readonly StoredUpload[]): Promise<void> {
  for (const slice of insertSlices(uploads))
    await db
      .insertInto('upload')
      .values(
        slice.map((upload) => ({
          upload: idBytes(upload.upload),
          space: idBytes(upload.space),
          device: idBytes(upload.device),
          entry: idBytes(upload.entry),
          parent: idBytes(upload.parent),
          name: utf8(upload.name),
          size: upload.size,
          pool: upload.pool,
          key_version: upload.keyVersion,
          lease_ms: upload.leaseMs,
        })),
      )
      .execute();
}

export async function renewUploads({ db }: MetaWriter, uploads: readonly UploadId[], leaseMs: number): Promise<void> {
  for (const slice of lookupSlices(uploads))
    await db.updateTable('upload').set({ lease_ms: leaseMs }).where('upload', 'in', slice.map(idBytes)).execute();
}

/** They are over. Rows of what they brought stay until garbage collection has looked through them: there may be very many. */
export async function removeUploads({ db }: MetaWriter, uploads: readonly UploadId[]): Promise<void> {
  for (const slice of lookupSlices(uploads.map(idBytes)))
    await db.deleteFrom('upload').where('upload', 'in', slice).execute();
}

export async function expiredUploads({ db }: MetaReader, nowMs: number, limit: number): Promise<readonly UploadId[]> {
  const rows = await db.selectFrom('upload').select('upload').where('lease_ms', '<', nowMs).limit(limit).execute();
  return rows.map((row) => id16Of(row.upload));
}

export async function putUploadBlocks(
  { db }: MetaWriter,
  { upload, pool }: Pick<StoredUpload, 'upload' | 'pool'>,
  blocks: readonly Omit<Presence, 'pool'>[],
): Promise<void> {
  const uploadBytes = idBytes(upload);
  for (const slice of insertSlices(blocks))
    await db
      .insertInto('upload_block')
      .values(
        slice.map((row) => ({
          upload: uploadBytes,
          block: idBytes(row.block),
          pool,
          length: row.length,
          holders: formatHolders(row.holders),
          owed: row.owed,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['upload', 'block']).doUpdateSet((eb) => ({
          pool,
          holders: eb.ref('excluded.holders'),
          owed: eb.ref('excluded.owed'),
        })),
      )
      .execute();
}

/** Which of `blocks` an upload brought into its pool. One that was over and is opened again finds what is still there. */
export async function findUploadBlocks(
  { db }: MetaReader,
  upload: StoredUpload,
  blocks: readonly BlockId[],
): Promise<readonly Presence[]> {
  const found: Presence[] = [];
  for (const slice of lookupSlices([...new Set(blocks)])) {
    const rows = await db
      .selectFrom('upload_block')
      .select(['block', 'length', 'holders', 'owed'])
      .where('upload', '=', idBytes(upload.upload))
      .where('pool', '=', upload.pool)
      .where('block', 'in', slice.map(idBytes))
      .execute();
    for (const row of rows)
      found.push({ ...row, block: id32Of(row.block), pool: upload.pool, holders: parseHolders(row.holders) });
  }
  return found;
}

function uploadOf(row: MetaSchema['upload']): StoredUpload {
  return {
    upload: id16Of(row.upload),
    space: id16Of(row.space),
    device: id16Of(row.device),
    entry: id16Of(row.entry),
    parent: id16Of(row.parent),
    name: must(fromUtf8(row.name), 'names are stored as UTF-8'),
    size: row.size,
    pool: row.pool,
    keyVersion: row.key_version,
    leaseMs: row.lease_ms,
  };
}

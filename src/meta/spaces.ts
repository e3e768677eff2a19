/** Spaces and their journals. */
import { id16Of, id32Of, idBytes, type Chain, type DeviceId, type Epoch, type OpId, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type StoredSpace = {
  readonly space: SpaceId;
  readonly account: Uint8Array;
  readonly name: string;
  readonly epoch: Epoch;
  readonly headSeq: number;
  readonly headChain: Chain;
  /** No row from this seq on is missing; a cursor below it has expired. */
  readonly horizonSeq: number;
  readonly keyVersion: number;
};

export async function insertSpace({ db }: MetaWriter, space: StoredSpace): Promise<void> {
  await db
    .insertInto('space')
    .values({
      space: idBytes(space.space),
      account: space.account,
      name: space.name,
      epoch: idBytes(space.epoch),
      head_seq: space.headSeq,
      head_chain: idBytes(space.headChain),
      horizon_seq: space.horizonSeq,
      key_version: space.keyVersion,
    })
    .execute();
}

export async function findSpace({ db }: MetaReader, space: SpaceId): Promise<StoredSpace | null> {
  const row = await db.selectFrom('space').selectAll().where('space', '=', idBytes(space)).executeTakeFirst();
  return row ? spaceOf(row) : null;
}

/** As `findSpace`; no other writer touches the space until this one ends: seqs come in the order of commits. */
export async function lockSpace({ db, dialect }: MetaWriter, space: SpaceId): Promise<StoredSpace | null> {
  let query = db.selectFrom('space').selectAll().where('space', '=', idBytes(space));
  if (dialect.locksRows) query = query.forUpdate();
  const row = await query.executeTakeFirst();
  return row ? spaceOf(row) : null;
}

export async function spacesOf({ db }: MetaReader, account: Uint8Array): Promise<readonly StoredSpace[]> {
  const rows = await db.selectFrom('space').selectAll().where('account', '=', account).orderBy('space').execute();
  return rows.map(spaceOf);
}

export async function allSpaces({ db }: MetaReader): Promise<readonly StoredSpace[]> {
  const rows = await db.selectFrom('space').selectAll().orderBy('space').execute();
  return rows.map(spaceOf);
}

export async function advanceSpace(
  { db }: MetaWriter,
  space: SpaceId,
  head: { readonly headSeq: number; readonly headChain: Chain; readonly keyVersion: number },
): Promise<void> {
  await db
    .updateTable('space')
    .set({ head_seq: head.headSeq, head_chain: idBytes(head.headChain), key_version: head.keyVersion })
    .where('space', '=', idBytes(space))
    .execute();
}

/** A new history from the present head on: no cursor of the former one is valid. */
export async function beginEpoch(
  { db }: MetaWriter,
  space: SpaceId,
  begun: { readonly epoch: Epoch; readonly headChain: Chain; readonly horizonSeq: number },
): Promise<void> {
  await db
    .updateTable('space')
    .set({ epoch: idBytes(begun.epoch), head_chain: idBytes(begun.headChain), horizon_seq: begun.horizonSeq })
    .where('space', '=', idBytes(space))
    .execute();
}

export type StoredRow = { readonly seq: number; readonly row: Uint8Array; readonly chain: Chain };

export async function appendJournal({ db }: MetaWriter, space: SpaceId, rows: readonly StoredRow[]): Promise<void> {
  const spaceBytes = idBytes(space);
  for (const slice of insertSlices(rows))
    await db
      .insertInto('journal')
      .values(slice.map(({ seq, row, chain }) => ({ space: spaceBytes, seq, row, chain: idBytes(chain) })))
      .execute();
}

export async function journalAfter({ db }: MetaReader, space: SpaceId, seq: number, limit: number) {
  return db
    .selectFrom('journal')
    .select(['seq', 'row'])
    .where('space', '=', idBytes(space))
    .where('seq', '>', seq)
    .orderBy('seq')
    .limit(limit)
    .execute();
}

/** The rows of these seqs, in no order. */
export async function journalRowsAt({ db }: MetaReader, space: SpaceId, seqs: readonly number[]) {
  const found: { seq: number; row: Uint8Array }[] = [];
  for (const slice of lookupSlices([...new Set(seqs)])) {
    const query = db.selectFrom('journal').select(['seq', 'row']).where('space', '=', idBytes(space));
    found.push(...(await query.where('seq', 'in', slice).execute()));
  }
  return found;
}

/** Null where the journal has no row of that seq. */
export async function chainAt({ db }: MetaReader, space: SpaceId, seq: number): Promise<Chain | null> {
  const row = await db
    .selectFrom('journal')
    .select('chain')
    .where('space', '=', idBytes(space))
    .where('seq', '=', seq)
    .executeTakeFirst();
  return row ? id32Of(row.chain) : null;
}

function spaceOf(row: MetaSchema['space']): StoredSpace {
  return {
    space: id16Of(row.space),
    account: row.account,
    name: row.name,
    epoch: id16Of(row.epoch),
    headSeq: row.head_seq,
    headChain: id32Of(row.head_chain),
    horizonSeq: row.horizon_seq,
    keyVersion: row.key_version,
  };
}

export type OpResult = {
  readonly space: SpaceId;
  readonly bodyHash: Uint8Array | null;
  /** JSON. Null: voided. */
  readonly answer: string | null;
};

export async function findOpResult({ db }: MetaReader, device: DeviceId, op: OpId): Promise<OpResult | null> {
  const row = await db
    .selectFrom('op_result')
    .select(['space', 'body_hash', 'answer'])
    .where('device', '=', idBytes(device))
    .where('op', '=', idBytes(op))
    .executeTakeFirst();
  return row ? { space: id16Of(row.space), bodyHash: row.body_hash, answer: row.answer } : null;
}

export async function insertOpResult(
  { db }: MetaWriter,
  key: { readonly device: DeviceId; readonly op: OpId; readonly atMs: number },
  result: OpResult,
): Promise<void> {
  await db
    .insertInto('op_result')
    .values({
      device: idBytes(key.device),
      op: idBytes(key.op),
      space: idBytes(result.space),
      body_hash: result.bodyHash,
      answer: result.answer,
      at_ms: key.atMs,
    })
    .execute();
}

/** Forgets at most `limit` answers given before `beforeMs`. */
export async function forgetOpResults({ db }: MetaWriter, beforeMs: number, limit: number): Promise<void> {
  const old = await db
    .selectFrom('op_result')
    .select(['device', 'op'])
    .where('at_ms', '<', beforeMs)
    .orderBy('at_ms')
    .limit(limit)
    .execute();
  for (const { device, op } of old)
    await db.deleteFrom('op_result').where('device', '=', device).where('op', '=', op).execute();
}

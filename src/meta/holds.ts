/** Changes that wait for a person, and what devices did of late. */
import type { TreeOperation } from '#core/commit.ts';
import { NO_WEIGHT, type HoldReason, type Weight } from '#core/holds.ts';
import { id16Of, idBytes, type DeviceId, type EntryId, type OpId, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { insertSlices, lookupSlices } from './slices.ts';

/** `withdrawn`: its device asks for it no more. */
export type HoldState = 'open' | 'approved' | 'rejected' | 'withdrawn';

export type StoredHold = {
  readonly hold: string;
  readonly space: SpaceId;
  readonly device: DeviceId;
  readonly reasons: ReadonlySet<HoldReason>;
  readonly state: HoldState;
  readonly madeMs: number;
  readonly lastMs: number;
  /** Null until the decision was carried out. */
  readonly doneSeq: number | null;
  readonly decidedMs: number | null;
};

export type HeldOperation = {
  readonly operation: TreeOperation;
  readonly pool: string | null;
  readonly files: number;
  readonly hardened: number;
};

/** Made, or its reasons and times changed. */
export async function putHold({ db }: MetaWriter, hold: StoredHold): Promise<void> {
  const row: MetaSchema['hold'] = {
    hold: hold.hold,
    space: idBytes(hold.space),
    device: idBytes(hold.device),
    reasons: [...hold.reasons].sort().join(),
    state: hold.state,
    made_ms: hold.madeMs,
    last_ms: hold.lastMs,
    done_seq: hold.doneSeq,
    decided_ms: hold.decidedMs,
  };
  const { hold: _key, ...rest } = row;
  await db
    .insertInto('hold')
    .values(row)
    .onConflict((conflict) => conflict.column('hold').doUpdateSet(rest))
    .execute();
}

export async function findHolds({ db }: MetaReader, holds: readonly string[]): Promise<readonly StoredHold[]> {
  const found: StoredHold[] = [];
  for (const slice of lookupSlices([...new Set(holds)])) {
    const rows = await db.selectFrom('hold').selectAll().where('hold', 'in', slice).execute();
    found.push(...rows.map(holdOf));
  }
  return found;
}

export async function holdsInSpace(
  { db }: MetaReader,
  space: SpaceId,
  only: { readonly device?: DeviceId; readonly state?: HoldState },
): Promise<readonly StoredHold[]> {
  let query = db.selectFrom('hold').selectAll().where('space', '=', idBytes(space)).orderBy('made_ms').orderBy('hold');
  if (only.device !== undefined) query = query.where('device', '=', idBytes(only.device));
  if (only.state !== undefined) query = query.where('state', '=', only.state);
  return (await query.execute()).map(holdOf);
}

/** Approved holds of which not everything was carried out yet. */
export async function unfinishedHolds({ db }: MetaReader): Promise<readonly StoredHold[]> {
  const rows = await db
    .selectFrom('hold')
    .selectAll()
    .where('state', '=', 'approved')
    .where('done_seq', 'is', null)
    .execute();
  return rows.map(holdOf);
}

/** Adds to the end of a hold. What was held of an entry before is replaced. */
export async function addHeld(writer: MetaWriter, hold: string, operations: readonly HeldOperation[]): Promise<void> {
  const { db } = writer;
  await dropHeld(
    writer,
    [hold],
    operations.map(({ operation }) => operation.entry),
  );
  const last = await db
    .selectFrom('hold_operation')
    .select((eb) => eb.fn.max<number | null>('position').as('position'))
    .where('hold', '=', hold)
    .executeTakeFirst();
  let position = last?.position ?? 0;
  const rows = operations.map(({ operation, pool, files, hardened }) => ({
    hold,
    position: ++position,
    entry: idBytes(operation.entry),
    operation: JSON.stringify(operation),
    pool,
    files,
    hardened,
  }));
  for (const slice of insertSlices(rows)) await db.insertInto('hold_operation').values(slice).execute();
}

/** In the order in which they came. */
export async function heldOperations(
  { db }: MetaReader,
  hold: string,
  limit: number,
): Promise<readonly HeldOperation[]> {
  const rows = await db
    .selectFrom('hold_operation')
    .selectAll()
    .where('hold', '=', hold)
    .orderBy('position')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    operation: JSON.parse(row.operation) as TreeOperation,
    pool: row.pool,
    files: row.files,
    hardened: row.hardened,
  }));
}

export type HeldKey = { readonly hold: string; readonly position: number };

/** Everything that is held in a space, whatever became of its hold, in the order of holds and positions. */
export async function heldAfter(
  { db }: MetaReader,
  space: SpaceId,
  after: HeldKey | null,
  limit: number,
): Promise<readonly (HeldKey & Pick<HeldOperation, 'operation' | 'pool'>)[]> {
  let query = db
    .selectFrom('hold_operation')
    .innerJoin('hold', 'hold.hold', 'hold_operation.hold')
    .select(['hold_operation.hold', 'hold_operation.position', 'hold_operation.operation', 'hold_operation.pool'])
    .where('hold.space', '=', idBytes(space))
    .orderBy('hold_operation.hold')
    .orderBy('hold_operation.position')
    .limit(limit);
  if (after)
    query = query
      .where('hold_operation.hold', '>=', after.hold)
      .where((eb) =>
        eb.or([eb('hold_operation.hold', '>', after.hold), eb('hold_operation.position', '>', after.position)]),
      );
  return (await query.execute()).map((row) => ({ ...row, operation: JSON.parse(row.operation) as TreeOperation }));
}

export type HeldTotals = { readonly operations: number; readonly files: number; readonly hardened: number };

export async function heldTotals({ db }: MetaReader, hold: string): Promise<HeldTotals> {
  const row = await db
    .selectFrom('hold_operation')
    .select((eb) => [
      eb.fn.countAll<number>().as('operations'),
      eb.fn.sum<number | null>('files').as('files'),
      eb.fn.sum<number | null>('hardened').as('hardened'),
    ])
    .where('hold', '=', hold)
    .executeTakeFirst();
  return {
    operations: Number(row?.operations ?? 0),
    files: Number(row?.files ?? 0),
    hardened: Number(row?.hardened ?? 0),
  };
}

/** Entries of the list of which one of the holds has an operation. */
export async function heldAmong(
  { db }: MetaReader,
  holds: readonly string[],
  entries: readonly EntryId[],
): Promise<ReadonlySet<EntryId>> {
  const found = new Set<EntryId>();
  if (holds.length === 0) return found;
  for (const slice of lookupSlices([...new Set(entries)])) {
    const rows = await db
      .selectFrom('hold_operation')
      .select('entry')
      .where('hold', 'in', [...holds])
      .where('entry', 'in', slice.map(idBytes))
      .execute();
    for (const row of rows) found.add(id16Of(row.entry));
  }
  return found;
}

/** Takes entries' operations out of holds; `entries` null: all there are. */
export async function dropHeld(
  { db }: MetaWriter,
  holds: readonly string[],
  entries: readonly EntryId[] | null,
): Promise<void> {
  if (holds.length === 0) return;
  if (entries === null) {
    await db
      .deleteFrom('hold_operation')
      .where('hold', 'in', [...holds])
      .execute();
    return;
  }
  for (const slice of lookupSlices([...new Set(entries)]))
    await db
      .deleteFrom('hold_operation')
      .where('hold', 'in', [...holds])
      .where('entry', 'in', slice.map(idBytes))
      .execute();
}

/** Forgets holds that were decided and carried out before `beforeMs`. */
export async function forgetHolds({ db }: MetaWriter, beforeMs: number): Promise<void> {
  await db.deleteFrom('hold').where('done_seq', 'is not', null).where('decided_ms', '<', beforeMs).execute();
}

type Source = { readonly space: SpaceId; readonly device: DeviceId };

/** Also forgets what lies before `sinceMs`: there are no more rows than commits within the window. */
export async function addTally(
  { db }: MetaWriter,
  { space, device }: Source,
  op: OpId,
  done: Weight,
  times: { readonly atMs: number; readonly sinceMs: number },
): Promise<void> {
  await db
    .deleteFrom('tally')
    .where('space', '=', idBytes(space))
    .where('device', '=', idBytes(device))
    .where('at_ms', '<', times.sinceMs)
    .execute();
  await db
    .insertInto('tally')
    .values({
      space: idBytes(space),
      device: idBytes(device),
      op: idBytes(op),
      at_ms: times.atMs,
      old: done.old,
      hardened: done.hardened,
    })
    .execute();
}

export async function sumTally(
  { db }: MetaReader,
  { space, device }: Source,
  times: { readonly sinceMs: number },
): Promise<Weight> {
  const row = await db
    .selectFrom('tally')
    .select((eb) => [eb.fn.sum<number | null>('old').as('old'), eb.fn.sum<number | null>('hardened').as('hardened')])
    .where('space', '=', idBytes(space))
    .where('device', '=', idBytes(device))
    .where('at_ms', '>=', times.sinceMs)
    .executeTakeFirst();
  return { ...NO_WEIGHT, old: Number(row?.old ?? 0), hardened: Number(row?.hardened ?? 0) };
}

/** A person has looked: what comes is counted anew. */
export async function forgetTally({ db }: MetaWriter, { space, device }: Source): Promise<void> {
  await db.deleteFrom('tally').where('space', '=', idBytes(space)).where('device', '=', idBytes(device)).execute();
}

function holdOf(row: MetaSchema['hold']): StoredHold {
  return {
    hold: row.hold,
    space: id16Of(row.space),
    device: id16Of(row.device),
    reasons: new Set(row.reasons.split(',') as HoldReason[]),
    state: row.state as HoldState,
    madeMs: row.made_ms,
    lastMs: row.last_ms,
    doneSeq: row.done_seq,
    decidedMs: row.decided_ms,
  };
}

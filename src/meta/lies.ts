/** What storage nodes were caught at: said of a block what is not so, and what no failing disk explains. */
import { idBytes, type BlockId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';

/** `wrong_proof`: made of other bytes than the block's. `wrong_bytes`: sent others. `not_there`: claims the block and cannot show it. */
export type LieKind = 'wrong_proof' | 'wrong_bytes' | 'not_there';

export type Lie = {
  /** Of the node. */
  readonly number: number;
  readonly block: BlockId;
  readonly what: LieKind;
  readonly atMs: number;
};

/** One for each block: the newest. */
export async function noteLie({ db }: MetaWriter, { number, block, what, atMs }: Lie): Promise<void> {
  await db
    .insertInto('node_lie')
    .values({ number, block: idBytes(block), what, at_ms: atMs })
    .onConflict((conflict) => conflict.columns(['number', 'block']).doUpdateSet({ what, at_ms: atMs }))
    .execute();
}

export type LieCount = {
  readonly number: number;
  readonly blocks: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly what: readonly LieKind[];
};

/** By node, in order of number. */
export async function countLies({ db }: MetaReader, sinceMs: number): Promise<readonly LieCount[]> {
  const rows = await db
    .selectFrom('node_lie')
    .select((eb) => [
      'number',
      'what',
      eb.fn.countAll<number>().as('blocks'),
      eb.fn.min<number>('at_ms').as('firstMs'),
      eb.fn.max<number>('at_ms').as('lastMs'),
    ])
    .where('at_ms', '>=', sinceMs)
    .groupBy(['number', 'what'])
    .orderBy('number')
    .orderBy('what')
    .execute();
  const found = new Map<number, LieCount>();
  for (const row of rows) {
    const [number, what] = [Number(row.number), row.what as LieKind];
    const before = found.get(number);
    found.set(number, {
      number,
      blocks: (before?.blocks ?? 0) + Number(row.blocks),
      firstMs: Math.min(before?.firstMs ?? Number(row.firstMs), Number(row.firstMs)),
      lastMs: Math.max(before?.lastMs ?? 0, Number(row.lastMs)),
      what: [...(before?.what ?? []), what],
    });
  }
  return [...found.values()];
}

/** Of one node; those before `beforeMs` alone, where it says so. */
export async function forgetLies({ db }: MetaWriter, number: number, beforeMs: number | null = null): Promise<void> {
  let query = db.deleteFrom('node_lie').where('number', '=', number);
  if (beforeMs !== null) query = query.where('at_ms', '<', beforeMs);
  await query.execute();
}

/** Copies that a node was found not to have, or to have damaged: it holds them no more, and they are owed. Where it lied about them, that is noted. */
import { counting, owedOf } from '#core/copies.ts';
import type { BlockId, SpaceId } from '#core/ids.ts';
import { findPresence } from '#meta/contents.ts';
import type { LieKind } from '#meta/lies.ts';
import { updateHolders, type ChangedPresence } from '#meta/copies.ts';
import { confirmLies } from './confirm-lies.ts';
import { noteLies } from './liars.ts';
import { readPools } from './standing.ts';
import type { ServerContext } from './server-context.ts';

/** `missing`, `corrupt`: as the node itself says. The others: what it said is not so. */
export type BadCopy = {
  readonly block: BlockId;
  readonly holder: number;
  readonly why: 'missing' | 'corrupt' | LieKind;
};

/** Resolves with how many rows named such a holder. */
export async function noteBadCopies(
  context: Pick<ServerContext, 'meta' | 'nodes' | 'closing' | 'clock' | 'log' | 'wakeJobs'>,
  space: SpaceId,
  found: readonly BadCopy[],
): Promise<number> {
  if (found.length === 0) return 0;
  const bad = await confirmLies(context, found);
  const rows = await context.meta.write(async (writer) => {
    const pools = await readPools(writer);
    const present = await findPresence(writer, space, [...new Set(bad.map(({ block }) => block))]);
    // What was collected meanwhile is not there, and nobody lies who says so.
    const named = ({ block, holder }: BadCopy) =>
      present.some((row) => row.block === block && row.holders.includes(holder));
    const lies = bad.filter((one) => one.why !== 'not_there' || named(one));
    const atMs = context.clock.nowMs();
    await noteLies(writer, pools, lies, atMs);
    const changed: ChangedPresence[] = [];
    for (const row of present) {
      const own = bad.filter(({ block }) => block === row.block);
      if (!row.holders.some((holder) => own.some((one) => one.holder === holder))) continue;
      const pool = pools.of(row.pool);
      const all = counting(row.holders, pool);
      const sound = all.filter((holder) => !own.some((one) => one.holder === holder));
      // Who cannot prove it may serve it well: as long as nobody else has it, that counts.
      const served = all.filter((holder) => !own.some((one) => one.holder === holder && one.why !== 'wrong_proof'));
      const holders = sound.length > 0 ? sound : served;
      if (holders.length === row.holders.length) continue;
      const first = own.find(({ holder }) => row.holders.includes(holder) && !holders.includes(holder));
      const fault = first && { why: first.why, node: first.holder, atMs };
      changed.push({ ...row, space, holders, owed: owedOf(holders, pool), ...(fault && { fault }) });
    }
    await updateHolders(writer, changed);
    return changed.length;
  });
  if (rows === 0) return 0;
  context.log.warn('copies were found missing or damaged; they are made anew', { blocks: rows, first: bad[0] });
  context.wakeJobs();
  return rows;
}

/** Other bytes than asked for, once, may be a fault of the memory of either side. Sent again for the same block they are the node's. */
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import type { BadCopy } from './bad-copies.ts';
import { LIES_TO_DISTRUST } from './liars.ts';
import type { ServerContext } from './server-context.ts';

/** `wrong_bytes` that are not sent again, or that are more than it takes to judge a node, become `corrupt`. All else stays as it is. */
export async function confirmLies(
  { nodes, closing }: Pick<ServerContext, 'nodes' | 'closing'>,
  bad: readonly BadCopy[],
): Promise<readonly BadCopy[]> {
  const doubted = bad.filter(({ why }) => why === 'wrong_bytes');
  const sure = new Set<BadCopy>();
  for (const holder of new Set(doubted.map((one) => one.holder))) {
    const own = doubted.filter((one) => one.holder === holder).slice(0, LIES_TO_DISTRUST);
    const ids: BlockId[] = own.map(({ block }) => block);
    const known = nodes.byNumber(holder);
    if (!known) continue;
    try {
      const got = await nodes.call(known, closing, ({ store }, signal) => store.get(ids, signal));
      own.forEach((one, index) => {
        const again = got[index];
        if (again?.kind === 'corrupt' && again.forged) sure.add(one);
      });
    } catch (error) {
      if (closing.aborted || !(error instanceof HoldfastError)) throw error;
    }
  }
  return bad.map((one) => (one.why !== 'wrong_bytes' || sure.has(one) ? one : { ...one, why: 'corrupt' }));
}

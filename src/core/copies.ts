/**
 * How many copies of a block there are, which are to be made and which may be given up: pure, so that repair, moves and `nodes whatif`
 * decide alike. Nodes go by their numbers, as in the rows that say who holds a block.
 */

/**
 * `in`: takes blocks. `draining`: what it holds counts, and moves away. `lost`: out of reach for so long that its copies are made anew;
 * they count again once the node is back and was asked for them. `distrusted`: it was caught lying, and nothing that it says counts until a
 * person trusts it again. `removed`: no node of the cluster any more.
 */
export type Standing = 'in' | 'draining' | 'lost' | 'distrusted' | 'removed';

/** Acknowledged are bytes that this many nodes hold, where the pool asks for as many. */
export const QUORUM_COPIES = 2;

export type PoolCopies = {
  /** That the pool asks for. */
  readonly copies: number;
  /** By node number; who is not named counts as removed. */
  readonly standing: ReadonlyMap<number, Standing>;
};

/** Whether what a node of that standing holds counts as copies. */
export function countsAs(standing: Standing | undefined): boolean {
  return standing === 'in' || standing === 'draining';
}

/** The holders whose copies count, each once. */
export function counting(holders: readonly number[], { standing }: Pick<PoolCopies, 'standing'>): readonly number[] {
  return [...new Set(holders)].filter((holder) => countsAs(standing.get(holder)));
}

/** Of the block that has fewest that count; infinite where there is no block. A file may have more of them than a call has arguments. */
export function leastCopies(blocks: Iterable<readonly number[]>, pool: Pick<PoolCopies, 'standing'>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const holders of blocks) least = Math.min(least, counting(holders, pool).length);
  return least;
}

export function owedOf(holders: readonly number[], pool: PoolCopies): number {
  return Math.max(0, pool.copies - counting(holders, pool).length);
}

export type CopyPlan = {
  /** Nodes that may take a copy, best first. */
  readonly targets: readonly number[];
  /** How many of them are to. */
  readonly needed: number;
};

/** Restores what is owed. `order`: the nodes that the layout names for the block, best first. */
export function planRepair(holders: readonly number[], order: readonly number[], pool: PoolCopies): CopyPlan {
  const good = counting(holders, pool);
  const targets = order.filter((node) => pool.standing.get(node) === 'in' && !good.includes(node));
  return { targets, needed: Math.min(targets.length, Math.max(0, pool.copies - good.length)) };
}

/** Brings a block to where the layout wants it, whatever is owed: only the nodes that are to hold it. */
export function planMove(holders: readonly number[], order: readonly number[], pool: PoolCopies): CopyPlan {
  const good = counting(holders, pool);
  const wanted = order.slice(0, pool.copies).filter((node) => pool.standing.get(node) === 'in');
  const targets = wanted.filter((node) => !good.includes(node));
  return { targets, needed: targets.length };
}

/** The holders that count, in the layout's order, so that reads are shared out as the layout shares out blocks; who drains comes last. */
export function ranked(
  holders: readonly number[],
  order: readonly number[],
  pool: Pick<PoolCopies, 'standing'>,
): readonly number[] {
  const rank = (node: number): number => {
    const place = order.indexOf(node);
    if (place >= 0) return place;
    return pool.standing.get(node) === 'in' ? order.length : order.length + 1;
  };
  return [...counting(holders, pool)].sort((left, right) => rank(left) - rank(right) || left - right);
}

/** Which holders a row goes on naming: never fewer than the copies asked for, while there are as many. */
export function keepBest(holders: readonly number[], order: readonly number[], pool: PoolCopies): readonly number[] {
  return ranked(holders, order, pool).slice(0, pool.copies);
}

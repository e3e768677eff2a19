/**
 * What a pool is called. A pool is storage nodes, and how many copies of a block they keep. A rule may ask for another number: its files lie in a pool of their own
 * on the same nodes, with a layout of its own, called by both: `others*3` is three copies on the nodes of `others`. No person's pool has a `*` in its name.
 */
const SIGN = '*';

/** Where the files of a rule lie that names this pool and, perhaps, how many copies. */
export function poolWith(pool: string, copies: number | undefined): string {
  return copies === undefined ? pool : `${pool}${SIGN}${copies}`;
}

/** The pool that its storage nodes belong to: most often itself. */
export function poolOfNodes(pool: string): string {
  return pool.split(SIGN, 1)[0] as string;
}

/** That its name asks for; null: it is a pool that keeps what was set for it. */
export function copiesNamed(pool: string): number | null {
  const [, copies] = pool.split(SIGN);
  return copies === undefined ? null : Number(copies);
}

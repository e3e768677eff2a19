/**
 * What garbage is, decided for one row that names stored bytes. In doubt it stays. A row is first condemned, and goes only where a later mark,
 * complete and begun after that, did not find it either, some time has passed, and a root was made since. Whoever relies on a row spares it in the same transaction.
 */
export type Condemned = {
  /** The highest number that any mark had when it was condemned. */
  readonly mark: number;
  /** Server's clock. */
  readonly atMs: number;
};

export type Found = {
  /** Something that is kept names it. */
  readonly live: boolean;
  /** Something wants it in this very pool. */
  readonly wantedHere: boolean;
  /** Another pool, where it is wanted, holds it with all copies. */
  readonly wholeElsewhere: boolean;
};

export type Fate = 'keep' | 'spare' | 'condemn' | 'delete';

/**
 * `mark`: the number of the complete mark that found this. `rooted`: enough nodes keep a root that was begun after that mark, so that no rescue from the
 * newest one asks for what goes. `spare`: keep, and no longer condemned.
 */
export function fateOf(
  { live, wantedHere, wholeElsewhere }: Found,
  condemned: Condemned | null,
  now: { readonly mark: number; readonly rooted: boolean; readonly nowMs: number; readonly graceMs: number },
): Fate {
  const isGarbage = !live || (!wantedHere && wholeElsewhere);
  if (!isGarbage) return condemned ? 'spare' : 'keep';
  if (!condemned) return 'condemn';
  const waitedMs = now.nowMs - condemned.atMs;
  // Below 0 where the clock went back: then it is condemned anew, by the clock that there is.
  if (waitedMs < 0) return 'condemn';
  return now.rooted && condemned.mark < now.mark && waitedMs >= now.graceMs ? 'delete' : 'keep';
}

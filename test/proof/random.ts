/** Choices that a seed repeats. The moments at which processes die cannot be repeated. */
export type Choices = {
  /** In [0, 1). */
  next(): number;
  below(limit: number): number;
  of<T>(all: readonly T[]): T;
};

/** mulberry32: a small generator is enough to choose victims and files. */
export function choices(seed: number): Choices {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return { next, below, of: <T>(all: readonly T[]): T => all[below(all.length)] as T };
}

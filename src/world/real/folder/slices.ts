/** Work in slices: a generator that yields wherever others may take a turn. What runs them decides whether any do. */

/** Milliseconds that have to pass before it may go on; undefined: none. */
export type Pause = number | undefined;
export type Slices<Result> = Generator<Pause, Result>;

/** From front to end, with nobody in between. `wait` blocks the thread. */
export function drained<Result>(slices: Slices<Result>, wait: (ms: number) => void): Result {
  for (;;) {
    const slice = slices.next();
    if (slice.done) return slice.value;
    if (slice.value !== undefined) wait(slice.value);
  }
}

/** How often each thing happened that a proof must have seen. */
export type Counts = Record<string, number>;

export class Coverage {
  readonly counts: Counts = {};

  add(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
}

export function addCounts(into: Counts, more: Counts): void {
  for (const [what, count] of Object.entries(more)) into[what] = (into[what] ?? 0) + count;
}

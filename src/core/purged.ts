/**
 * Which rows of a journal tell of what is kept no more, as bits, one for each seq. Of a revision: its bytes. Of a row that put something into the
 * trash: the way back. Journals are long and what is purged lies close together, so that bits are less than a list.
 */

/** Seqs of one row of bits: 1 KiB. */
export const PURGED_SEQS = 8192;

export function purgedChunkOf(seq: number): number {
  return Math.floor(seq / PURGED_SEQS);
}

/** `bits`: of the chunk that `seq` lies in. */
export function isPurgedIn(bits: Uint8Array, seq: number): boolean {
  const at = seq % PURGED_SEQS;
  return ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

/** A copy with these as well; all lie in one chunk. `bits` null: nothing of it is purged yet. */
export function withPurged(bits: Uint8Array | null, seqs: readonly number[]): Uint8Array {
  const more = new Uint8Array(PURGED_SEQS / 8);
  more.set(bits ?? []);
  for (const seq of seqs) {
    const at = seq % PURGED_SEQS;
    more[at >> 3] = (more[at >> 3] ?? 0) | (1 << (at & 7));
  }
  return more;
}

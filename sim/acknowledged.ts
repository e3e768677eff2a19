/** What the server acknowledged is durable: whatever ends it, a journal that it shows is never shorter than one that it answered with. */
import type { Wire } from '#protocol/wire.ts';

export class Acknowledged {
  #headSeq = 0;

  /** An answer, on its way. */
  heard(verbName: string, answer: Wire): void {
    if (verbName !== 'commit') return;
    const { head } = answer.body as { readonly head?: { readonly seq: number } };
    this.#headSeq = Math.max(this.#headSeq, head?.seq ?? 0);
  }

  /** Somebody put an older index back. */
  forget(): void {
    this.#headSeq = 0;
  }

  /** What is wrong with the index of a server that starts. */
  faultOf(headSeq: number): string | null {
    return headSeq >= this.#headSeq
      ? null
      : `the server acknowledged a journal of ${this.#headSeq} rows, and has one of ${headSeq} after its start`;
  }
}

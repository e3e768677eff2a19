/** A set of ids that may be wrong in one way only: it can hold one that was never added, seldom. Ten bits an id, however many. */
import { must } from './assert.ts';

const BITS_PER_ID = 10;
const PROBES = 7;
const FIRST_IDS = 4096;
const LARGEST_IDS = 1 << 23;

type Part = { readonly bits: Uint8Array; readonly idsMax: number; ids: number };

/** For ids that are hashes: their own digits say where to look. */
export class IdFilter {
  readonly #parts: Part[] = [];
  readonly #offset: number;

  /** Another number looks at other digits: what is held wrongly once is not held wrongly for ever. */
  constructor(salt: number) {
    this.#offset = 16 * (salt % 4);
  }

  add(id: string): void {
    if (this.has(id)) return;
    let part = this.#parts.at(-1);
    if (!part || part.ids >= part.idsMax) {
      const idsMax = Math.min(part ? 2 * part.idsMax : FIRST_IDS, LARGEST_IDS);
      part = { bits: new Uint8Array(Math.ceil((idsMax * BITS_PER_ID) / 8)), idsMax, ids: 0 };
      this.#parts.push(part);
    }
    part.ids += 1;
    const { bits } = part;
    for (const at of this.#probes(id, 8 * bits.length))
      bits[at >>> 3] = must(bits[at >>> 3], 'within') | (1 << (at & 7));
  }

  has(id: string): boolean {
    return this.#parts.some(({ bits }) => {
      for (const at of this.#probes(id, 8 * bits.length))
        if ((must(bits[at >>> 3], 'within') & (1 << (at & 7))) === 0) return false;
      return true;
    });
  }

  *#probes(id: string, size: number): Iterable<number> {
    const first = Number.parseInt(id.slice(this.#offset, this.#offset + 8), 16);
    const step = Number.parseInt(id.slice(this.#offset + 8, this.#offset + 16), 16) | 1;
    for (let probe = 0; probe < PROBES; probe++) yield (first + probe * (step >>> 0)) % size;
  }
}

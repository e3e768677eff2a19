/** Seeded randomness: the same seed gives the same numbers, on every machine. No fit for keys that anybody relies on. */
import type { Random } from '../random.ts';

/** The generator sfc32 (Chris Doty-Humphrey's PractRand), of which a seed of any text makes one stream. */
export class SimRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#a = hashOf(seed, 0x9e3779b9);
    this.#b = hashOf(seed, 0x243f6a88);
    this.#c = hashOf(seed, 0xb7e15162);
    for (let round = 0; round < 12; round++) this.#next();
  }

  /** A whole number from 0 up to below `limit`. */
  below(limit: number): number {
    return this.#next() % limit;
  }

  /** True with this probability. */
  chance(share: number): boolean {
    return this.#next() < share * 0x1_0000_0000;
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += 4) {
      const word = this.#next();
      bytes[at] = word;
      if (at + 1 < length) bytes[at + 1] = word >>> 8;
      if (at + 2 < length) bytes[at + 2] = word >>> 16;
      if (at + 3 < length) bytes[at + 3] = word >>> 24;
    }
    return bytes;
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }
}

/** FNV-1a from a chosen start. */
function hashOf(text: string, start: number): number {
  let hash = start;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash | 0;
}

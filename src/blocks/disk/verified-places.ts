/** Places of the log whose block was found whole since the start of the process. */
type Place = { readonly segment: number; readonly offset: number };

/** Bounds memory to some tens of megabytes; what is forgotten is read once more. */
const PLACES_MAX = 500_000;
/** Offsets are 32-bit: one exact number names a place for the first two million segments, 512 TiB. */
const OFFSETS = 2 ** 32;

/**
 * Remembers the last half of {@link PLACES_MAX} at least. In two sets, of which the older one goes as a whole: taking the oldest out of one set,
 * one at a time, means a walk each time over the holes that those before it left.
 */
export class VerifiedPlaces {
  #newer = new Set<number>();
  #older = new Set<number>();

  has(place: Place): boolean {
    const key = keyOf(place);
    return this.#newer.has(key) || this.#older.has(key);
  }

  add(place: Place): void {
    if (this.#newer.size >= PLACES_MAX / 2) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    this.#newer.add(keyOf(place));
  }

  remove(place: Place): void {
    const key = keyOf(place);
    this.#newer.delete(key);
    this.#older.delete(key);
  }
}

function keyOf({ segment, offset }: Place): number {
  return segment * OFFSETS + offset;
}

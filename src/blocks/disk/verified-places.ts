/** Places of the log whose block was found whole since the start of the process. */
type Place = { readonly segment: number; readonly offset: number };

/** Bounds memory to some tens of megabytes; what is forgotten is read once more. */
const PLACES_MAX = 500_000;
/** Offsets are 32-bit: one exact number names a place for the first two million segments, 512 TiB. */
const OFFSETS = 2 ** 32;

export class VerifiedPlaces {
  readonly #places = new Set<number>();

  has(place: Place): boolean {
    return this.#places.has(keyOf(place));
  }

  add(place: Place): void {
    if (this.#places.size >= PLACES_MAX) {
      const oldest = this.#places.values().next().value;
      if (oldest !== undefined) this.#places.delete(oldest);
    }
    this.#places.add(keyOf(place));
  }

  remove(place: Place): void {
    this.#places.delete(keyOf(place));
  }
}

function keyOf({ segment, offset }: Place): number {
  return segment * OFFSETS + offset;
}

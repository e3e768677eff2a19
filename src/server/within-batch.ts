import { limits } from '#core/limits.ts';
import type { PlacedPresence } from '#meta/copies.ts';

/** As many of the first as come to `bytesMax` together; one at least, where there is one. */
export function within<T>(items: readonly T[], bytesOf: (item: T) => number, bytesMax: number): readonly T[] {
  let bytes = 0;
  const over = items.findIndex((item, index) => (bytes += bytesOf(item)) > bytesMax && index > 0);
  return over < 0 ? items : items.slice(0, over);
}

/** As many of the first as are read at once. */
export function withinBatch(rows: readonly PlacedPresence[]): readonly PlacedPresence[] {
  return within(rows, ({ length }) => length, limits.batchBytesMax);
}

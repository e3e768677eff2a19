import { limits } from '#core/limits.ts';
import type { PlacedPresence } from '#meta/copies.ts';

/** As many of the first as are read at once. */
export function withinBatch(rows: readonly PlacedPresence[]): readonly PlacedPresence[] {
  let bytes = 0;
  const over = rows.findIndex((row, index) => (bytes += row.length) > limits.batchBytesMax && index > 0);
  return over < 0 ? rows : rows.slice(0, over);
}

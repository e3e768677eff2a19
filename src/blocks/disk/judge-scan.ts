/** Tells what a write left behind that was never finished from what was damaged later, in a segment that was read from front to back. */
import type { RecordHeader } from './segment-format.ts';
import type { Scanned } from './segment-scan.ts';

export type Bad = Extract<Scanned, { readonly kind: 'bad' }>;

export type ScanJudgement = {
  /** Records and damage, in the order of the log: it decides what a record means. */
  readonly kept: readonly Scanned[];
  /** Torn writes with whole records behind them. */
  readonly torn: readonly Bad[];
  /** From here on the segment holds nothing but torn writes; null where it ends with something else. */
  readonly cutAt: number | null;
};

/**
 * `indexedUpto`: all before was acknowledged, or may have been. `isLast`: nothing was written to a segment after a later one was begun,
 * and a later one is begun only after this one is durable.
 */
export function judgeScan(
  scanned: readonly Scanned[],
  { indexedUpto, isLast }: { readonly indexedUpto: number; readonly isLast: boolean },
): ScanJudgement {
  // A group is written only after all before it was durable: damage there is no torn write.
  const durableUpto = recordsOf(scanned).reduce((upto, { group }) => Math.max(upto, group), indexedUpto);
  const isTorn = (item: Scanned): item is Bad => item.kind === 'bad' && isLast && item.offset >= durableUpto;
  const tail = scanned.slice(scanned.findLastIndex((item) => !isTorn(item)) + 1);
  return {
    kept: scanned.filter((item) => !isTorn(item)),
    torn: scanned.slice(0, scanned.length - tail.length).filter(isTorn),
    cutAt: tail[0]?.kind === 'bad' ? tail[0].offset : null,
  };
}

export function recordsOf(scanned: readonly Scanned[]): readonly RecordHeader[] {
  return scanned.flatMap((item) => (item.kind === 'record' ? [item.header] : []));
}

/** Reads local files into what names their bytes, and keeps what it sealed on the way for the upload that may follow. */
import { HoldfastError } from '#core/errors.ts';
import type { EntryId } from '#core/ids.ts';
import { KIB, limits, MIB } from '#core/limits.ts';
import type { Sealed, SealOutcome } from '#world/folder.ts';
import type { Device } from './device.ts';
import { escapeForPeople } from '#core/escape.ts';
import type { LocalRow } from './rows.ts';
import { isRacy, parseStat } from './stat-text.ts';

/** Larger files go ahead of their commit under an upload of their own. */
export const SMALL_BYTES_MAX = 2 * MIB;
/** Plain bytes sealed in one call and sent in one commit: seals add a little. */
export const BATCH_PLAIN_BYTES_MAX = limits.batchBytesMax - 256 * KIB;
const KEPT_BYTES_MAX = 2 * BATCH_PLAIN_BYTES_MAX;

export type Read = { readonly sealed: Sealed; readonly stat: string; readonly racy: boolean };
export type ReadOrder = { readonly row: LocalRow; readonly path: string };

export class Reader {
  readonly #device: Device;
  readonly #kept = new Map<EntryId, Read>();
  #keptBytes = 0;
  /** The disk was not as the tree says: look at this path. */
  readonly #lookAt: (path: string) => void;

  constructor(device: Device, lookAt: (path: string) => void) {
    this.#device = device;
    this.#lookAt = lookAt;
  }

  /** Small files only, `BATCH_PLAIN_BYTES_MAX` in all. Null where it moved, is gone or cannot be read: the entry is deferred then. */
  async read(orders: readonly ReadOrder[]): Promise<Map<EntryId, Read | null>> {
    const { folder, keys, clock, compressing } = this.#device;
    const results = new Map<EntryId, Read | null>();
    const asked: ReadOrder[] = [];
    for (const order of orders) {
      const kept = this.#takeKept(order.row);
      if (kept) results.set(order.row.entry, kept);
      else asked.push(order);
    }
    if (asked.length === 0) return results;
    await compressing.learn();
    const startedMs = clock.nowMs();
    const outcomes = await folder.seal(
      asked.map(({ row, path }) => {
        const expect = parseStat(row.stat);
        return { path, expect, compression: compressing.of(path, expect.size) };
      }),
      keys(),
    );
    asked.forEach((order, index) => {
      const outcome = outcomes[index];
      results.set(order.row.entry, outcome ? this.#judge(order, outcome, startedMs) : null);
    });
    return results;
  }

  /** For an upload that may follow at once. */
  keep(entry: EntryId, read: Read): void {
    const length = read.sealed.content.size;
    if (this.#keptBytes + length > KEPT_BYTES_MAX) {
      this.#kept.clear();
      this.#keptBytes = 0;
    }
    this.#kept.set(entry, read);
    this.#keptBytes += length;
  }

  #takeKept(row: LocalRow): Read | null {
    const kept = this.#kept.get(row.entry);
    if (!kept) return null;
    this.#kept.delete(row.entry);
    this.#keptBytes -= kept.sealed.content.size;
    return kept.stat === row.stat ? kept : null;
  }

  #judge({ row, path }: ReadOrder, outcome: SealOutcome, startedMs: number): Read | null {
    const { deferrals } = this.#device;
    switch (outcome.kind) {
      case 'sealed':
        return { sealed: outcome, stat: row.stat, racy: isRacy(outcome.stat, startedMs) };
      case 'changed':
      case 'missing':
        this.#lookAt(path);
        deferrals.retry(row.entry);
        return null;
      default:
        deferrals.failed(row.entry, escapeForPeople(path), outcome.code, outcome.detail);
        return null;
    }
  }
}

export function fileSize(row: LocalRow): number {
  return parseStat(row.stat).size;
}

export function failureOf(outcome: { readonly code: HoldfastError['code']; readonly detail: string }): HoldfastError {
  return new HoldfastError(outcome.code, outcome.detail);
}

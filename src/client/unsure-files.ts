/**
 * Files whose stat does not tell yet whether somebody wrote to them: within the tick of its last change as many other bytes may leave a file's stat as it
 * was. What would replace or remove such a file waits until that tick is over, and reads it first: whatever is written from then on shows.
 */
import type { EntryId } from '#core/ids.ts';
import type { DownAction } from '#core/plan.ts';
import { contentOf } from './content-on-disk.ts';
import type { Device } from './device.ts';
import type { LocalRow } from './rows.ts';
import { isRacy, parseStat, tickMs } from './stat-text.ts';

export class UnsureFiles {
  readonly #device: Device;
  readonly #lookAt: (path: string) => void;
  /** Since when a tick is waited for, by a clock that nobody sets: by the disk's own, or another machine's, it may be over in ten years. */
  readonly #waiting = new Map<EntryId, { readonly stat: string; readonly sinceMs: number }>();

  constructor(device: Device, lookAt: (path: string) => void) {
    this.#device = device;
    this.#lookAt = lookAt;
  }

  /** Without what would replace or remove a file that is not sure, which joins `again`. */
  async leaveOut(actions: readonly DownAction[], again: Set<EntryId>): Promise<readonly DownAction[]> {
    const left = new Set<DownAction>();
    for (const action of actions) {
      if (action.kind !== 'down_update' && action.kind !== 'down_remove') continue;
      const row = this.#device.trees.local(action.entry);
      if (!row || (await this.isSure(row))) continue;
      left.add(action);
      again.add(action.entry);
    }
    return left.size === 0 ? actions : actions.filter((action) => !left.has(action));
  }

  /** Whether its bytes are those of this row for as long as its stat is. Where not, it is dirty from now on. */
  async isSure(row: LocalRow): Promise<boolean> {
    const { trees, state, dirty, deferrals } = this.#device;
    const path = row.racy && row.kind === 'file' ? trees.localPath(row.entry) : null;
    if (path === null) return true;
    const waitMs = this.#untilItTellsMs(row);
    if (waitMs > 0) {
      deferrals.postpone(row.entry, waitMs);
      return false;
    }
    const stat = parseStat(row.stat);
    if ((await contentOf(this.#device, path, stat)) === row.contentId) return true;
    state.transaction(() => {
      trees.putLocal({ ...row, contentId: null }, stat, true);
      dirty.add(row.entry, 'file');
    });
    this.#lookAt(path);
    return false;
  }

  #untilItTellsMs({ entry, stat: text }: LocalRow): number {
    const { clock } = this.#device;
    const stat = parseStat(text);
    if (!isRacy(stat, clock.nowMs())) {
      this.#waiting.delete(entry);
      return 0;
    }
    const waiting = this.#waiting.get(entry);
    const sinceMs = waiting?.stat === text ? waiting.sinceMs : clock.monotonicMs();
    this.#waiting.set(entry, { stat: text, sinceMs });
    return Math.max(0, sinceMs + tickMs(stat) - clock.monotonicMs());
  }
}

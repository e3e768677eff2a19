/** One plan: made of a part of the dirty set, carried out, and what it settled taken out of the set. */
import type { EntryId, OpId } from '#core/ids.ts';
import type { Plan } from '#core/plan.ts';
import { plan } from '#core/planner.ts';
import type { Attachment } from './attachment.ts';
import type { Settled, Totals } from './commits.ts';
import { linkCopies, type Copy } from './conflicts.ts';
import { freshId, type Device } from './device.ts';
import type { Downloader } from './down.ts';
import type { Observer } from './observer.ts';
import type { Pairing } from './pairing.ts';
import type { PlanReads } from './plan-reads.ts';
import { going } from './going.ts';
import { applyTreeActions, changeId } from './tree-actions.ts';
import type { Uploader } from './up.ts';

const ENTRIES_MAX = 4000;

export class PlanRun {
  readonly #device: Device;
  readonly #observer: Observer;
  readonly #attachment: Attachment;
  readonly #pairing: Pairing;
  readonly #reads: PlanReads;
  readonly #uploader: Uploader;
  readonly #downloader: Downloader;

  constructor(
    device: Device,
    observer: Observer,
    attachment: Attachment,
    parts: {
      readonly pairing: Pairing;
      readonly reads: PlanReads;
      readonly uploader: Uploader;
      readonly downloader: Downloader;
    },
  ) {
    this.#device = device;
    this.#observer = observer;
    this.#attachment = attachment;
    this.#pairing = parts.pairing;
    this.#reads = parts.reads;
    this.#uploader = parts.uploader;
    this.#downloader = parts.downloader;
  }

  /** False where nothing is dirty. Rejects with outages; whatever was not settled stays dirty. */
  async step(): Promise<boolean> {
    const { dirty, deferrals, trees, deviceName, clock, state } = this.#device;
    if (await this.#pairing.step()) return true;
    const batch = dirty.take(ENTRIES_MAX);
    if (batch.size === 0) return false;
    const date = new Date(clock.nowMs()).toISOString().slice(0, 10);
    this.#device.held.reconsider(batch.keys(), (found, entry) => changeId(this.#device, found, entry));
    const made = plan(trees, batch.keys(), { deviceName, date });
    const again = new Set(made.waiting);
    const done = await this.#carryOut(made, batch.keys(), again);
    state.transaction(() => {
      for (const [entry, mark] of batch) {
        if (again.has(entry)) continue;
        dirty.drop(entry, mark);
        deferrals.succeeded(entry);
      }
      for (const entry of again) if (!batch.has(entry)) dirty.keep(entry);
      // Nothing at all could be done: planning the same again at once would only turn in circles.
      if (done === 0) for (const entry of again) if (dirty.isReady(entry)) deferrals.retry(entry);
    });
    return true;
  }

  /** How much was done. */
  async #carryOut(made: Plan, batch: Iterable<EntryId>, again: Set<EntryId>): Promise<number> {
    const { state } = this.#device;
    let done = made.tree.length;
    const apply = () => applyTreeActions(this.#device, made.tree);
    // What is to leave this disk is written down for good before anything of it does, and no older state may go on from then: the next plan does the rest.
    if (made.tree.some(({ kind }) => kind === 'withdraw')) {
      state.durably(apply);
      this.#attachment.expire();
      for (const entry of batch) again.add(entry);
      return done;
    }
    if (made.tree.length > 0) state.transaction(apply);
    if (made.reads.length > 0) done += await this.#reads.carryOut(made.reads, again);
    if (made.up.length > 0 || made.conflicts.length > 0) {
      const copies: Copy[] = [];
      const up = this.#pairing.notSuspect(made.up, again);
      const groups = [...made.conflicts.map((conflict) => [conflict]), ...updatesFirst(up)];
      await this.#uploader.carryOut(groups, this.#totals(made), again, ({ applied }: Settled) => {
        done += applied.length;
        for (const sent of applied) {
          if (sent.kind !== 'copy') continue;
          copies.push(sent);
          this.#uploader.forgetCopy(sent.found);
        }
      });
      if (copies.length > 0) await linkCopies(this.#device, this.#observer, copies);
    }
    if (made.down.length > 0) {
      const failed = new Set<EntryId>();
      await this.#downloader.carryOut(made.down, failed);
      for (const entry of failed) again.add(entry);
      done += made.down.length - failed.size;
    }
    return done;
  }

  #totals(made: Plan): Totals {
    const actions = made.up.flat();
    const count = (kind: string) => actions.filter((action) => action.kind === kind).length;
    return {
      plan: freshId<OpId>(this.#device.random),
      creates: count('up_create') + made.conflicts.length,
      updates: count('up_update'),
      moves: count('up_move'),
      deletes: count('up_delete') === 0 ? 0 : going(this.#device),
    };
  }
}

/** What is written before something is deleted says why: the server looks at it (`weigh.ts`). Updates depend on nothing else of a plan. */
function updatesFirst(groups: Plan['up']): Plan['up'] {
  const isUpdate = (group: Plan['up'][number]) => group.every(({ kind }) => kind === 'up_update');
  return [...groups.filter(isUpdate), ...groups.filter((group) => !isUpdate(group))];
}

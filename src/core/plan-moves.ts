/**
 * Which local moves of folders may stand. Two moves, each right by itself, can put two folders into each other (A into B here, B into A by
 * another). The remote tree is the ground: local moves are added to it one by one where they close no circle; what is left is undone.
 */
import type { PlanView } from './plan-view.ts';
import { samePlace } from './plan-entry.ts';
import { ROOT_ENTRY, type EntryId } from './ids.ts';

export class PlanMoves {
  readonly #view: PlanView;
  readonly #stands = new Map<EntryId, boolean>();

  constructor(view: PlanView) {
    this.#view = view;
  }

  /** Moved here, and by nobody else: its local place is what remote should come to have. */
  isLocal(entry: EntryId): boolean {
    if (!this.#wantsLocal(entry)) return false;
    if (this.#view.local(entry)?.kind !== 'folder') return true;
    const known = this.#stands.get(entry);
    if (known !== undefined) return known;
    this.#judge(this.#movedAbove(entry));
    return this.#stands.get(entry) === true;
  }

  /** Parent in the merged tree that both sides go towards. */
  mergedParent(entry: EntryId): EntryId | null {
    const remote = this.#view.remote(entry);
    const local = this.#view.local(entry);
    if (!remote || (local && this.isLocal(entry))) return local?.parent ?? null;
    return remote.parent;
  }

  #wantsLocal(entry: EntryId): boolean {
    const remote = this.#view.remote(entry);
    const local = this.#view.local(entry);
    const base = this.#view.base(entry);
    if (!remote || !local || !base || local.parked) return false;
    return samePlace(remote, base) && !samePlace(local, base);
  }

  /**
   * The folders moved here that lie above `start`, by either tree, and itself. Whether a move closes a circle depends on these alone, so
   * that the judgement is the same whichever entry asks first.
   */
  #movedAbove(start: EntryId): EntryId[] {
    const seen = new Set<EntryId>([ROOT_ENTRY]);
    const open = [start];
    const moved: EntryId[] = [];
    for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
      if (seen.has(entry)) continue;
      seen.add(entry);
      if (this.#wantsLocal(entry)) moved.push(entry);
      const remote = this.#view.remote(entry);
      const local = this.#view.local(entry);
      if (remote) open.push(remote.parent);
      if (local) open.push(local.parent);
    }
    return moved.sort();
  }

  #judge(moved: readonly EntryId[]): void {
    const standing = new Set(moved.filter((entry) => this.#stands.get(entry) === true));
    for (let before = -1; before < standing.size; ) {
      before = standing.size;
      for (const entry of moved) if (!standing.has(entry) && this.#isFree(entry, standing)) standing.add(entry);
    }
    for (const entry of moved) this.#stands.set(entry, standing.has(entry));
  }

  #isFree(entry: EntryId, standing: ReadonlySet<EntryId>): boolean {
    const seen = new Set<EntryId>();
    let at = this.#view.local(entry)?.parent;
    while (at !== undefined && at !== ROOT_ENTRY && !seen.has(at)) {
      if (at === entry) return false;
      seen.add(at);
      const remote = this.#view.remote(at);
      at = remote && !standing.has(at) ? remote.parent : this.#view.local(at)?.parent;
    }
    return true;
  }
}

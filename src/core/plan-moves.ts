/**
 * Which local moves may stand. Two moves, each right by itself, can put two folders into each other (A into B here, B into A by
 * another). The remote tree is the ground: local moves are added to it one by one where they close no circle; what is left is undone.
 */
import type { PlanView } from './plan-view.ts';
import { samePlace } from './plan-entry.ts';
import type { EntryId } from './ids.ts';

export class PlanMoves {
  readonly #view: PlanView;
  readonly #stands = new Map<EntryId, boolean>();

  constructor(view: PlanView) {
    this.#view = view;
  }

  /** Moved here, and by nobody else: its local place is what remote should come to have. */
  isLocal(entry: EntryId): boolean {
    if (!this.#wantsLocal(entry)) return false;
    if (!this.#stands.has(entry)) this.#judge(this.#movedAbove(entry));
    return this.#stands.get(entry) === true;
  }

  #wantsLocal(entry: EntryId): boolean {
    const remote = this.#view.remote(entry);
    const local = this.#view.local(entry);
    const base = this.#view.base(entry);
    if (!remote || !local || !base || local.parked) return false;
    return samePlace(remote, base) && !samePlace(local, base);
  }

  /**
   * What was moved here and lies above `start`, by either tree, and itself. Whether a move closes a circle depends on these alone, so
   * that the judgement is the same whichever entry asks first.
   */
  #movedAbove(start: EntryId): readonly EntryId[] {
    const above = new Set([start]);
    for (const entry of above)
      for (const row of [this.#view.remote(entry), this.#view.local(entry)]) if (row) above.add(row.parent);
    return [...above].filter((entry) => this.#wantsLocal(entry)).sort();
  }

  #judge(moved: readonly EntryId[]): void {
    const standing = new Set<EntryId>();
    for (let before = -1; before < standing.size; ) {
      before = standing.size;
      for (const entry of moved) if (!standing.has(entry) && this.#isFree(entry, standing)) standing.add(entry);
    }
    for (const entry of moved) this.#stands.set(entry, standing.has(entry));
  }

  /** Where it lies here, it does not lie in itself. Between two rows of one group the remote tree may go round: it is walked once. */
  #isFree(entry: EntryId, standing: ReadonlySet<EntryId>): boolean {
    const passed = new Set<EntryId>();
    let at: { readonly parent: EntryId } | null = this.#view.local(entry);
    while (at && !passed.has(at.parent)) {
      if (at.parent === entry) return false;
      passed.add(at.parent);
      at = this.#placed(at.parent, standing);
    }
    return true;
  }

  #placed(entry: EntryId, standing: ReadonlySet<EntryId>): { readonly parent: EntryId } | null {
    const local = this.#view.local(entry);
    return standing.has(entry) ? local : (this.#view.remote(entry) ?? local);
  }
}

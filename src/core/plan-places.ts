/** What places a plan can count on: free names for copies, and the folders above that have to be in their place first. */
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { conflictName } from './name.ts';
import { isMovedDown, type Fates } from './plan-fate.ts';
import type { PlanNames } from './plan-names.ts';
import type { PlanView } from './plan-view.ts';
import type { PlanOptions } from './plan.ts';

export class Places {
  readonly #view: PlanView;
  readonly #fates: Fates;
  readonly #names: PlanNames;
  readonly #options: PlanOptions;
  readonly #actsUp = new Map<EntryId, EntryId | null>([[ROOT_ENTRY, null]]);
  readonly #actsDown = new Map<EntryId, EntryId | null>([[ROOT_ENTRY, null]]);

  constructor(view: PlanView, fates: Fates, names: PlanNames, options: PlanOptions) {
    this.#view = view;
    this.#fates = fates;
    this.#names = names;
    this.#options = options;
  }

  /** A conflict name that is free on both sides, and given once. */
  copyName(parent: EntryId, name: string): string {
    const given = conflictName(name, this.#options, (candidate) => !this.#names.isFree({ parent, name: candidate }));
    this.#names.give({ parent, name: given }, null);
    return given;
  }

  /**
   * The nearest folder that is made or moved on the server, from `folder` itself upwards in the tree to be. It goes first: so every
   * folder is moved to where all above it lies in its place already, and never into itself.
   */
  actsUpAt(folder: EntryId): EntryId | null {
    return this.#nearest(this.#actsUp, folder, () => !this.#view.remote(folder) || this.#fates.moves.isLocal(folder));
  }

  /** The same for the disk. */
  actsDownAt(folder: EntryId): EntryId | null {
    return this.#nearest(this.#actsDown, folder, () => {
      const fate = this.#fates.of(folder);
      return !this.#view.local(folder) || isMovedDown(fate) || fate.kind === 'unpark';
    });
  }

  #nearest(known: Map<EntryId, EntryId | null>, folder: EntryId, acts: () => boolean): EntryId | null {
    const found = known.get(folder);
    if (found !== undefined) return found;
    const nearest = acts() ? folder : this.#above(known, folder);
    known.set(folder, nearest);
    return nearest;
  }

  #above(known: Map<EntryId, EntryId | null>, folder: EntryId): EntryId | null {
    const above = this.#fates.moves.mergedParent(folder);
    if (above === null) return null;
    return known === this.#actsUp ? this.actsUpAt(above) : this.actsDownAt(above);
  }
}

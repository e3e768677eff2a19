/** What places a plan can count on: free names for copies, and the folders above that have to be in their place first. */
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { conflictName } from './name.ts';
import { isMovedDown, type Fates } from './plan-fate.ts';
import type { PlanNames } from './plan-names.ts';
import { remembered, walked, type PlanView } from './plan-view.ts';
import type { PlanOptions } from './plan.ts';

export class Places {
  readonly #view: PlanView;
  readonly #fates: Fates;
  readonly #names: PlanNames;
  readonly #options: PlanOptions;
  readonly #actsUp = new Map<EntryId, EntryId>();
  readonly #actsDown = new Map<EntryId, EntryId>();

  constructor(view: PlanView, fates: Fates, names: PlanNames, options: PlanOptions) {
    this.#view = view;
    this.#fates = fates;
    this.#names = names;
    this.#options = options;
  }

  /** A conflict name that is free on both sides, and given once. */
  copyName(parent: EntryId, name: string): string {
    const given = conflictName(name, this.#options, (candidate) => !this.#names.isFree({ parent, name: candidate }));
    this.#names.give({ parent, name: given });
    return given;
  }

  /**
   * The nearest folder that is made or moved on the server, from `folder` itself upwards in the tree to be; the root where none is. It goes
   * first: so every folder is moved to where all above it lies in its place already, and never into itself.
   */
  actsUpAt(folder: EntryId): EntryId {
    return walked(this.#actsUp, folder, ROOT_ENTRY, () => {
      const remote = this.#view.remote(folder);
      return !remote || this.#fates.moves.isLocal(folder) ? folder : this.actsUpAt(remote.parent);
    });
  }

  /** The same for the disk. */
  actsDownAt(folder: EntryId): EntryId {
    return remembered(this.#actsDown, folder, () => {
      const local = this.#view.local(folder);
      const fate = this.#fates.of(folder);
      return !local || isMovedDown(fate) || fate.kind === 'unpark' ? folder : this.actsDownAt(local.parent);
    });
  }
}

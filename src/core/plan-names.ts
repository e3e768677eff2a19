/**
 * What things are called on this disk. Two entries whose names it does not tell apart cannot lie side by side: whoever comes second gets
 * an alias, and its own name when that is free. Each spot is given once in a plan.
 */
import type { EntryId } from './ids.ts';
import { aliasName } from './name-profile.ts';
import type { Place } from './plan-entry.ts';
import type { PlanView } from './plan-view.ts';
import { nameHere, type LocalEntry } from './plan.ts';

export class PlanNames {
  readonly #view: PlanView;
  /** By spot: what has it in this plan. */
  readonly #given = new Map<string, string>();

  constructor(view: PlanView) {
    this.#view = view;
  }

  give(place: Place): void {
    this.#given.set(this.#view.spot(place), place.name);
  }

  /** Given under another name: both cannot be had. Who asks for one and the same name is another matter. */
  isClashing(place: Place): boolean {
    const given = this.#given.get(this.#view.spot(place));
    return given !== undefined && given !== place.name;
  }

  /** Nothing but `by` itself is there, or is called so in the space, and nothing is to be there. */
  isFree(place: Place, by: EntryId | null = null): boolean {
    const { parent, name } = place;
    const remote = this.#view.remoteAt(parent, name);
    return this.#isBare(place, by) && (remote === null || remote.entry === by);
  }

  /** What `entry` is called where something that this disk does not tell from it has the place. */
  clash({ parent, name }: Place, entry: EntryId): string {
    const isTaken = (place: Place) => this.#view.refuses(place) || !this.isFree(place, entry);
    const alias = aliasName(name, (candidate) => isTaken({ parent, name: candidate }));
    this.give({ parent, name: alias });
    return alias;
  }

  /** What is here is called as it was, where the disk cannot have its new name. Who is called so in the space comes second. */
  keep({ parent, name }: Place, local: LocalEntry): string {
    const here = nameHere(local);
    const place = { parent, name: here };
    if (!this.#isBare(place, local.entry)) return this.clash(place, local.entry);
    this.#given.set(this.#view.spot(place), name);
    return here;
  }

  #isBare(place: Place, by: EntryId | null): boolean {
    const there = this.#view.localAt(place.parent, place.name);
    return (there === null || there.entry === by) && !this.#given.has(this.#view.spot(place));
  }
}

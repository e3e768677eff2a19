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
  readonly #given = new Map<string, { readonly name: string; readonly to: EntryId | null }>();

  constructor(view: PlanView) {
    this.#view = view;
  }

  /** `to` null: to something that has no id yet. */
  give(place: Place, to: EntryId | null): void {
    this.#given.set(this.#view.spot(place), { name: place.name, to });
  }

  /** Under another name, to something else: both cannot be had. Who asks for one and the same name is another matter. */
  isClashing(place: Place, by: EntryId): boolean {
    const given = this.#given.get(this.#view.spot(place));
    return given !== undefined && given.name !== place.name && given.to !== by;
  }

  /** Nothing but `by` itself is there, is called so in the space, or is to be there. */
  isFree(place: Place, by: EntryId | null = null): boolean {
    const { parent, name } = place;
    const there = this.#view.localAt(parent, name);
    const given = this.#given.get(this.#view.spot(place));
    if ((there && there.entry !== by) || (given && (given.to === null || given.to !== by))) return false;
    const remote = this.#view.remoteAt(parent, name);
    return remote === null || remote.entry === by;
  }

  /** What `entry` is called where something that this disk does not tell from it has the place. */
  clash({ parent, name }: Place, entry: EntryId): string {
    const isTaken = (place: Place) => this.#view.refuses(place) || !this.isFree(place, entry);
    const alias = aliasName(name, (candidate) => isTaken({ parent, name: candidate }));
    this.give({ parent, name: alias }, entry);
    return alias;
  }

  /** What is here is called as it was, where the disk cannot have its new name. */
  keep(parent: EntryId, local: LocalEntry): string {
    const name = nameHere(local);
    const there = this.#view.localAt(parent, name);
    const place = { parent, name };
    if ((there && there.entry !== local.entry) || this.isClashing(place, local.entry))
      return this.clash(place, local.entry);
    this.give(place, local.entry);
    return name;
  }
}

/** The trees as one plan sees them: every row is asked for once, since each is looked at from several sides. */
import type { Entry } from './entry.ts';
import type { EntryId } from './ids.ts';
import { spotOf, type NameProfile } from './name-profile.ts';
import { samePlace, type Place } from './plan-entry.ts';
import type { LocalEntry, SyncedEntry, TreesView, Unwanted } from './plan.ts';

export class PlanView {
  readonly #trees: TreesView;
  readonly #remote = new Map<EntryId, Entry | null>();
  readonly #local = new Map<EntryId, LocalEntry | null>();
  readonly #synced = new Map<EntryId, SyncedEntry | null>();
  readonly #unwanted = new Map<EntryId, Unwanted | null>();
  readonly #parkedAbove = new Map<EntryId, EntryId | null>();

  constructor(trees: TreesView) {
    this.#trees = trees;
  }

  get appliedSeq(): number {
    return this.#trees.appliedSeq;
  }

  remote(entry: EntryId): Entry | null {
    return remembered(this.#remote, entry, () => this.#trees.remote(entry));
  }

  local(entry: EntryId): LocalEntry | null {
    return remembered(this.#local, entry, () => this.#trees.local(entry));
  }

  synced(entry: EntryId): SyncedEntry | null {
    return remembered(this.#synced, entry, () => this.#trees.synced(entry));
  }

  /**
   * The merge base: what both sides held when this entry was last equal on both. Null where it is not on this disk, or never was. What is on
   * its way out of the disk has one while it is there.
   */
  base(entry: EntryId): SyncedEntry | null {
    const synced = this.synced(entry);
    if (synced?.presence === 'not_selected') return this.local(entry) === null ? null : synced;
    return synced?.presence === 'here' ? synced : null;
  }

  get names(): NameProfile {
    return this.#trees.names;
  }

  refuses({ parent, name }: Place): boolean {
    return this.#trees.refuses(parent, name);
  }

  /** Where no two things can lie side by side on this disk. `name`: what the disk calls it. */
  spot({ parent, name }: Place): string {
    return `${parent}/${spotOf(this.names, name)}`;
  }

  /** Why a remote entry is not to be on this disk, be it for a folder above it. */
  unwanted(entry: EntryId): Unwanted | null {
    return walked(this.#unwanted, entry, null, () => {
      const remote = this.remote(entry);
      return remote && (this.unwanted(remote.parent) ?? this.#trees.unwanted(remote));
    });
  }

  /**
   * Whether what is on this disk of it is to go: not selected, or moved by another into an ignored folder, where this device looks at nothing. What
   * comes to be ignored where it lies stays.
   */
  isLeaving(entry: EntryId): boolean {
    const why = this.unwanted(entry);
    if (why !== 'ignored') return why === 'not_selected';
    const remote = this.remote(entry);
    const local = this.local(entry);
    if (!remote || !local) return false;
    if (samePlace(remote, local)) return this.isLeaving(local.parent);
    return this.unwanted(remote.parent) === 'ignored' && this.local(remote.parent) === null;
  }

  remoteAt(parent: EntryId, name: string): Entry | null {
    return this.#trees.remoteAt(parent, name);
  }

  localAt(parent: EntryId, name: string): LocalEntry | null {
    return this.#trees.localAt(parent, name);
  }

  remoteChildren(parent: EntryId): readonly EntryId[] {
    return this.#trees.remoteChildren(parent);
  }

  localChildren(parent: EntryId): readonly EntryId[] {
    return this.#trees.localChildren(parent);
  }

  /** The parked folder that `folder` is, or lies in: nothing in it has a path until it is back. */
  parkedAbove(folder: EntryId): EntryId | null {
    return remembered(this.#parkedAbove, folder, () => {
      const local = this.local(folder);
      return local?.parked ? folder : local && this.parkedAbove(local.parent);
    });
  }

  /** True where `inner` lies somewhere below `outer` on the disk. */
  isInside(inner: EntryId, outer: EntryId): boolean {
    for (let at = this.local(inner); at; at = this.local(at.parent)) if (at.parent === outer) return true;
    return false;
  }
}

/** `ask` is asked once for each entry. */
export function remembered<Value>(known: Map<EntryId, Value>, entry: EntryId, ask: () => Value): Value {
  const found = known.get(entry);
  if (found !== undefined) return found;
  const value = ask();
  known.set(entry, value);
  return value;
}

/**
 * The same for what asks its neighbours in turn. Between two rows of one group the remote tree may go round: who comes by again hears `round`.
 */
export function walked<Value>(known: Map<EntryId, Value>, entry: EntryId, round: Value, ask: () => Value): Value {
  return remembered(known, entry, () => {
    known.set(entry, round);
    return ask();
  });
}

/**
 * The part of a space's tree that a commit touches, as it becomes while the commit's operations are judged. What was loaded
 * is never changed: every change lies in a log, so that a group which fails leaves no trace.
 */
import type { Entry } from './entry.ts';
import { ROOT_ENTRY, type DeviceId, type EntryId } from './ids.ts';
import { limits } from './limits.ts';

/** An entry, and who made its content and gave it its place: for people, not for decisions. */
export type StoredEntry = Entry & { readonly revisedBy: DeviceId; readonly placedBy: DeviceId };

export type Place = {
  /** True where the way up ends at the root. False below the trash, and where a part of the way is missing. */
  readonly live: boolean;
  /** Steps to the root; the root's children have depth 1. Meaningless where it is not live. */
  readonly depth: number;
};

const ROOT_PLACE: Place = { live: true, depth: 0 };
const NOWHERE: Place = { live: false, depth: 0 };

type Change = { readonly entry: EntryId; readonly before: StoredEntry | null };

export class CommitTree {
  readonly #entries = new Map<EntryId, StoredEntry>();
  readonly #occupants = new Map<string, Set<EntryId>>();
  readonly #loadedChildren: ReadonlyMap<EntryId, readonly EntryId[]>;
  readonly #arrivals = new Map<EntryId, Set<EntryId>>();
  readonly #log: Change[] = [];
  #places = new Map<EntryId, Place>();

  constructor(entries: Iterable<StoredEntry>, loadedChildren: ReadonlyMap<EntryId, readonly EntryId[]>) {
    for (const entry of entries) {
      this.#entries.set(entry.entry, entry);
      this.#occupy(entry);
    }
    this.#loadedChildren = loadedChildren;
  }

  find(entry: EntryId): StoredEntry | null {
    return this.#entries.get(entry) ?? null;
  }

  put(next: StoredEntry): void {
    const before = this.#entries.get(next.entry) ?? null;
    this.#log.push({ entry: next.entry, before });
    this.#replace(before, next);
  }

  /** A point to come back to. */
  mark(): number {
    return this.#log.length;
  }

  rollback(mark: number): void {
    while (this.#log.length > mark) {
      const change = this.#log.pop() as Change;
      this.#replace(this.#entries.get(change.entry) ?? null, change.before);
    }
  }

  /** Entries that this commit has changed so far, each once. */
  touched(): ReadonlySet<EntryId> {
    return new Set(this.#log.map((change) => change.entry));
  }

  place(entry: EntryId): Place {
    const way: EntryId[] = [];
    let at = entry;
    let found: Place | undefined;
    // A loaded tree has no cycle; the bound keeps a damaged one from hanging the server.
    for (let step = 0; step <= limits.treeDepthMax + 1; step++) {
      if (at === ROOT_ENTRY) found = ROOT_PLACE;
      else found = this.#places.get(at);
      if (found) break;
      const stored = this.#entries.get(at);
      if (!stored) break;
      way.push(at);
      at = stored.parent;
    }
    let place = found ?? NOWHERE;
    for (const passed of way.reverse()) {
      place = place.live ? { live: true, depth: place.depth + 1 } : NOWHERE;
      this.#places.set(passed, place);
    }
    return place;
  }

  /** True where `folder` is `entry` or lies above it. */
  isWithin(entry: EntryId, folder: EntryId): boolean {
    let at = entry;
    for (let step = 0; step <= limits.treeDepthMax + 1; step++) {
      if (at === folder) return true;
      const stored = this.#entries.get(at);
      if (!stored) return false;
      at = stored.parent;
    }
    return false;
  }

  /** Another entry under that name, or null. */
  otherAt(entry: StoredEntry): EntryId | null {
    for (const other of this.#occupants.get(nameKey(entry.parent, entry.name)) ?? [])
      if (other !== entry.entry) return other;
    return null;
  }

  /** Null where the children of that folder were not loaded. */
  children(folder: EntryId): readonly EntryId[] | null {
    const loaded = this.#loadedChildren.get(folder);
    if (!loaded) return null;
    const present = new Set<EntryId>();
    for (const child of loaded) if (this.find(child)?.parent === folder) present.add(child);
    for (const child of this.#arrivals.get(folder) ?? []) if (this.find(child)?.parent === folder) present.add(child);
    return [...present];
  }

  #replace(before: StoredEntry | null, next: StoredEntry | null): void {
    if (before) this.#occupants.get(nameKey(before.parent, before.name))?.delete(before.entry);
    if (next) {
      this.#entries.set(next.entry, next);
      this.#occupy(next);
      const arrivals = this.#arrivals.get(next.parent) ?? new Set();
      this.#arrivals.set(next.parent, arrivals.add(next.entry));
    } else if (before) this.#entries.delete(before.entry);
    // A new entry changes nobody else's place, and its own was not known to be anything.
    if (before?.parent !== next?.parent && (before || !next)) this.#places = new Map();
    else if (next) this.#places.delete(next.entry);
  }

  #occupy(entry: StoredEntry): void {
    const key = nameKey(entry.parent, entry.name);
    const occupants = this.#occupants.get(key) ?? new Set();
    this.#occupants.set(key, occupants.add(entry.entry));
  }
}

function nameKey(parent: EntryId, name: string): string {
  return `${parent}/${name}`;
}

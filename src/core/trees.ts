/** Three trees in memory. */
import type { Entry } from './entry.ts';
import type { EntryId } from './ids.ts';
import { EXACT_NAMES, isRefused, spotOf, type NameProfile } from './name-profile.ts';
import { nameHere, type LocalEntry, type SyncedEntry, type TreesView, type Unwanted } from './plan.ts';

type Row = { readonly entry: EntryId; readonly parent: EntryId; readonly name: string };

export class MemoryTrees implements TreesView {
  readonly names: NameProfile;
  readonly remoteRows = new Tree<Entry>(({ name }) => name);
  readonly localRows: Tree<LocalEntry>;
  readonly syncedRows = new Tree<SyncedEntry>(({ name }) => name);
  appliedSeq = 0;
  /** What the person wants kept from this device. */
  wish: (entry: Entry) => Unwanted | null = () => null;

  constructor(names: NameProfile = EXACT_NAMES) {
    this.names = names;
    this.localRows = new Tree<LocalEntry>((row) => spotOf(names, nameHere(row)));
  }

  remote(entry: EntryId): Entry | null {
    return this.remoteRows.get(entry);
  }

  local(entry: EntryId): LocalEntry | null {
    return this.localRows.get(entry);
  }

  synced(entry: EntryId): SyncedEntry | null {
    return this.syncedRows.get(entry);
  }

  remoteAt(parent: EntryId, name: string): Entry | null {
    return this.remoteRows.at(parent, name, () => true);
  }

  localAt(parent: EntryId, name: string): LocalEntry | null {
    return this.localRows.at(parent, spotOf(this.names, name), (row) => !row.parked);
  }

  refuses(parent: EntryId, name: string): boolean {
    return isRefused(this.names, parent, name);
  }

  remoteChildren(parent: EntryId): readonly EntryId[] {
    return this.remoteRows.children(parent);
  }

  localChildren(parent: EntryId): readonly EntryId[] {
    return this.localRows.children(parent);
  }

  syncedChildren(parent: EntryId): readonly EntryId[] {
    return this.syncedRows.children(parent);
  }

  unwanted(entry: Entry): Unwanted | null {
    return this.wish(entry);
  }
}

export class Tree<Value extends Row> {
  /** By what its children are told apart in a folder. */
  readonly #spot: (row: Value) => string;
  readonly #rows = new Map<EntryId, Value>();
  readonly #children = new Map<EntryId, Set<EntryId>>();
  /** More than one where names change places and the second row is yet to come. */
  readonly #named = new Map<string, Set<EntryId>>();

  constructor(spot: (row: Value) => string) {
    this.#spot = spot;
  }

  get(entry: EntryId): Value | null {
    return this.#rows.get(entry) ?? null;
  }

  at(parent: EntryId, spot: string, isThere: (row: Value) => boolean): Value | null {
    for (const entry of this.#named.get(`${parent}/${spot}`) ?? []) {
      const row = this.#rows.get(entry);
      if (row && isThere(row)) return row;
    }
    return null;
  }

  /** In order of their ids. */
  children(parent: EntryId): readonly EntryId[] {
    return [...(this.#children.get(parent) ?? [])].sort();
  }

  put(row: Value): void {
    this.drop(row.entry);
    this.#rows.set(row.entry, row);
    insert(this.#children, row.parent, row.entry);
    insert(this.#named, this.#placeKey(row), row.entry);
  }

  drop(entry: EntryId): void {
    const row = this.#rows.get(entry);
    if (!row) return;
    this.#rows.delete(entry);
    remove(this.#children, row.parent, entry);
    remove(this.#named, this.#placeKey(row), entry);
  }

  values(): Iterable<Value> {
    return this.#rows.values();
  }

  get size(): number {
    return this.#rows.size;
  }

  #placeKey(row: Value): string {
    return `${row.parent}/${this.#spot(row)}`;
  }
}

function insert<Key>(index: Map<Key, Set<EntryId>>, key: Key, entry: EntryId): void {
  const entries = index.get(key);
  if (entries) entries.add(entry);
  else index.set(key, new Set([entry]));
}

function remove<Key>(index: Map<Key, Set<EntryId>>, key: Key, entry: EntryId): void {
  const entries = index.get(key);
  entries?.delete(entry);
  if (entries?.size === 0) index.delete(key);
}

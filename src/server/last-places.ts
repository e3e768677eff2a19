/** Where entries are, or were last: also those in the trash, which know the folder that they were deleted from. */
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { limits } from '#core/limits.ts';
import { entriesAt, entriesWithAncestors, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader, MetaStore } from '#meta/meta-store.ts';
import type { StoredSpace } from '#meta/spaces.ts';
import { journalOfFolders, trashedAs } from '#meta/stories.ts';
import type { Folders } from './placement.ts';

const SEQS_PER_STEP = 20_000;

export class LastPlaces {
  readonly #reader: MetaReader;
  readonly #space: SpaceId;
  readonly #known = new Map<EntryId, PooledEntry>();

  constructor(reader: MetaReader, space: SpaceId) {
    this.#reader = reader;
    this.#space = space;
  }

  async find(entry: EntryId): Promise<PooledEntry | null> {
    const known = this.#known.get(entry);
    if (known) return known;
    for (const one of await entriesWithAncestors(this.#reader, this.#space, [entry])) this.#known.set(one.entry, one);
    return this.#known.get(entry) ?? null;
  }

  /** Loads these in few queries, and all that is above them, or was when it was deleted. */
  async load(entries: readonly EntryId[]): Promise<void> {
    const asked = new Set<EntryId>([ROOT_ENTRY]);
    const isNew = (entry: EntryId) => !this.#known.has(entry) && !asked.has(entry);
    for (let wanted = entries.filter(isNew); wanted.length > 0; ) {
      for (const entry of wanted) asked.add(entry);
      const found = await entriesWithAncestors(this.#reader, this.#space, wanted);
      for (const one of found) this.#known.set(one.entry, one);
      wanted = found.flatMap(({ trashedFrom }) => trashedFrom ?? []).filter(isNew);
    }
  }

  known(entry: EntryId): PooledEntry | null {
    return this.#known.get(entry) ?? null;
  }

  /** Of what is known: where folders are, or were before they were deleted. */
  readonly folders: Folders = {
    find: (folder) => {
      const found = this.known(folder);
      return found && { name: found.name, parent: found.trashedFrom ?? found.parent };
    },
  };

  /** By the present names of the folders above. */
  async pathOf(parent: EntryId, name: string, trashedFrom: EntryId | null = null): Promise<string> {
    const names = [name];
    let at = parent === TRASH_ENTRY && trashedFrom !== null ? trashedFrom : parent;
    for (let step = 0; step <= limits.treeDepthMax && at !== ROOT_ENTRY; step++) {
      const folder = await this.find(at);
      if (!folder) break;
      names.push(folder.name);
      at = folder.trashedFrom ?? folder.parent;
    }
    return names.reverse().join('/');
  }
}

/** `entry` null: there is none; `folder` is the deepest of the path that there is, or was. */
export type ByPath = { readonly entry: EntryId | null; readonly folder: EntryId };

/** What is there first; then what was deleted from there, the newest first; then what once was there and is elsewhere now. */
export async function findByPath(meta: MetaStore, space: StoredSpace, path: string): Promise<ByPath> {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const { found, folders } = await meta.read((reader) => descend(reader, space.space, names));
  if (found.length > 0) return { entry: (found[0] as PooledEntry).entry, folder: ROOT_ENTRY };
  const [folder = ROOT_ENTRY] = folders.deepest;
  if (folders.parents.length === 0) return { entry: null, folder };
  return { entry: await onceThere(meta, space, folders.parents, names.at(-1) ?? ''), folder };
}

/** Level by level, among what is there and what was. The best come first. */
async function descend(reader: MetaReader, space: SpaceId, names: readonly string[]) {
  const trashed = names.length === 0 ? [] : await trashedAs(reader, space, [...new Set(names)]);
  let parents: readonly EntryId[] = [ROOT_ENTRY];
  let deepest = parents;
  let found: readonly PooledEntry[] = [];
  for (const [level, name] of names.entries()) {
    const places = parents.map((parent) => ({ parent, name }));
    const live = await entriesAt(reader, space, places);
    const byParent = new Map(live.map((entry) => [entry.parent, entry]));
    const gone = trashed
      .filter((entry) => entry.name === name && entry.trashedFrom !== null && parents.includes(entry.trashedFrom))
      .sort((left, right) => right.placed - left.placed);
    // In the order of the folders: what is below a folder that is there comes before what is below one that was.
    const ordered = parents.flatMap((parent) => [
      ...(byParent.get(parent) ? [byParent.get(parent) as PooledEntry] : []),
      ...gone.filter(({ trashedFrom }) => trashedFrom === parent),
    ]);
    if (level === names.length - 1) found = ordered;
    else {
      parents = ordered.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry);
      if (parents.length > 0) deepest = parents;
    }
  }
  return { found, folders: { parents, deepest } };
}

/** The last that the journal tells of. */
async function onceThere(
  meta: MetaStore,
  { space, headSeq }: StoredSpace,
  folders: readonly EntryId[],
  name: string,
): Promise<EntryId | null> {
  for (let below = headSeq + 1; below > 0; below -= SEQS_PER_STEP) {
    const range = { from: Math.max(0, below - SEQS_PER_STEP), below };
    const rows = await meta.read((reader) => journalOfFolders(reader, space, folders, range));
    for (const { row: bytes } of rows.toReversed()) {
      const row = parseRow(bytes);
      if (row.kind === 'entry' && row.entry.name === name) return row.entry.entry;
    }
  }
  return null;
}

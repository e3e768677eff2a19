/** Where the rules want a file of a space, from what the index knows of it. */
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { compileRules, lookAtPaths, type Placed, type Rule, type RuledFile } from '#core/rules.ts';
import { findAccount } from '#meta/accounts.ts';
import { allRules } from '#meta/clusters.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import type { StoredSpace } from '#meta/spaces.ts';

export type FileToPlace = {
  readonly parent: EntryId;
  readonly name: string;
  readonly size: number;
  /** When it got its content, by the server's clock; null: it gets it now. */
  readonly revisedMs: number | null;
};

/** Where folders are; null: not known. */
export type Folders = {
  find(entry: EntryId): { readonly parent: EntryId; readonly name: string } | null;
};

export class Placement {
  readonly #place: (file: RuledFile) => Placed;
  readonly #space: SpaceId;
  readonly #owner: string;
  readonly #nowMs: number;
  /** Whether trees that are handed in must hold the folders above a file. */
  readonly looksAtPaths: boolean;

  constructor(rules: readonly Rule[], space: SpaceId, owner: string, nowMs: number) {
    this.#place = compileRules(rules);
    this.#space = space;
    this.#owner = owner;
    this.#nowMs = nowMs;
    this.looksAtPaths = lookAtPaths(rules);
  }

  static async load(reader: MetaReader, space: StoredSpace, nowMs: number): Promise<Placement> {
    return Placement.of(reader, await allRules(reader), space, nowMs);
  }

  static async of(reader: MetaReader, rules: readonly Rule[], space: StoredSpace, nowMs: number): Promise<Placement> {
    const asksForOwner = rules.some(({ owner }) => owner !== undefined);
    const owner = asksForOwner ? ((await findAccount(reader, space.account))?.name ?? '') : '';
    return new Placement(rules, space.space, owner, nowMs);
  }

  /** A folder that is not known counts as the root. They matter only where this `looksAtPaths`. */
  find(folders: Folders | null, { parent, name, size, revisedMs }: FileToPlace): Placed {
    const path = folders ? pathAsFarAs(folders, parent, name) : name;
    const ageMs = revisedMs === null ? 0 : this.#nowMs - revisedMs;
    return this.#place({ path, size, space: this.#space, owner: this.#owner, ageMs });
  }
}

/** A loaded tree has no cycle; the bound keeps a damaged one from hanging the server. */
function pathAsFarAs(folders: Folders, parent: EntryId, name: string): string {
  const names = [name];
  let at = parent;
  for (let step = 0; step <= limits.treeDepthMax && at !== ROOT_ENTRY && at !== TRASH_ENTRY; step++) {
    const folder = folders.find(at);
    if (!folder) break;
    names.push(folder.name);
    at = folder.parent;
  }
  return names.reverse().join('/');
}

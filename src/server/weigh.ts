/** What a commit would do, as far as it counts (`core/holds.ts`): found out from the index alone, whatever its device says of it. */
import { CommitTree } from '#core/commit-tree.ts';
import type { TreeOperation } from '#core/commit.ts';
import { isGenerated } from '#core/generated.ts';
import { isCompressible, isHard, isOld, isTwin, NO_WEIGHT, twinStem, type Packed, type Weight } from '#core/holds.ts';
import { ROOT_ENTRY, type DeviceId, type EntryId, type ManifestId, type SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { limits } from '#core/limits.ts';
import { SEAL_OVERHEAD_BYTES } from '#core/seal.ts';
import { entriesAt, entriesWithAncestors, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { journalRowsAt } from '#meta/spaces.ts';
import { filesNamedLike, weighBelow } from '#meta/weights.ts';
import { placesOf } from './commit-blocks.ts';
import { isClaim, type Claim, type CommitItem } from './commit-claims.ts';
import { outlines } from './contents.ts';
import type { Folders, Placement } from './placement.ts';

/** Manifests looked at together: some are large. */
const MANIFESTS_AT_ONCE = 64;

export type Weighed = {
  /** By position, of the operations that weigh anything. */
  readonly weights: ReadonlyMap<number, Weight>;
  /** What does not go with the delete at `position`, provided that the move at `by` is applied. */
  readonly moved: readonly { readonly position: number; readonly by: number; readonly weight: Weight }[];
};

export const WEIGHS_NOTHING: Weighed = { weights: new Map(), moved: [] };

type Source = {
  readonly space: SpaceId;
  readonly device: DeviceId;
  readonly nowMs: number;
  readonly placement: Placement;
};
type Of<Kind extends TreeOperation['kind']> = Extract<TreeOperation, { kind: Kind }>;
type Going = { readonly position: number; readonly entry: PooledEntry };

export async function weigh(reader: MetaReader, source: Source, items: readonly CommitItem[]): Promise<Weighed> {
  const relevant = items.filter(({ operation: { kind } }) => kind !== 'create');
  if (!relevant.some(({ operation, claim }) => operation.kind === 'delete' || isClaim(claim))) return WEIGHS_NOTHING;
  const named = relevant.map(({ operation }) => operation.entry);
  const parents = items.flatMap(({ operation }) => ('parent' in operation ? [operation.parent] : []));
  const loaded = await entriesWithAncestors(reader, source.space, [...named, ...parents]);
  return new Weighing(reader, source, items, loaded).weigh();
}

class Weighing {
  readonly #reader: MetaReader;
  readonly #source: Source;
  readonly #items: readonly CommitItem[];
  readonly #entries: ReadonlyMap<EntryId, PooledEntry>;
  readonly #tree: CommitTree;
  readonly #places: Folders;
  readonly #generated = new Map<EntryId, boolean>([[ROOT_ENTRY, false]]);
  readonly #weights = new Map<number, Weight>();
  readonly #moved: Weighed['moved'][number][] = [];
  readonly #deleted: ReadonlySet<EntryId>;

  constructor(reader: MetaReader, source: Source, items: readonly CommitItem[], loaded: readonly PooledEntry[]) {
    this.#reader = reader;
    this.#source = source;
    this.#items = items;
    this.#entries = new Map(loaded.map((entry) => [entry.entry, entry]));
    this.#tree = new CommitTree(loaded, new Map());
    this.#places = placesOf(items, loaded);
    const operations = items.map(({ operation }) => operation);
    this.#deleted = new Set(operations.filter(({ kind }) => kind === 'delete').map(({ entry }) => entry));
  }

  async weigh(): Promise<Weighed> {
    const going: Going[] = [];
    const rewritten: (Going & { readonly claim: Claim })[] = [];
    for (const [position, { operation, claim }] of this.#items.entries()) {
      const entry = this.#entries.get(operation.entry);
      if (!entry || !this.#counts(entry)) continue;
      if (operation.kind === 'delete' && !this.#isBelowDeleted(entry.parent)) going.push({ position, entry });
      else if (operation.kind === 'update' && isClaim(claim) && entry.content && this.#isOld(entry))
        rewritten.push({ position, entry, claim });
    }
    await this.#weighDeletes(going);
    await this.#subtractMoved(going);
    await this.#spareWorkTrees(going);
    await this.#weighRewrites(rewritten);
    await this.#pairWithTwins(going);
    return { weights: this.#weights, moved: this.#moved };
  }

  #counts(entry: PooledEntry): boolean {
    return this.#tree.place(entry.entry).live && !this.#isWithinGenerated(entry.entry);
  }

  #isOld({ madeMs }: PooledEntry): boolean {
    return isOld(madeMs, this.#source.nowMs);
  }

  /** A folder that is generated, or anything below one. */
  #isWithinGenerated(entry: EntryId): boolean {
    const known = this.#generated.get(entry);
    if (known !== undefined) return known;
    const at = this.#entries.get(entry);
    if (!at) return false;
    const above = this.#entries.get(at.parent)?.name ?? '';
    const within = (at.kind === 'folder' && isGenerated(at.name, above)) || this.#isWithinGenerated(at.parent);
    this.#generated.set(entry, within);
    return within;
  }

  #isBelowDeleted(folder: EntryId): boolean {
    for (let at = this.#entries.get(folder); at; at = this.#entries.get(at.parent))
      if (this.#deleted.has(at.entry)) return true;
    return false;
  }

  async #weighDeletes(going: readonly Going[]): Promise<void> {
    for (const { position, entry } of going) {
      const { files, old } = await this.#weightOf(entry);
      if (files > 0) this.#weights.set(position, { files, old, hardened: 0 });
    }
  }

  async #weightOf(entry: PooledEntry): Promise<{ readonly files: number; readonly old: number }> {
    if (entry.kind !== 'folder') return { files: 1, old: this.#isOld(entry) ? 1 : 0 };
    return weighBelow(this.#reader, this.#source.space, entry, this.#source.nowMs);
  }

  /** What this very commit moves out of a folder before it deletes that does not go. */
  async #subtractMoved(going: readonly Going[]): Promise<void> {
    const positions = new Map(going.map(({ position, entry }) => [entry.entry, position]));
    for (const [by, { operation }] of this.#items.entries()) {
      if (operation.kind !== 'move' || this.#isBelowDeleted(operation.parent)) continue;
      const moved = this.#entries.get(operation.entry);
      if (!moved || !this.#counts(moved)) continue;
      let at = this.#entries.get(moved.parent);
      while (at && !positions.has(at.entry)) at = this.#entries.get(at.parent);
      const position = at && positions.get(at.entry);
      const before = position === undefined ? undefined : this.#weights.get(position);
      if (position === undefined || !before) continue;
      const weight = { ...NO_WEIGHT, ...(await this.#weightOf(moved)) };
      this.#moved.push({ position, by, weight });
      this.#weights.set(position, { ...before, files: before.files - weight.files, old: before.old - weight.old });
    }
  }

  /**
   * A checkout deletes thousands of files at a time. What lies in a git work tree does not count while its `.git` stays, and git has just
   * written its index or its head: it did the deleting, and can bring back what it deleted.
   */
  async #spareWorkTrees(going: readonly Going[]): Promise<void> {
    const folders = new Set<EntryId>();
    for (const { position, entry } of going) {
      if ((this.#weights.get(position)?.old ?? 0) === 0) continue;
      for (let at = entry.parent; !folders.has(at); at = this.#entries.get(at)?.parent ?? ROOT_ENTRY) folders.add(at);
    }
    if (folders.size === 0) return;
    const places = [...folders].map((parent) => ({ parent, name: '.git' }));
    const found = await entriesAt(this.#reader, this.#source.space, places);
    const repositories = found.filter(({ entry, kind }) => kind === 'folder' && !this.#deleted.has(entry));
    const atWork = await this.#whereGitIsAtWork(repositories);
    if (atWork.size === 0) return;
    for (const { position, entry } of going) {
      const weight = this.#weights.get(position);
      if (weight && this.#isBelowAny(entry, atWork)) this.#weights.set(position, { ...weight, old: 0 });
    }
  }

  #isBelowAny(entry: PooledEntry, folders: ReadonlySet<EntryId>): boolean {
    for (let at = entry.parent; ; at = this.#entries.get(at)?.parent ?? ROOT_ENTRY) {
      if (folders.has(at)) return true;
      if (at === ROOT_ENTRY) return false;
    }
  }

  /** The folders that hold these `.git` folders, where git has just written. */
  async #whereGitIsAtWork(repositories: readonly PooledEntry[]): Promise<ReadonlySet<EntryId>> {
    const { space, nowMs } = this.#source;
    const places = repositories.flatMap(({ entry }) => [
      { parent: entry, name: 'index' },
      { parent: entry, name: 'HEAD' },
    ]);
    const marks = await entriesAt(this.#reader, space, places);
    const rows = await journalRowsAt(
      this.#reader,
      space,
      marks.map(({ revision }) => revision),
    );
    const timeOf = new Map(rows.map(({ seq, row }) => [seq, parseRow(row).atMs]));
    const updated = new Set(this.#items.map(({ operation }) => operation.entry));
    const recent = marks.filter(
      ({ entry, revision }) => updated.has(entry) || (timeOf.get(revision) ?? 0) >= nowMs - limits.holdWindowMs,
    );
    const atWork = new Set(recent.map(({ parent }) => parent));
    return new Set(repositories.filter(({ entry }) => atWork.has(entry)).map(({ parent }) => parent));
  }

  async #weighRewrites(rewritten: readonly (Going & { readonly claim: Claim })[]): Promise<void> {
    const hardened = rewritten.filter(
      ({ entry, claim }) => isHard(packedOf(claim)) && !this.#isNeverCompressed(entry, claim.content.size),
    );
    const before = await this.#packed(hardened.map(({ entry }) => entry));
    for (const { position, entry } of hardened) {
      const old = before.get(entry.entry);
      if (old && isCompressible(old)) this.#weights.set(position, { ...NO_WEIGHT, hardened: 1 });
    }
    // Emptied in place is as good as deleted.
    for (const { position, entry, claim } of rewritten)
      if (claim.content.size === 0 && (entry.content?.size ?? 0) > 0)
        this.#weights.set(position, { ...NO_WEIGHT, old: 1 });
  }

  /** Deleted files beside which stands, since lately, what they may have been encrypted into. */
  async #pairWithTwins(going: readonly Going[]): Promise<void> {
    const { space, nowMs } = this.#source;
    const gone = going.filter(({ entry }) => entry.content && this.#isOld(entry));
    if (gone.length === 0) return;
    const ranges = new Map(
      gone.map(({ entry: { parent, name } }) => [`${parent}/${twinStem(name)}`, { parent, stem: twinStem(name) }]),
    );
    const near = (await filesNamedLike(this.#reader, space, [...ranges.values()], nowMs - limits.holdYoungMs)).filter(
      (made) =>
        made.revisedBy === this.#source.device &&
        !this.#deleted.has(made.entry) &&
        !this.#isNeverCompressed(made, made.content?.size ?? 0),
    );
    const made = this.#items.flatMap(({ operation, claim }) =>
      operation.kind === 'create' &&
      isClaim(claim) &&
      isHard(packedOf(claim)) &&
      !this.#isNeverCompressed(operation, claim.content.size)
        ? [operation]
        : [],
    );
    const beside = new Map<EntryId, { readonly name: string; readonly stored: PooledEntry | null }[]>();
    const note = (parent: EntryId, name: string, stored: PooledEntry | null) => {
      const known = beside.get(parent) ?? [];
      known.push({ name, stored });
      beside.set(parent, known);
    };
    for (const entry of near) note(entry.parent, entry.name, entry);
    for (const { parent, name } of made satisfies Of<'create'>[]) note(parent, name, null);
    const pairs = gone.flatMap(({ position, entry }) => {
      const twin = beside.get(entry.parent)?.find(({ name }) => isTwin(entry.name, name));
      return twin ? [{ position, entry, twin }] : [];
    });
    const packed = await this.#packed(
      pairs.flatMap(({ entry, twin }) => [entry, ...(twin.stored ? [twin.stored] : [])]),
    );
    for (const { position, entry, twin } of pairs) {
      const before = packed.get(entry.entry);
      const after = twin.stored ? packed.get(twin.stored.entry) : null;
      if (!before || !isCompressible(before) || after === undefined || (after && !isHard(after))) continue;
      this.#weights.set(position, { ...(this.#weights.get(position) ?? NO_WEIGHT), hardened: 1 });
    }
  }

  /** Where a rule says that nothing is compressed, stored lengths tell nothing. */
  #isNeverCompressed({ parent, name }: { readonly parent: EntryId; readonly name: string }, size: number): boolean {
    const { rule } = this.#source.placement.find(this.#places, { parent, name, size, revisedMs: null });
    return rule?.compression === 'none';
  }

  /** From the public parts of manifests: nobody reads a byte of a file for it. */
  async #packed(entries: readonly PooledEntry[]): Promise<ReadonlyMap<EntryId, Packed>> {
    const found = new Map<EntryId, Packed>();
    for (let start = 0; start < entries.length; start += MANIFESTS_AT_ONCE) {
      const some = entries.slice(start, start + MANIFESTS_AT_ONCE);
      const ids = some.flatMap(({ content }) => (content ? [content.manifestId] : []));
      const known = await outlines(this.#reader, this.#source.space, ids);
      for (const { entry, content } of some) {
        const outline = known.get(content?.manifestId as ManifestId);
        if (!content || !outline) continue;
        const storedBytes = outline.storedBytes - SEAL_OVERHEAD_BYTES * outline.blocks.length;
        found.set(entry, { size: content.size, storedBytes });
      }
    }
    return found;
  }
}

function packedOf({ content, blocks }: Claim): Packed {
  const storedBytes = blocks.reduce((sum, block) => sum + block.storedLength - SEAL_OVERHEAD_BYTES, 0);
  return { size: content.size, storedBytes };
}

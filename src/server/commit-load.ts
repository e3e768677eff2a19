/** Loads what a commit touches, in a handful of queries, whatever its size. */
import type { CommitState, TreeOperation } from '#core/commit.ts';
import { CommitTree } from '#core/commit-tree.ts';
import type { DeviceId, EntryId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import {
  childrenOf,
  entriesAt,
  entriesChangedAfter,
  entriesWithAncestors,
  heightOf,
  type PooledEntry,
} from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { purgedRoots } from '#meta/purging.ts';
import type { StoredSpace } from '#meta/spaces.ts';

export type LoadedState = CommitState & { readonly entries: readonly PooledEntry[] };

export async function loadCommitState(
  reader: MetaReader,
  space: StoredSpace,
  device: DeviceId,
  operations: readonly TreeOperation[],
): Promise<LoadedState> {
  const entries = new Map<EntryId, PooledEntry>();
  const keep = (found: readonly PooledEntry[]) => {
    for (const entry of found) entries.set(entry.entry, entry);
  };
  const named = new Set<EntryId>();
  const places: { parent: EntryId; name: string }[] = [];
  for (const operation of operations) {
    named.add(operation.entry);
    if (operation.kind !== 'create' && operation.kind !== 'move') continue;
    named.add(operation.parent);
    places.push({ parent: operation.parent, name: operation.name });
  }
  keep(await entriesWithAncestors(reader, space.space, [...named]));
  keep(await entriesAt(reader, space.space, places));
  const changedAfter = await loadChangedAfter(reader, space, operations);
  keep(await entriesWithAncestors(reader, space.space, changedAfter));
  const tree = new CommitTree(entries.values(), new Map());
  const children = new Map<EntryId, readonly EntryId[]>();
  for (const folder of foldersToLookInto(tree, operations, changedAfter)) {
    const found = await childrenOf(reader, space.space, [folder]);
    keep(found);
    children.set(
      folder,
      found.map(({ entry }) => entry),
    );
  }
  const heights = await loadHeights(reader, space, tree, operations);
  const all = [...entries.values()];
  const purged = await purgedRoots(reader, space.space, all);
  return { device, headSeq: space.headSeq, entries: all, children, changedAfter, heights, purged };
}

/** The queries go by seq: a device that is up to date costs nothing, however large the folder that it deletes. */
async function loadChangedAfter(
  reader: MetaReader,
  space: StoredSpace,
  operations: readonly TreeOperation[],
): Promise<readonly EntryId[]> {
  let basis = space.headSeq;
  for (const operation of operations) if (operation.kind === 'delete') basis = Math.min(basis, operation.basis);
  return basis < space.headSeq ? entriesChangedAfter(reader, space.space, basis) : [];
}

/** Every folder between what was changed and what this commit deletes or moves: only there can a delete have to choose. */
function foldersToLookInto(
  tree: CommitTree,
  operations: readonly TreeOperation[],
  changedAfter: readonly EntryId[],
): ReadonlySet<EntryId> {
  const touched = new Set(operations.filter(({ kind }) => kind !== 'update').map(({ entry }) => entry));
  const folders = new Set<EntryId>();
  for (const changed of changedAfter) {
    const way: EntryId[] = [];
    let at = tree.find(changed);
    for (let step = 0; at && step <= limits.treeDepthMax; step++) {
      if (at.kind === 'folder') way.push(at.entry);
      if (touched.has(at.entry)) for (const folder of way.splice(0)) folders.add(folder);
      at = tree.find(at.parent);
    }
  }
  return folders;
}

/** Only of folders that change their parent: nothing else can become deeper. */
async function loadHeights(
  reader: MetaReader,
  space: StoredSpace,
  tree: CommitTree,
  operations: readonly TreeOperation[],
): Promise<ReadonlyMap<EntryId, number>> {
  const heights = new Map<EntryId, number>();
  const moves = operations.filter((operation) => operation.kind === 'move');
  for (const { entry, parent } of moves) {
    const present = tree.find(entry);
    if (present?.kind !== 'folder' || present.parent === parent) continue;
    const oldPlace = tree.place(entry);
    const staysShallow = oldPlace.live && tree.place(parent).depth + 1 <= oldPlace.depth;
    // With more moves in one commit, its parent may become deeper before its turn comes.
    if (staysShallow && moves.length === 1) continue;
    heights.set(entry, await heightOf(reader, space.space, entry, limits.treeDepthMax + 1));
  }
  return heights;
}

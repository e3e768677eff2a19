/**
 * What a batch had placed, whole, when the client ended before it could say so. It enters the trees as the batch would have entered it: were it
 * found by the scan, as something that somebody made here, and had another device changed it in the meantime, that would look like a conflict.
 */
import type { Entry } from '#core/entry.ts';
import { ROOT_ENTRY, type ContentId, type EntryId } from '#core/ids.ts';
import type { Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { directoryOf, nameOf } from './path.ts';
import { isRacyPlaced } from './stat-text.ts';

/** `name`: what it is called, whatever the disk calls it. `text`: `placedText` of what was placed. */
export type Placed = {
  readonly path: string;
  readonly entry: EntryId;
  readonly text: string;
  readonly name: string;
};

/** What is written down of what is to be placed, so that it is known again: a file's content id, a link's target. Null where nothing can be placed. */
export function placedText({ kind, content, target }: Entry): string | null {
  if (kind === 'file') return content?.contentId ?? null;
  return kind === 'symlink' ? target : 'a folder';
}

/** Durable already, and what was written down. False where its place is not, or no longer, in the trees. */
export async function takePlaced(device: Device, placed: Placed, stat: Stat): Promise<boolean> {
  const { trees, state, dirty } = device;
  const { path, entry, text } = placed;
  const remote = trees.remote(entry);
  if (!remote || remote.kind !== stat.kind) return false;
  const { kind } = remote;
  const known = trees.local(entry);
  if (known && trees.localPath(entry) !== path) return false;
  const parent = await folderAt(device, directoryOf(path), remote.parent);
  if (parent === null) return false;
  const here = nameOf(path);
  if ((trees.localAt(parent, here)?.entry ?? entry) !== entry) return false;
  const { name } = known ?? placed;
  const alias = name === here ? null : here;
  const contentId = kind === 'file' ? (text as ContentId) : null;
  const target = kind === 'symlink' ? text : null;
  const exec = trees.isExec(stat, remote.exec);
  state.transaction(() => {
    trees.putLocal({ entry, parent, name, alias, kind, contentId, target, exec }, stat, isRacyPlaced(stat));
    const before = trees.synced(entry);
    if (!before) trees.putSynced({ ...remote, parent, name });
    if (contentId !== null) trees.setSyncedContent(entry, contentId, exec);
    if (target !== null) trees.setSyncedTarget(entry, target);
    dirty.add(entry, kind);
  });
  return true;
}

/** The folder of the local tree at that path. One that the same batch made, by the remote tree, is taken as well. */
async function folderAt(device: Device, path: string, entry: EntryId): Promise<EntryId | null> {
  const { trees, folder, state, dirty } = device;
  const known = trees.localFolderAt(path);
  if (known !== null || path === '') return known;
  const remote = entry === ROOT_ENTRY ? null : trees.remote(entry);
  const name = nameOf(path);
  if (remote?.kind !== 'folder' || remote.name !== name || trees.local(entry)) return null;
  const parent = await folderAt(device, directoryOf(path), remote.parent);
  if (parent === null || trees.localAt(parent, name)) return null;
  const [found] = await folder.look([path]);
  if (!found || !('stat' in found) || found.stat.kind !== 'folder') return null;
  state.transaction(() => {
    trees.putLocal(
      { entry, parent, name, alias: null, kind: 'folder', contentId: null, target: null, exec: false },
      found.stat,
      false,
    );
    if (!trees.synced(entry)) trees.putSynced({ ...remote, parent, name });
    dirty.add(entry, 'folder');
  });
  return entry;
}

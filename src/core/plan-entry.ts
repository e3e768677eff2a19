/** Three-way comparisons of one entry. Pure, without a look at any other entry. */
import type { Entry } from './entry.ts';
import type { EntryId } from './ids.ts';
import type { LocalEntry, SyncedEntry } from './plan.ts';

export type Place = { readonly parent: EntryId; readonly name: string };

export function samePlace(left: Place, right: Place): boolean {
  return left.parent === right.parent && left.name === right.name;
}

/**
 * `clash`: both sides changed it, differently. `read`: the local bytes must be known to decide. What both sides say of a file is its content;
 * the exec bit follows the side that changed the content, and merges by itself only where no content changed.
 */
export type ContentMove = 'none' | 'up' | 'down' | 'clash' | 'read';

export function contentMove(remote: Entry, local: LocalEntry, base: SyncedEntry | null): ContentMove {
  switch (remote.kind) {
    case 'file':
      return fileMove(remote, local, base);
    case 'symlink':
      return linkMove(remote, local, base);
    case 'folder':
    case 'mount':
      return 'none';
  }
}

function fileMove(remote: Entry, local: LocalEntry, base: SyncedEntry | null): ContentMove {
  const theirs = remote.content?.contentId ?? null;
  const ours = local.contentId;
  if (base && theirs === base.contentId) {
    if (ours !== base.contentId) return 'up';
    if (local.exec === remote.exec) return 'none';
    return local.exec === base.exec ? 'down' : 'up';
  }
  if (ours === null) return 'read';
  if (ours === theirs) return local.exec === remote.exec ? 'none' : 'down';
  return base && ours === base.contentId ? 'down' : 'clash';
}

function linkMove(remote: Entry, local: LocalEntry, base: SyncedEntry | null): ContentMove {
  if (local.target === remote.target) return 'none';
  if (base && remote.target === base.target) return 'up';
  return base && local.target === base.target ? 'down' : 'clash';
}

/** True where the remote entry is, in what it holds and where it lies, what this device had on its disk. */
export function unchangedSince(base: SyncedEntry, remote: Entry): boolean {
  return samePlace(remote, base) && sameState(remote, base);
}

function sameState(remote: Entry, base: SyncedEntry): boolean {
  return (
    (remote.content?.contentId ?? null) === base.contentId &&
    remote.target === base.target &&
    remote.exec === base.exec &&
    remote.kind === base.kind
  );
}

/** Null where the bytes must be read to know. */
export function editedSince(base: SyncedEntry, local: LocalEntry): boolean | null {
  if (local.kind !== base.kind || local.target !== base.target || local.exec !== base.exec) return true;
  if (local.kind !== 'file') return false;
  return local.contentId === null ? null : local.contentId !== base.contentId;
}

/** Synced differs from remote in something, if only in the number of a revision. */
export function isBehind(base: SyncedEntry, remote: Entry): boolean {
  return base.revision !== remote.revision || base.placed !== remote.placed || !unchangedSince(base, remote);
}

/**
 * True where synced may become what remote is: in place and in state alike, either remote left alone what this device had, or the disk is
 * equal already. What the disk then still differs in was changed here alone.
 */
export function mayAgree(remote: Entry, local: LocalEntry, base: SyncedEntry | null): boolean {
  const equalState =
    local.kind === remote.kind &&
    local.contentId === (remote.content?.contentId ?? null) &&
    local.target === remote.target &&
    local.exec === remote.exec;
  const placeAgrees = samePlace(remote, local) || (base !== null && samePlace(remote, base));
  return placeAgrees && !local.parked && (equalState || (base !== null && sameState(remote, base)));
}

/** True where synced still differs from remote when the aspects that this plan settles have become what remote is. */
export function leftBehind(
  remote: Entry,
  base: SyncedEntry | null,
  settles: { readonly place: boolean; readonly state: boolean },
): boolean {
  if (!base) return settles.place || settles.state;
  if (!settles.place && !settles.state) return false;
  const placeBehind = !samePlace(remote, base) || base.placed !== remote.placed;
  const stateBehind = !sameState(remote, base) || base.revision !== remote.revision;
  return (placeBehind && !settles.place) || (stateBehind && !settles.state);
}

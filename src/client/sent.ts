/** What a commit asked for, kept with its op id until its answer is in the trees: the answer alone says only "applied". */
import { unreachable } from '#core/assert.ts';
import type { Entry, FileContent } from '#core/entry.ts';
import type { EntryId, ManifestId } from '#core/ids.ts';
import { dirtyAbsentBelow } from './absent.ts';
import { changeId } from './tree-actions.ts';
import type { Device } from './device.ts';
import { noteForMerging } from './merging.ts';

/** The file's state that the bytes were read from. */
export type ReadFrom = { readonly stat: string; readonly racy: boolean };

export type Sent =
  | { readonly kind: 'create'; readonly entry: Entry; readonly read: ReadFrom | null }
  | {
      readonly kind: 'update';
      readonly entry: EntryId;
      readonly content: FileContent | null;
      readonly target: string | null;
      readonly mtimeUs: number;
      readonly exec: boolean;
      readonly read: ReadFrom | null;
    }
  | { readonly kind: 'move'; readonly entry: EntryId; readonly parent: EntryId; readonly name: string }
  | { readonly kind: 'delete'; readonly entry: EntryId }
  /**
   * The local side of a conflict, under an id and name of its own. `of`: the entry that keeps the place; `found`: the local row there. `base`: the
   * manifest of what both sides changed; null where there is none, or it is not known.
   */
  | {
      readonly kind: 'copy';
      readonly entry: Entry;
      readonly of: EntryId;
      readonly found: EntryId;
      readonly base: ManifestId | null;
      readonly read: ReadFrom;
    };

/** The entry that is dirty on account of it. */
export function subjectOf(sent: Sent): EntryId {
  if (sent.kind === 'copy') return sent.found;
  return sent.kind === 'create' ? sent.entry.entry : sent.entry;
}

/**
 * Puts an applied operation into the trees: what was sent is what both sides agree on. False where only the journal can tell: others' rows, or
 * others of the same commit, made room for a move and are not in the tree yet. Call inside a transaction.
 */
export function applySent(device: Device, sent: Sent, seq: number): boolean {
  if (sent.kind === 'move' && device.trees.goesRound(sent.entry, sent.parent)) return false;
  enterSent(device, sent, seq);
  return true;
}

function enterSent(device: Device, sent: Sent, seq: number): void {
  const { trees } = device;
  switch (sent.kind) {
    case 'create': {
      const made: Entry = { ...sent.entry, revision: seq, placed: seq, seq };
      trees.putRemote(made);
      trees.putSynced(made);
      if (sent.read && made.content) rememberContent(device, made.entry, made.content, sent.read);
      device.selection.keepMade(made.entry, made.kind);
      return;
    }
    case 'update': {
      const remote = trees.remote(sent.entry);
      if (!remote) return;
      const content = sent.content ?? remote.content;
      const made: Entry = {
        ...remote,
        content,
        target: sent.target,
        mtimeUs: sent.mtimeUs,
        exec: sent.exec,
        revision: seq,
        seq,
      };
      trees.putRemote(made);
      const before = trees.synced(sent.entry);
      // The place is another matter: what was agreed on about it stays.
      trees.putSynced(before ? { ...made, parent: before.parent, name: before.name, placed: before.placed } : made);
      if (sent.read && sent.content) rememberContent(device, sent.entry, sent.content, sent.read);
      return;
    }
    case 'move': {
      const remote = trees.remote(sent.entry);
      if (!remote) return;
      const made: Entry = { ...remote, parent: sent.parent, name: sent.name, placed: seq, seq };
      trees.putRemote(made);
      trees.moveSynced(sent.entry, sent.parent, sent.name, seq);
      device.selection.keepMade(sent.entry, made.kind);
      dirtyAbsentBelow(device, sent.entry, made.kind);
      return;
    }
    case 'delete':
      // Rows say what went: others may have changed something below it.
      return;
    case 'copy':
      return applyCopy(device, sent, seq);
    default:
      return unreachable(sent);
  }
}

function rememberContent(device: Device, entry: EntryId, content: FileContent, read: ReadFrom): void {
  if (device.trees.local(entry)?.stat === read.stat) device.trees.setLocalContent(entry, content.contentId, read.racy);
}

/**
 * The copy is only in the remote tree until its second name stands on the disk: without that it would look as if it had been deleted
 * here. Its bytes are safe, so that the entry's own bytes may now be replaced.
 */
function applyCopy(device: Device, sent: Extract<Sent, { kind: 'copy' }>, seq: number): void {
  const { trees, dirty } = device;
  const { content, exec } = sent.entry;
  const copy: Entry = { ...sent.entry, revision: seq, placed: seq, seq };
  trees.putRemote(copy);
  dirty.add(copy.entry, 'file');
  if (!content) return;
  if (sent.base) noteForMerging(device, copy, sent.of, sent.base);
  rememberContent(device, sent.found, content, sent.read);
  device.selection.keepMade(copy.entry, 'file');
  if (sent.found !== sent.of) {
    changeId(device, sent.found, sent.of);
    device.selection.keepFound(sent.of);
  }
  const remote = trees.remote(sent.of);
  if (!trees.synced(sent.of) && remote) trees.putSynced(remote);
  trees.setSyncedContent(sent.of, content.contentId, exec);
  // It may have been absent until its place was found taken: now it has a merge base.
  trees.setPresence(sent.of, 'here');
  dirty.add(sent.of, 'file');
}

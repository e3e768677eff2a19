/** How a commit's create, update and move are judged. Each either writes one row, or none where its wish is the present state. */
import type { CommitContext, NewState, TreeAnswer, TreeOperation } from './commit.ts';
import type { StoredEntry } from './commit-tree.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId } from './ids.ts';
import { limits } from './limits.ts';
import { utf8 } from './bytes.ts';
import { judgeName } from './name.ts';

type Of<Kind extends TreeOperation['kind']> = Extract<TreeOperation, { kind: Kind }>;

const applied = (seq: number): TreeAnswer => ({ kind: 'applied', seq, survivors: 0 });
const invalid = (code: 'invalid_name' | 'invalid_field' | 'too_large', detail: string): TreeAnswer => ({
  kind: 'invalid',
  code,
  detail,
});
const conflict = (why: 'changed' | 'gone' | 'exists' | 'parent_gone' | 'cycle'): TreeAnswer => ({
  kind: 'conflict',
  why,
});

export function judgeCreate(context: CommitContext, operation: Of<'create'>): TreeAnswer {
  const malformed =
    judgeEntryId(operation.entry) ??
    judgeNewName(operation.name) ??
    (operation.state.kind === 'symlink' ? judgeTarget(operation.state.target) : null);
  if (malformed) return malformed;
  const { tree } = context;
  const present = tree.find(operation.entry);
  if (present) {
    // Below the trash it is not there, though nothing of its own row says so.
    const same =
      present.parent === operation.parent &&
      present.name === operation.name &&
      tree.place(present.entry).live &&
      sameState(present, operation.state);
    return same ? applied(present.seq) : conflict('exists');
  }
  const parentPlace = liveFolder(context, operation.parent);
  if (!parentPlace) return conflict('parent_gone');
  if (parentPlace.depth + 1 > limits.treeDepthMax) return tooDeep();
  const { state } = operation;
  const seq = context.nextSeq();
  context.write(
    {
      entry: operation.entry,
      parent: operation.parent,
      name: operation.name,
      kind: state.kind,
      revision: seq,
      placed: seq,
      seq,
      content: state.kind === 'file' ? state.content : null,
      target: state.kind === 'symlink' ? state.target : null,
      mtimeUs: state.kind === 'file' ? state.mtimeUs : 0,
      exec: state.kind === 'file' ? state.exec : false,
      trashedFrom: null,
      revisedBy: context.state.device,
      placedBy: context.state.device,
    },
    0,
  );
  return applied(seq);
}

export function judgeUpdate(context: CommitContext, operation: Of<'update'>): TreeAnswer {
  const malformed = judgeEntryId(operation.entry) ?? (operation.target === null ? null : judgeTarget(operation.target));
  if (malformed) return malformed;
  const present = context.tree.find(operation.entry);
  if (!present || !context.tree.place(operation.entry).live) return conflict('gone');
  const next = updated(present, operation);
  if (!next) return invalid('invalid_field', `a ${present.kind} cannot be updated like this`);
  if (sameRevision(present, next)) return applied(present.seq);
  if (present.revision !== operation.base) return conflict('changed');
  const seq = context.nextSeq();
  context.write({ ...next, revision: seq, seq, revisedBy: context.state.device }, operation.base);
  return applied(seq);
}

function updated(present: StoredEntry, operation: Of<'update'>): StoredEntry | null {
  if (present.kind === 'file' && operation.target === null)
    return {
      ...present,
      content: operation.content ?? present.content,
      mtimeUs: operation.mtimeUs,
      exec: operation.exec,
    };
  if (present.kind === 'symlink' && operation.target !== null && operation.content === null)
    return { ...present, target: operation.target };
  return null;
}

export function judgeMove(context: CommitContext, operation: Of<'move'>): TreeAnswer {
  const malformed = judgeEntryId(operation.entry) ?? judgeNewName(operation.name);
  if (malformed) return malformed;
  const { tree } = context;
  const present = tree.find(operation.entry);
  if (!present) return conflict('gone');
  if (present.parent === operation.parent && present.name === operation.name && tree.place(present.entry).live)
    return applied(present.seq);
  if (present.placed !== operation.base) return conflict(tree.place(present.entry).live ? 'changed' : 'gone');
  const parentPlace = liveFolder(context, operation.parent);
  if (!parentPlace) return conflict(tree.isWithin(operation.parent, present.entry) ? 'cycle' : 'parent_gone');
  if (tree.isWithin(operation.parent, present.entry)) return conflict('cycle');
  const oldPlace = tree.place(present.entry);
  if (!oldPlace.live && isPurged(context, present)) return conflict('gone');
  const depth = parentPlace.depth + 1;
  if ((!oldPlace.live || depth > oldPlace.depth) && depth + heightOf(context, present) > limits.treeDepthMax)
    return tooDeep();
  const seq = context.nextSeq();
  context.write(
    {
      ...present,
      parent: operation.parent,
      name: operation.name,
      placed: seq,
      seq,
      trashedFrom: null,
      placedBy: context.state.device,
    },
    operation.base,
  );
  return applied(seq);
}

function isPurged({ tree, state }: CommitContext, { entry }: StoredEntry): boolean {
  return [...state.purged].some((root) => tree.isWithin(entry, root));
}

/** Levels below `folder`: as stored, and of what this commit has put there since. */
function heightOf(context: CommitContext, folder: StoredEntry): number {
  const { tree, state } = context;
  let height = state.heights.get(folder.entry) ?? 0;
  for (const entry of tree.touched()) {
    if (entry === folder.entry || !tree.isWithin(entry, folder.entry)) continue;
    let levels = state.heights.get(entry) ?? 0;
    for (let at = entry; at !== folder.entry; levels++) at = tree.find(at)?.parent ?? folder.entry;
    height = Math.max(height, levels);
  }
  return height;
}

/** The place of a folder that entries may be put into; null where there is none. */
function liveFolder(context: CommitContext, folder: EntryId) {
  if (folder === TRASH_ENTRY) return null;
  if (folder !== ROOT_ENTRY && context.tree.find(folder)?.kind !== 'folder') return null;
  const place = context.tree.place(folder);
  return place.live ? place : null;
}

function sameState(present: StoredEntry, state: NewState): boolean {
  if (present.kind !== state.kind) return false;
  if (state.kind === 'symlink') return present.target === state.target;
  if (state.kind === 'folder') return true;
  return (
    present.content?.manifestId === state.content.manifestId &&
    present.mtimeUs === state.mtimeUs &&
    present.exec === state.exec
  );
}

function sameRevision(left: StoredEntry, right: StoredEntry): boolean {
  return (
    left.content?.manifestId === right.content?.manifestId &&
    left.target === right.target &&
    left.mtimeUs === right.mtimeUs &&
    left.exec === right.exec
  );
}

function judgeEntryId(entry: EntryId): TreeAnswer | null {
  return entry === ROOT_ENTRY || entry === TRASH_ENTRY
    ? invalid('invalid_field', 'the root and the trash are not made, changed or moved')
    : null;
}

function judgeNewName(name: string): TreeAnswer | null {
  const why = judgeName(name);
  return why === null ? null : invalid('invalid_name', why);
}

function judgeTarget(target: string): TreeAnswer | null {
  if (target.includes('\0')) return invalid('invalid_field', 'a link target holds no NUL');
  if (!target.isWellFormed()) return invalid('invalid_field', 'a link target is well-formed Unicode');
  if (utf8(target).length > limits.symlinkTargetBytesMax)
    return invalid('too_large', `a link target has ${limits.symlinkTargetBytesMax} bytes at most`);
  return null;
}

function tooDeep(): TreeAnswer {
  return invalid('too_large', `a tree is ${limits.treeDepthMax} levels deep at most`);
}

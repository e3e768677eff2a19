/**
 * What becomes of a commit: a pure decision over the rows that it touches. The server loads, this decides, the server writes.
 * After every commit the tree is well-formed: one parent each, no cycle, no orphan, no two live entries of a parent under one name.
 */
import { judgeDelete } from './commit-delete.ts';
import { judgeCreate, judgeMove, judgeUpdate } from './commit-operation.ts';
import { CommitTree, type StoredEntry } from './commit-tree.ts';
import type { Entry, FileContent } from './entry.ts';
import { TRASH_ENTRY, type DeviceId, type EntryId } from './ids.ts';
import { unreachable } from './assert.ts';

export type NewState =
  | { readonly kind: 'file'; readonly content: FileContent; readonly mtimeUs: number; readonly exec: boolean }
  | { readonly kind: 'folder' }
  | { readonly kind: 'symlink'; readonly target: string };

export type TreeOperation =
  | {
      readonly kind: 'create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly state: NewState;
    }
  | {
      readonly kind: 'update';
      readonly entry: EntryId;
      readonly base: number;
      readonly content: FileContent | null;
      readonly target: string | null;
      readonly mtimeUs: number;
      readonly exec: boolean;
    }
  | {
      readonly kind: 'move';
      readonly entry: EntryId;
      readonly base: number;
      readonly parent: EntryId;
      readonly name: string;
    }
  | { readonly kind: 'delete'; readonly entry: EntryId; readonly basis: number };

export type TreeRefusal =
  | { readonly kind: 'conflict'; readonly why: 'changed' | 'gone' | 'exists' | 'parent_gone' | 'cycle' }
  | { readonly kind: 'name_taken'; readonly by: EntryId }
  | {
      readonly kind: 'invalid';
      readonly code: 'invalid_name' | 'invalid_field' | 'too_large';
      readonly detail: string;
    }
  | { readonly kind: 'group_failed' };

export type TreeAnswer = { readonly kind: 'applied'; readonly seq: number; readonly survivors: number } | TreeRefusal;

/** What the server loaded under the space's lock. */
export type CommitState = {
  readonly device: DeviceId;
  readonly headSeq: number;
  /**
   * Every entry that an operation names as itself or as a parent, those under the names that operations give, the ones in `changedAfter`,
   * the listed children, and all their ancestors.
   */
  readonly entries: Iterable<StoredEntry>;
  /** All children of the folders from deleted ones down to what was changed in them, that included. */
  readonly children: ReadonlyMap<EntryId, readonly EntryId[]>;
  /** Entries that were made, changed or placed after the lowest basis of the commit's deletes. */
  readonly changedAfter: readonly EntryId[];
  /** Levels below moved folders, as stored: 0 for a folder without children. Those that are missing count as 0. */
  readonly heights: ReadonlyMap<EntryId, number>;
  /** Of the trash's own children those that do not come back, nor anything below them: their bytes are kept no more. */
  readonly purged: ReadonlySet<EntryId>;
};

/** One journal row to be: seqs are consecutive from `headSeq + 1`. */
export type CommitRow = { readonly entry: Entry; readonly base: number };

export type Decision<Refusal> = {
  /** In the order of the operations, groups laid end to end. */
  readonly answers: readonly (TreeAnswer | Refusal)[];
  readonly rows: readonly CommitRow[];
  /** Last state of every entry that a row changed. */
  readonly changed: readonly StoredEntry[];
};

/** What judging an operation needs. Rows are put in order; `take` gives the seq of the next one. */
export type CommitContext = {
  readonly tree: CommitTree;
  readonly state: CommitState;
  /** The seq of the row that `write` will make next. */
  nextSeq(): number;
  write(next: StoredEntry, base: number): void;
};

/**
 * Groups apply wholly or not at all and are judged in order; names are judged at a group's end. `refusals`: by position, answers that
 * hold where the tree has no objection of its own (blocks are missing, a pool is down).
 */
export function decideCommit<Refusal extends { readonly kind: string }>(
  state: CommitState,
  groups: readonly (readonly TreeOperation[])[],
  refusals: ReadonlyMap<number, Refusal>,
): Decision<Refusal> {
  const tree = new CommitTree(state.entries, state.children);
  const rows: CommitRow[] = [];
  const answers: (TreeAnswer | Refusal)[] = [];
  const context: CommitContext = {
    tree,
    state,
    nextSeq: () => state.headSeq + rows.length + 1,
    write(next, base) {
      const { revisedBy: _revisedBy, placedBy: _placedBy, ...entry } = next;
      rows.push({ entry, base });
      tree.put(next);
    },
  };
  for (const group of groups) {
    const start = { mark: tree.mark(), rows: rows.length, position: answers.length };
    const judged = judgeGroup(context, group, (index) => refusals.get(start.position + index) ?? null);
    if (judged.some((answer) => answer.kind !== 'applied')) {
      tree.rollback(start.mark);
      rows.length = start.rows;
      for (const answer of judged) answers.push(answer.kind === 'applied' ? { kind: 'group_failed' } : answer);
    } else answers.push(...judged);
  }
  const changed: StoredEntry[] = [];
  for (const entry of tree.touched()) {
    const stored = tree.find(entry);
    if (stored) changed.push(stored);
  }
  return { answers, rows, changed };
}

function judgeGroup<Refusal extends { readonly kind: string }>(
  context: CommitContext,
  group: readonly TreeOperation[],
  refusal: (index: number) => Refusal | null,
): (TreeAnswer | Refusal)[] {
  const answers = group.map((operation, index): TreeAnswer | Refusal => {
    const rowsBefore = context.nextSeq();
    const answer = judge(context, operation);
    const refused = answer.kind === 'applied' ? refusal(index) : null;
    // What is applied again without a row needs no bytes: they are there.
    return refused && context.nextSeq() > rowsBefore ? refused : answer;
  });
  group.forEach((operation, index) => {
    if (answers[index]?.kind !== 'applied' || (operation.kind !== 'create' && operation.kind !== 'move')) return;
    const placed = context.tree.find(operation.entry);
    if (!placed || placed.parent === TRASH_ENTRY) return;
    const by = context.tree.otherAt(placed);
    if (by !== null) answers[index] = { kind: 'name_taken', by };
  });
  return answers;
}

function judge(context: CommitContext, operation: TreeOperation): TreeAnswer {
  switch (operation.kind) {
    case 'create':
      return judgeCreate(context, operation);
    case 'update':
      return judgeUpdate(context, operation);
    case 'move':
      return judgeMove(context, operation);
    case 'delete':
      return judgeDelete(context, operation);
    default:
      return unreachable(operation);
  }
}

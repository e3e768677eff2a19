/**
 * How a delete is judged. A device can only ask to delete what it has seen: through its basis. What was made, changed or put into the
 * subtree after it survives, with its ancestors; of the rest the largest subtrees go, each as one row. Whoever did it: that the same device
 * did proves nothing, since a state that was copied or put back acts in the name of a device that has seen more.
 */
import type { CommitContext, TreeAnswer, TreeOperation } from './commit.ts';
import type { StoredEntry } from './commit-tree.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId } from './ids.ts';

type Delete = Extract<TreeOperation, { kind: 'delete' }>;

export function judgeDelete(context: CommitContext, operation: Delete): TreeAnswer {
  const { tree, state } = context;
  if (operation.entry === ROOT_ENTRY || operation.entry === TRASH_ENTRY)
    return { kind: 'invalid', code: 'invalid_field', detail: 'the root and the trash are not deleted' };
  if (operation.basis > state.headSeq)
    return { kind: 'invalid', code: 'invalid_field', detail: `the basis lies above the journal's head` };
  const target = tree.find(operation.entry);
  if (!target) return { kind: 'conflict', why: 'gone' };
  if (!tree.place(target.entry).live) return { kind: 'applied', seq: target.seq, survivors: 0 };
  const spared = findSpared(context, target, operation.basis);
  const doomed = spared.survivors === 0 ? [target] : coveredSubtrees(context, target, spared);
  if (doomed.length === 0) return { kind: 'conflict', why: 'changed' };
  let seq = 0;
  for (const entry of doomed) {
    seq = context.nextSeq();
    const trashed = { parent: TRASH_ENTRY, trashedFrom: entry.parent, placed: seq, seq, placedBy: state.device };
    context.write({ ...entry, ...trashed }, entry.placed);
  }
  return { kind: 'applied', seq, survivors: spared.survivors };
}

type Spared = {
  readonly survivors: number;
  /** Survivors and what lies above them, up to the target. */
  readonly kept: ReadonlySet<EntryId>;
  /** Put there after the basis: nobody asked to delete anything of what they hold. */
  readonly whole: ReadonlySet<EntryId>;
};

function findSpared({ tree, state }: CommitContext, target: StoredEntry, basis: number): Spared {
  const kept = new Set<EntryId>();
  const whole = new Set<EntryId>();
  let survivors = 0;
  for (const id of state.changedAfter) {
    const entry = tree.find(id);
    if (!entry || !tree.isWithin(id, target.entry)) continue;
    if (entry.seq <= basis) continue;
    survivors++;
    if (entry.placed > basis) whole.add(id);
    for (let at: EntryId | undefined = id; at !== undefined && !kept.has(at); at = tree.find(at)?.parent) {
      kept.add(at);
      if (at === target.entry) break;
    }
  }
  return { survivors, kept, whole };
}

/** Empty where nothing may go, also where the children needed for the decision are not known: then nothing is deleted. */
function coveredSubtrees({ tree }: CommitContext, target: StoredEntry, spared: Spared): StoredEntry[] {
  const doomed: StoredEntry[] = [];
  const open = [target.entry];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    if (spared.whole.has(folder) || tree.find(folder)?.kind !== 'folder') continue;
    const children = tree.children(folder);
    if (!children) return [];
    for (const child of children) {
      const entry = tree.find(child);
      if (!entry) continue;
      if (spared.kept.has(child)) open.push(child);
      else doomed.push(entry);
    }
  }
  return doomed;
}

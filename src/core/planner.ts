/**
 * Three-way merge of a space's trees. Pure: the same trees and the same dirty set give the same plan, in whatever order the set is told.
 * The server's order decides; an edit beats a delete; what can not be decided waits. Costs what the dirty set costs, and the
 * subtrees of what was deleted or emptied.
 */
import { PlanDraft } from './plan-draft.ts';
import type { EntryId } from './ids.ts';
import { tellsAllApart } from './name-profile.ts';
import type { Plan, PlanOptions, TreesView } from './plan.ts';

export function plan(view: TreesView, dirty: Iterable<EntryId>, options: PlanOptions): Plan {
  const draft = new PlanDraft(view, options);
  for (const entry of inOrder(view, dirty)) draft.look(entry);
  return draft.finish();
}

/** By id; where two of them may want one place on this disk, whoever had its name first comes first. */
function inOrder(view: TreesView, dirty: Iterable<EntryId>): readonly EntryId[] {
  const entries = [...dirty].sort();
  if (tellsAllApart(view.names)) return entries;
  const placed = new Map(entries.map((entry) => [entry, view.remote(entry)?.placed ?? 0]));
  return entries.sort((left, right) => (placed.get(left) ?? 0) - (placed.get(right) ?? 0));
}

/**
 * Three-way merge of a space's trees. Pure: the same trees and the same dirty set give the same plan, in whatever order the set is told.
 * The server's order decides; an edit beats a delete; what can not be decided waits. Costs what the dirty set costs, and the
 * subtrees of what was deleted or emptied.
 */
import { PlanDraft } from './plan-draft.ts';
import type { EntryId } from './ids.ts';
import type { Plan, PlanOptions, TreesView } from './plan.ts';

export function plan(view: TreesView, dirty: Iterable<EntryId>, options: PlanOptions): Plan {
  const draft = new PlanDraft(view, options);
  for (const entry of [...dirty].sort()) draft.look(entry);
  return draft.finish();
}

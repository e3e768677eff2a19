/** The same plan with its independent actions in another order. What touches the same entry, place or folder above keeps its order. */
import type { EntryId } from '#core/ids.ts';
import type { Plan, TreesView } from '#core/plan.ts';
import type { Draw } from './model-changes.ts';

type Action = {
  readonly kind: string;
  readonly entry: EntryId;
  readonly found?: EntryId;
  readonly parent?: EntryId;
  readonly name?: string;
  readonly copyName?: string;
};
type Reach = { readonly touched: ReadonlySet<string>; readonly above: ReadonlySet<string> };

export function reorder(made: Plan, trees: TreesView, draw: Draw): Plan {
  const list = <Step>(steps: readonly Step[], actionsOf: (step: Step) => readonly Action[]): readonly Step[] =>
    scatter(
      steps.map((step) => ({ step, reach: reachOf(actionsOf(step), trees) })),
      draw,
    ).map(({ step }) => step);
  return {
    reads: list(made.reads, one),
    tree: list(made.tree, one),
    conflicts: list(made.conflicts, one),
    up: list(made.up, (group) => group),
    down: list(made.down, one),
    waiting: made.waiting,
  };
}

const one = <Step>(step: Step): readonly Step[] => [step];

/** Neighbours change places where they do not depend on each other: so every order that the plan allows can be reached. */
function scatter<Step extends { readonly reach: Reach }>(steps: readonly Step[], draw: Draw): readonly Step[] {
  const mixed = [...steps];
  for (let round = 0; round < mixed.length; round++) {
    for (let index = 0; index + 1 < mixed.length; index++) {
      const [left, right] = [mixed[index]!, mixed[index + 1]!];
      if (draw(2) === 0 || depend(left.reach, right.reach)) continue;
      mixed[index] = right;
      mixed[index + 1] = left;
    }
  }
  return mixed;
}

function depend(left: Reach, right: Reach): boolean {
  return meets(left.touched, right.touched) || meets(left.touched, right.above) || meets(left.above, right.touched);
}

function meets(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  for (const one of left) if (right.has(one)) return true;
  return false;
}

function reachOf(actions: readonly Action[], trees: TreesView): Reach {
  const touched = new Set<string>();
  const above = new Set<string>();
  const climb = (from: EntryId | undefined): void => {
    if (from === undefined || above.has(from)) return;
    above.add(from);
    climb(trees.local(from)?.parent);
    climb(trees.remote(from)?.parent);
  };
  for (const { entry, found, parent, name, copyName } of actions) {
    for (const id of [entry, found]) {
      if (id === undefined) continue;
      touched.add(id);
      for (const row of [trees.local(id), trees.remote(id), trees.synced(id)]) {
        if (!row) continue;
        touched.add(`${row.parent}/${row.name}`);
        climb(row.parent);
      }
    }
    climb(parent);
    if (parent !== undefined) touched.add(`${parent}/${name ?? copyName}`);
  }
  return { touched, above };
}

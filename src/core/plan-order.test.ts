/** Order among actions: what would be done too early, or for ever waited for, by another one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EntryId } from './ids.ts';
import { components, orderGroups, orderSteps, type Need, type PlanNode } from './plan-order.ts';

const idOf = (name: string) => name as EntryId;
const placed = (on: string): Need => ({ on: idOf(on), what: 'placed' });
const gone = (on: string): Need => ({ on: idOf(on), what: 'gone' });

type Asked = { readonly needs?: readonly Need[]; readonly acts?: boolean; readonly isBound?: boolean };
function nodesOf(asked: Readonly<Record<string, Asked>>): ReadonlyMap<EntryId, PlanNode<string>> {
  return new Map(
    Object.entries(asked).map(([name, { needs = [], acts = true, isBound = false }]) => [
      idOf(name),
      { entry: idOf(name), action: acts ? name : null, needs, isBound },
    ]),
  );
}

const steps = (
  asked: Readonly<Record<string, Asked>>,
  { fixed = [], inside = [] }: { readonly fixed?: readonly string[]; readonly inside?: readonly string[] } = {},
) =>
  orderSteps(
    nodesOf(asked),
    (entry) => !fixed.includes(entry),
    (inner, outer) => inside.includes(`${inner} in ${outer}`),
    (entry) => `park ${entry}`,
  );

test('what is needed goes first; what waits for something without an action waits itself, and nothing else does', () => {
  const { steps: groups, waiting } = orderGroups(
    nodesOf({
      b: { needs: [placed('a')] },
      a: {},
      stuck: { acts: false },
      behind: { needs: [gone('stuck')] },
      'far behind': { needs: [placed('behind')] },
      'of nobody': { needs: [placed('what is no part of this plan')] },
    }),
  );
  assert.deepEqual(groups, [['a'], ['b'], ['of nobody']]);
  assert.deepEqual(waiting, ['behind', 'far behind'], 'what has no action waits for nothing');
});

test('what is bound waits for all that it needs and is not done as one with it', () => {
  const bound = orderGroups(nodesOf({ saver: {}, spoiler: { needs: [placed('saver')], isBound: true } }));
  assert.deepEqual([bound.steps, bound.waiting], [[['saver']], ['spoiler']]);
  const asOne = orderGroups(
    nodesOf({ saver: { needs: [gone('spoiler')] }, spoiler: { needs: [placed('saver')], isBound: true } }),
  );
  assert.deepEqual([asOne.steps, asOne.waiting], [[['saver', 'spoiler']], []]);
  const met = orderGroups(nodesOf({ spoiler: { needs: [placed('done before')], isBound: true } }));
  assert.deepEqual([met.steps, met.waiting], [[['spoiler']], []]);
});

test('a circle goes as one group, parents before what is put into them; one that waits holds up all of it', () => {
  const circle = {
    // By their ids the other way round.
    child: { needs: [placed('parent')] },
    parent: { needs: [gone('child'), placed('top')] },
    top: { needs: [gone('parent')] },
  };
  assert.deepEqual(orderGroups(nodesOf(circle)), { steps: [['top', 'parent', 'child']], waiting: [] });
  const held = orderGroups(nodesOf({ ...circle, top: { needs: [gone('parent')], acts: false }, free: {} }));
  assert.deepEqual([held.steps, held.waiting.toSorted()], [[['free']], ['child', 'parent']]);
});

test('on a disk a circle is opened by parking one that is awaited and may be parked', () => {
  const swap = { a: { needs: [gone('b')] }, b: { needs: [gone('a')] } };
  assert.deepEqual(steps(swap), { steps: ['park a', 'b', 'a'], waiting: [] });
  assert.deepEqual(steps(swap, { fixed: ['a'] }), { steps: ['park b', 'a', 'b'], waiting: [] });
  // Parking one that nobody waits for opens nothing: `a` is only needed in its new place.
  const chain = { a: { needs: [gone('c')] }, b: { needs: [placed('a')] }, c: { needs: [placed('b')] } };
  assert.deepEqual(steps(chain), { steps: ['park c', 'a', 'b', 'c'], waiting: [] });
});

test('what lies in something that is parked is parked before it, and nothing is reached inside', () => {
  const nested = {
    inner: { needs: [placed('outer')] },
    outer: { needs: [gone('inner'), gone('other')] },
    other: { needs: [gone('outer')] },
  };
  const found = steps(nested, { inside: ['inner in outer'] });
  assert.deepEqual(found.waiting, []);
  const at = (step: string) => found.steps.indexOf(step);
  assert.ok(found.steps.length >= 4, found.steps.join());
  if (at('park outer') >= 0)
    assert.ok(at('park inner') >= 0 && at('park inner') < at('park outer'), found.steps.join());
  assert.ok(at('outer') < at('inner'), found.steps.join());
});

test('components come what is needed first, and each entry once', () => {
  const found = components(
    nodesOf({
      z: { needs: [placed('y')] },
      y: { needs: [gone('x'), placed('w')] },
      x: { needs: [gone('y')] },
      w: {},
      alone: {},
    }),
  );
  assert.deepEqual(
    found.map((component) => component.toSorted()),
    [['w'], ['x', 'y'], ['z'], ['alone']],
  );
});

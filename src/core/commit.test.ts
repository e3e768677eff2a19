import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { TreeOperation } from './commit.ts';
import type { StoredEntry } from './commit-tree.ts';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { anyCommit, deviceOf, entryOf, make, sent, Space } from '../../test/commit-cases.ts';

test('after every commit the tree is well-formed, and what failed changed nothing', () => {
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 1, maxLength: 12 }), (commits) => {
      const space = new Space();
      for (const { device, groups, lag } of commits) {
        const before = new Map(space.entries);
        const operations = groups.map((group) => group.map((one) => sent(space, one, lag)));
        const { answers, rows, changed } = space.commit(device, operations);
        space.checkWellFormed();
        assert.equal(answers.length, operations.flat().length);
        // The rows alone lead from the old state to the new one: that is what devices replay.
        const replayed = new Map<EntryId, object>(before);
        for (const row of rows) replayed.set(row.entry.entry, row.entry);
        for (const { revisedBy: _revisedBy, placedBy: _placedBy, ...entry } of changed)
          assert.deepEqual(replayed.get(entry.entry), entry);
        let position = 0;
        for (const group of operations) {
          const own = answers.slice(position, position + group.length);
          const applied = own.filter(({ kind }) => kind === 'applied').length;
          assert.ok(applied === 0 || applied === group.length, 'a group applies wholly or not at all');
          position += group.length;
        }
        if (answers.every(({ kind }) => kind !== 'applied')) assert.deepEqual(space.entries, before);
      }
    }),
    { numRuns: 400 },
  );
});

test('a delete takes nothing that anybody made, changed or placed after its basis', () => {
  let spared = 0;
  let partly = 0;
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 2, maxLength: 12 }), fc.nat(3), fc.nat(20), (commits, index, lag) => {
      const space = new Space();
      space.commit(deviceOf(0), [
        [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b'), make(2, entryOf(1), 'c'), make(3, entryOf(0), 'c')],
      ]);
      for (const one of commits)
        space.commit(
          one.device,
          one.groups.map((group) => group.map((of) => sent(space, of, one.lag))),
        );
      const entry = entryOf(index);
      const basis = Math.max(0, space.headSeq - lag);
      const before = new Map(space.entries);
      const live = new Set([...before.keys()].filter((id) => space.isLive(id)));
      const wayBefore = new Map([...live].map((id) => [id, space.wayUp(id)]));
      const { answers } = space.commit(deviceOf(0), [[{ kind: 'delete', entry, basis }]]);
      space.checkWellFormed();
      for (const id of live) {
        const stored = before.get(id) as StoredEntry;
        const below = id === entry || (wayBefore.get(id) ?? []).includes(entry);
        const newer = (of: StoredEntry) => of.seq > basis;
        const broughtBy = [id, ...(wayBefore.get(id) ?? [])]
          .map((above) => before.get(above))
          .some((above) => above && above.placed > basis && isBelow(above));
        function isBelow(of: StoredEntry): boolean {
          return of.entry === entry || (wayBefore.get(of.entry) ?? []).includes(entry);
        }
        if (!below || newer(stored) || broughtBy) assert.ok(space.isLive(id), 'survives');
        if (below && newer(stored)) spared++;
        if (below && !space.isLive(id) && id !== entry && space.isLive(entry)) partly++;
        const hasSurvivor = [...live].some(
          (other) => newer(before.get(other) as StoredEntry) && (wayBefore.get(other) ?? []).includes(id),
        );
        if (below && answers[0]?.kind === 'applied' && !newer(stored) && !broughtBy && !hasSurvivor)
          assert.ok(!space.isLive(id), 'what was covered goes');
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(spared > 50 && partly > 20, `the cases reach what is to be tested: ${spared}, ${partly}`);
});

test('the same operations again change nothing more where they were all applied', () => {
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 1, maxLength: 8 }), (commits) => {
      const space = new Space();
      for (const { device, groups, lag } of commits) {
        const operations = groups.map((group) => group.map((one) => sent(space, one, lag)));
        const { answers } = space.commit(device, operations);
        const single = operations.length === 1 && operations[0]?.length === 1;
        if (!single || answers[0]?.kind !== 'applied') continue;
        const again = space.commit(device, operations);
        assert.equal(again.rows.length, 0);
      }
    }),
    { numRuns: 300 },
  );
});

test('two entries change names in one group', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, ROOT_ENTRY, 'b')]]);
  const swap: TreeOperation[] = [
    { kind: 'move', entry: entryOf(0), base: 1, parent: ROOT_ENTRY, name: 'b' },
    { kind: 'move', entry: entryOf(1), base: 2, parent: ROOT_ENTRY, name: 'a' },
  ];
  const apart = space.commit(
    deviceOf(0),
    swap.map((operation) => [operation]),
  );
  assert.deepEqual(
    apart.answers.map(({ kind }) => kind),
    ['name_taken', 'name_taken'],
  );
  const together = space.commit(deviceOf(0), [swap]);
  assert.ok(together.answers.every(({ kind }) => kind === 'applied'));
  assert.equal(space.entries.get(entryOf(0))?.name, 'b');
});

test('a folder does not move into itself, nor a tree below the deepest level', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b')]]);
  const inward = space.commit(deviceOf(0), [
    [{ kind: 'move', entry: entryOf(0), base: 1, parent: entryOf(1), name: 'a' }],
  ]);
  assert.deepEqual(inward.answers, [{ kind: 'conflict', why: 'cycle' }]);
  const chain: TreeOperation[] = [];
  for (let level = 0; level < 260; level++)
    chain.push(make(100 + level, level === 0 ? ROOT_ENTRY : entryOf(99 + level), 'deep'));
  const deep = space.commit(
    deviceOf(0),
    chain.map((operation) => [operation]),
  );
  assert.equal(deep.answers.filter(({ kind }) => kind === 'applied').length, 256);
  assert.deepEqual(deep.answers[256], {
    kind: 'invalid',
    code: 'too_large',
    detail: 'a tree is 256 levels deep at most',
  });
});

test('what lies in the trash comes back by a move, with everything below it', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b')]]);
  space.commit(deviceOf(0), [[{ kind: 'delete', entry: entryOf(0), basis: 2 }]]);
  assert.ok(!space.isLive(entryOf(1)));
  assert.equal(space.entries.get(entryOf(0))?.trashedFrom, ROOT_ENTRY);
  const into = space.commit(deviceOf(0), [[make(2, entryOf(0), 'c')]]);
  assert.deepEqual(into.answers, [{ kind: 'conflict', why: 'parent_gone' }]);
  const back = space.commit(deviceOf(1), [
    [{ kind: 'move', entry: entryOf(0), base: 3, parent: ROOT_ENTRY, name: 'again' }],
  ]);
  assert.deepEqual(back.answers, [{ kind: 'applied', seq: 4, survivors: 0 }]);
  assert.ok(space.isLive(entryOf(1)));
  assert.equal(space.entries.get(entryOf(0))?.trashedFrom, null);
});

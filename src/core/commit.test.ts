import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { decideCommit, type CommitState, type Decision, type TreeOperation } from './commit.ts';
import type { StoredEntry } from './commit-tree.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type ContentId, type DeviceId, type EntryId, type ManifestId } from './ids.ts';

const entryOf = (index: number) => (index + 1).toString(16).padStart(32, '0') as EntryId;
const deviceOf = (index: number) => `d${index}`.padStart(32, '0') as DeviceId;
const contentOf = (index: number) => ({
  contentId: `${index}`.padStart(64, 'c') as ContentId,
  manifestId: `${index}`.padStart(64, 'a') as ManifestId,
  size: index,
});
const NAMES = ['a', 'b', 'c'];

/** A space as the server stores it, all of it loaded for every commit. */
class Space {
  readonly entries = new Map<EntryId, StoredEntry>();
  headSeq = 0;

  commit(device: DeviceId, groups: readonly (readonly TreeOperation[])[]): Decision<never> {
    const state = this.#load(device, groups.flat());
    const decision = decideCommit<never>(state, groups, new Map<number, never>());
    for (const [index, row] of decision.rows.entries()) assert.equal(row.entry.seq, this.headSeq + index + 1);
    this.headSeq += decision.rows.length;
    for (const entry of decision.changed) this.entries.set(entry.entry, entry);
    return decision;
  }

  #load(device: DeviceId, operations: readonly TreeOperation[]): CommitState {
    const all = [...this.entries.values()];
    let basis = this.headSeq;
    for (const operation of operations) if (operation.kind === 'delete') basis = Math.min(basis, operation.basis);
    const changedAfter = all
      .filter(
        (entry) =>
          (entry.placed > basis && entry.placedBy !== device) || (entry.revision > basis && entry.revisedBy !== device),
      )
      .map(({ entry }) => entry);
    const children = new Map<EntryId, EntryId[]>();
    for (const { entry, kind } of all)
      if (kind === 'folder')
        children.set(
          entry,
          all.filter(({ parent }) => parent === entry).map((child) => child.entry),
        );
    return { device, headSeq: this.headSeq, entries: all, children, changedAfter, heights: new Map() };
  }

  wayUp(entry: EntryId): EntryId[] {
    const way: EntryId[] = [];
    for (let at = this.entries.get(entry)?.parent; at !== undefined; at = this.entries.get(at)?.parent) {
      assert.ok(way.length <= this.entries.size, 'no cycle');
      way.push(at);
    }
    return way;
  }

  isLive(entry: EntryId): boolean {
    return this.wayUp(entry).at(-1) === ROOT_ENTRY;
  }

  checkWellFormed(): void {
    const taken = new Set<string>();
    for (const entry of this.entries.values()) {
      const end = this.wayUp(entry.entry).at(-1);
      assert.ok(end === ROOT_ENTRY || end === TRASH_ENTRY, 'no orphan');
      if (entry.parent !== ROOT_ENTRY && entry.parent !== TRASH_ENTRY)
        assert.equal(this.entries.get(entry.parent)?.kind, 'folder', 'only folders hold entries');
      if (entry.parent === TRASH_ENTRY) continue;
      const place = `${entry.parent}/${entry.name}`;
      assert.ok(!taken.has(place), 'names are unique');
      taken.add(place);
      assert.equal(entry.seq, Math.max(entry.revision, entry.placed));
    }
  }
}

const anyEntry = fc.nat(9).map(entryOf);
const anyParent = fc.oneof({ weight: 2, arbitrary: fc.constant(ROOT_ENTRY) }, { weight: 3, arbitrary: anyEntry });
const anyName = fc.constantFrom(...NAMES);
/** Bases are chosen when the operation is sent: mostly what is true then, sometimes not. */
type Draft = { readonly operation: TreeOperation; readonly stale: boolean };
const draft: fc.Arbitrary<Draft> = fc.record({
  stale: fc.nat(4).map((roll) => roll === 0),
  operation: fc.oneof(
    fc.record({
      kind: fc.constant('create' as const),
      entry: anyEntry,
      parent: anyParent,
      name: anyName,
      state: fc.oneof(
        { weight: 3, arbitrary: fc.constant({ kind: 'folder' as const }) },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant('file' as const),
            content: fc.nat(2).map(contentOf),
            mtimeUs: fc.constant(1),
            exec: fc.constant(false),
          }),
        },
      ),
    }),
    fc.record({
      kind: fc.constant('update' as const),
      entry: anyEntry,
      base: fc.constant(0),
      content: fc.nat(2).map(contentOf),
      target: fc.constant(null),
      mtimeUs: fc.nat(2),
      exec: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('move' as const),
      entry: anyEntry,
      base: fc.constant(0),
      parent: anyParent,
      name: anyName,
    }),
    fc.record({ kind: fc.constant('delete' as const), entry: anyEntry, basis: fc.constant(0) }),
  ),
});
const anyCommit = fc.record({
  device: fc.nat(1).map(deviceOf),
  lag: fc.nat(6),
  groups: fc.array(fc.array(draft, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
});

function sent(space: Space, { operation, stale }: Draft, lag: number): TreeOperation {
  const present = space.entries.get(operation.entry);
  const off = stale ? 1 : 0;
  if (operation.kind === 'update') return { ...operation, base: (present?.revision ?? 0) + off };
  if (operation.kind === 'move') return { ...operation, base: (present?.placed ?? 0) + off };
  if (operation.kind === 'delete') return { ...operation, basis: Math.max(0, space.headSeq - lag) };
  return operation;
}

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

test('a delete takes nothing that another device made, changed or placed after its basis', () => {
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
        const newer = (of: StoredEntry) =>
          (of.placed > basis && of.placedBy !== deviceOf(0)) || (of.revision > basis && of.revisedBy !== deviceOf(0));
        const broughtBy = [id, ...(wayBefore.get(id) ?? [])]
          .map((above) => before.get(above))
          .some((above) => above && above.placed > basis && above.placedBy !== deviceOf(0) && isBelow(above));
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

const make = (entry: number, parent: EntryId, name: string): TreeOperation => ({
  kind: 'create',
  entry: entryOf(entry),
  parent,
  name,
  state: { kind: 'folder' },
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

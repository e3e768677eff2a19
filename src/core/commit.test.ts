import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { NewState, TreeOperation } from './commit.ts';
import type { StoredEntry } from './commit-tree.ts';
import type { Entry } from './entry.ts';
import { decideCommit } from './commit.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type ContentId, type EntryId, type ManifestId } from './ids.ts';
import { mustBeByTheBook } from '../../test/commit-oracle.ts';
import { anyCommit, deviceOf, entryOf, make, sent, Space } from '../../test/commit-cases.ts';

/** Commits in a row are many answers: so few cases meet everything. */
const CASES = Number(process.env['COMMIT_CASES'] ?? 1000);
const SEED = 20300102;

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
    { numRuns: CASES / 2, seed: SEED },
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
    { numRuns: 2 * CASES, seed: SEED },
  );
  assert.ok(spared > CASES / 40 && partly > CASES / 100, `the cases reach what is to be tested: ${spared}, ${partly}`);
});

test('every answer and every row is what the protocol says, with and without objections about bytes', () => {
  const kinds = new Map<string, number>();
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 1, maxLength: 14 }), fc.nat(0xffff), (commits, odds) => {
      const space = planted();
      for (const [index, { device, groups, lag }] of commits.entries()) {
        const operations = groups.map((group) => group.map((one) => sent(space, one, lag)));
        const at = (odds >> (index % 8)) % 9;
        const refusals = new Map(at < 3 ? [[at, { kind: 'need_blocks' } as const]] : []);
        const before = new Map(space.entries);
        const asked = { device, headSeq: space.headSeq, groups: operations, refusals };
        const decision = space.commit(device, operations, refusals);
        mustBeByTheBook(before, asked, decision, space.entries);
        for (const answer of decision.answers) {
          const kind = 'why' in answer ? answer.why : 'code' in answer ? answer.code : answer.kind;
          kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        }
      }
    }),
    { numRuns: CASES, seed: SEED },
  );
  for (const kind of ['applied', 'changed', 'gone', 'exists', 'parent_gone', 'cycle', 'name_taken', 'group_failed'])
    assert.ok(kinds.get(kind)! > CASES / 40, `the cases reach ${kind}: ${kinds.get(kind)}`);
  for (const kind of ['invalid_name', 'invalid_field', 'need_blocks'])
    assert.ok(kinds.get(kind)! > CASES / 40, `the cases reach ${kind}: ${kinds.get(kind)}`);
});

test('what else a space holds changes no answer and no row', () => {
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 1, maxLength: 12 }), (commits) => {
      const space = planted();
      for (const { device, groups, lag } of commits) {
        const asked = groups.map((group) => group.map((one) => sent(space, one, lag)));
        // After others of its request a delete may meet a folder that was not looked into; then it takes nothing.
        const alone = asked.flat().find(({ kind }) => kind === 'delete');
        const operations = alone ? [[alone]] : asked;
        const little = space.loadLittle(device, operations.flat());
        const few = decideCommit(little, operations, new Map<number, never>());
        const all = space.commit(device, operations);
        assert.deepEqual(few.answers, all.answers);
        assert.deepEqual(few.rows.map(rowKey).sort(), all.rows.map(rowKey).sort());
      }
    }),
    { numRuns: CASES, seed: SEED },
  );
});

test('a request again changes nothing more', () => {
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 1, maxLength: 8 }), (commits) => {
      const space = planted();
      for (const { device, groups, lag } of commits) {
        const operations = groups.map((group) => group.map((one) => sent(space, one, lag)));
        const { answers } = space.commit(device, operations);
        if (answers.some(({ kind }) => kind !== 'applied')) continue;
        // What a request put into a folder after it deleted from it, a second delete would take: such a one is told apart by its op id.
        const flat = operations.flat();
        if (flat.length > 1 && flat.some(({ kind }) => kind === 'delete')) continue;
        const again = space.commit(device, operations);
        assert.equal(again.rows.length, 0);
      }
    }),
    { numRuns: CASES, seed: SEED },
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

test('what lies below the trash is not there: made again under its id, it is refused', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b')]]);
  assert.deepEqual(space.commit(deviceOf(0), [[make(1, entryOf(0), 'b')]]).answers, [
    { kind: 'applied', seq: 2, survivors: 0 },
  ]);
  space.commit(deviceOf(0), [[{ kind: 'delete', entry: entryOf(0), basis: 2 }]]);
  for (const entry of [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b')])
    assert.deepEqual(space.commit(deviceOf(1), [[entry]]).answers, [{ kind: 'conflict', why: 'exists' }]);
});

/** Begins with something that can be met. */
function planted(): Space {
  const space = new Space();
  space.commit(deviceOf(0), [
    [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b'), make(2, entryOf(1), 'c'), make(3, entryOf(0), 'c')],
  ]);
  return space;
}

/** Without its seqs: the parts of one delete may go in any order. */
function rowKey({ entry, base }: { readonly entry: Entry; readonly base: number }): string {
  return JSON.stringify([entry.entry, entry.parent, entry.name, entry.content, entry.target, entry.trashedFrom, base]);
}

const link = (entry: number, target: string): TreeOperation => ({
  kind: 'create',
  entry: entryOf(entry),
  parent: ROOT_ENTRY,
  name: `link ${entry}`,
  state: { kind: 'symlink', target },
});
const aim = (entry: number, base: number, target: string): TreeOperation => ({
  kind: 'update',
  entry: entryOf(entry),
  base,
  content: null,
  target,
  mtimeUs: 0,
  exec: false,
});

test('what is malformed is refused in words that say why', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), link(1, 't')]]);
  const root = 'the root and the trash are not made, changed or moved';
  const move = (entry: EntryId): TreeOperation => ({ kind: 'move', entry, base: 0, parent: ROOT_ENTRY, name: 'x' });
  const refused: readonly (readonly [TreeOperation, 'invalid_field' | 'invalid_name' | 'too_large', string])[] = [
    [{ ...make(2, ROOT_ENTRY, 'b'), entry: ROOT_ENTRY }, 'invalid_field', root],
    [{ ...make(2, ROOT_ENTRY, 'b'), entry: TRASH_ENTRY }, 'invalid_field', root],
    [{ ...aim(1, 2, 'u'), entry: ROOT_ENTRY }, 'invalid_field', root],
    [{ ...aim(1, 2, 'u'), entry: TRASH_ENTRY }, 'invalid_field', root],
    [move(ROOT_ENTRY), 'invalid_field', root],
    [move(TRASH_ENTRY), 'invalid_field', root],
    [{ kind: 'delete', entry: ROOT_ENTRY, basis: 2 }, 'invalid_field', 'the root and the trash are not deleted'],
    [{ kind: 'delete', entry: TRASH_ENTRY, basis: 2 }, 'invalid_field', 'the root and the trash are not deleted'],
    [{ kind: 'delete', entry: entryOf(0), basis: 3 }, 'invalid_field', `the basis lies above the journal's head`],
    [make(2, ROOT_ENTRY, 'a/b'), 'invalid_name', 'The name "a/b" contains a slash.'],
    [{ ...move(entryOf(0)), name: '' } as TreeOperation, 'invalid_name', 'A name cannot be empty.'],
    [link(2, 'a\0'), 'invalid_field', 'a link target holds no NUL'],
    [aim(1, 2, 'a\0'), 'invalid_field', 'a link target holds no NUL'],
    [link(2, '\ud800'), 'invalid_field', 'a link target is well-formed Unicode'],
    [link(2, 'é'.repeat(2048) + 'x'), 'too_large', 'a link target has 4096 bytes at most'],
    [aim(0, 1, 'u'), 'invalid_field', 'a folder cannot be updated like this'],
    [{ ...aim(1, 2, 'u'), target: null } as TreeOperation, 'invalid_field', 'a symlink cannot be updated like this'],
  ];
  for (const [operation, code, detail] of refused)
    assert.deepEqual(space.commit(deviceOf(0), [[operation]]).answers, [{ kind: 'invalid', code, detail }]);
  assert.deepEqual(space.commit(deviceOf(0), [[link(2, 'é'.repeat(2048))]]).answers[0]?.kind, 'applied');
});

test('nothing is made in the trash, nor in what is no folder', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), link(1, 't')]]);
  for (const parent of [TRASH_ENTRY, entryOf(1), entryOf(5)]) {
    const move: TreeOperation = { kind: 'move', entry: entryOf(0), base: 1, parent, name: 'x' };
    for (const operation of [make(2, parent, 'x'), move])
      assert.deepEqual(space.commit(deviceOf(0), [[operation]]).answers, [{ kind: 'conflict', why: 'parent_gone' }]);
  }
});

test('every row says which one it was made from', () => {
  const space = new Space();
  const bases = (operation: TreeOperation) => space.commit(deviceOf(0), [[operation]]).rows.map(({ base }) => base);
  assert.deepEqual(bases(make(0, ROOT_ENTRY, 'a')), [0]);
  assert.deepEqual(bases(link(1, 't')), [0]);
  assert.deepEqual(bases(aim(1, 2, 'u')), [2]);
  assert.deepEqual(bases({ kind: 'move', entry: entryOf(1), base: 2, parent: entryOf(0), name: 'l' }), [2]);
  assert.deepEqual(bases({ kind: 'delete', entry: entryOf(1), basis: 4 }), [4]);
  assert.deepEqual(bases({ kind: 'delete', entry: entryOf(0), basis: 5 }), [1]);
});

test('a move counts what lies below, as stored and as the same commit has put it there', () => {
  const space = new Space();
  space.commit(deviceOf(0), [
    [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b'), make(2, ROOT_ENTRY, 'c'), make(3, ROOT_ENTRY, 'd')],
  ]);
  const move = (entry: number, parent: EntryId): TreeOperation => ({
    kind: 'move',
    entry: entryOf(entry),
    base: entry + 1,
    parent,
    name: `moved ${entry}`,
  });
  const answers = (heights: readonly (readonly [number, number])[], ...operations: readonly TreeOperation[]) => {
    const state = space.load(deviceOf(0), operations);
    const known = new Map(heights.map(([entry, height]) => [entryOf(entry), height]));
    const groups = operations.map((operation) => [operation]);
    const decision = decideCommit({ ...state, heights: known }, groups, new Map<number, never>());
    return decision.answers.map((answer) => ('code' in answer ? answer.code : answer.kind));
  };
  // `c` lies at depth 1, `b` at depth 2. What comes no deeper may stay as deep as it is.
  assert.deepEqual(answers([[2, 254]], move(2, entryOf(0))), ['applied']);
  assert.deepEqual(answers([[2, 255]], move(2, entryOf(0))), ['too_large']);
  assert.deepEqual(answers([[2, 300]], move(2, ROOT_ENTRY)), ['applied']);
  assert.deepEqual(answers([[1, 300]], move(1, ROOT_ENTRY)), ['applied']);
  assert.deepEqual(answers([[1, 300]], move(1, entryOf(2))), ['applied']);
  // `d` comes to lie in `c` with 253 levels of its own, then `c` in `a`: depth 2, 3, and 253 more.
  assert.deepEqual(answers([[3, 253]], move(3, entryOf(2)), move(2, entryOf(0))), ['applied', 'applied']);
  assert.deepEqual(answers([[3, 254]], move(3, entryOf(2)), move(2, entryOf(0))), ['applied', 'too_large']);
  const twoDown = [make(4, entryOf(2), 'x'), make(5, entryOf(4), 'y'), { ...move(3, entryOf(5)), base: 4 }] as const;
  assert.deepEqual(answers([[3, 251]], ...twoDown, move(2, entryOf(0))), ['applied', 'applied', 'applied', 'applied']);
  assert.deepEqual(answers([[3, 252]], ...twoDown, move(2, entryOf(0))).at(-1), 'too_large');
  // What was put elsewhere does not count.
  assert.deepEqual(answers([[3, 250]], move(3, entryOf(1)), move(2, entryOf(0))), ['applied', 'applied']);
});

test('what comes back out of the trash is no deeper than anything may be', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a')]]);
  space.commit(deviceOf(0), [[{ kind: 'delete', entry: entryOf(0), basis: 1 }]]);
  const back: TreeOperation = { kind: 'move', entry: entryOf(0), base: 2, parent: ROOT_ENTRY, name: 'a' };
  const answer = (height: number) => {
    const state = { ...space.load(deviceOf(0), [back]), heights: new Map([[entryOf(0), height]]) };
    return decideCommit(state, [[back]], new Map<number, never>()).answers[0]?.kind;
  };
  assert.equal(answer(255), 'applied');
  assert.equal(answer(256), 'invalid');
});

test('what was purged does not come back, and nothing below it; what lies beside it does', () => {
  const space = new Space();
  const [top, below, file, other] = [entryOf(0), entryOf(1), entryOf(2), entryOf(3)];
  space.commit(deviceOf(0), [
    [
      make(0, ROOT_ENTRY, 'a'),
      make(1, top, 'b'),
      make(2, below, 'c'),
      make(3, ROOT_ENTRY, 'd'),
      make(4, ROOT_ENTRY, 'e'),
    ],
  ]);
  for (const entry of [top, other]) space.commit(deviceOf(0), [[{ kind: 'delete', entry, basis: 5 }]]);
  const answer = (entry: EntryId, base: number, purged: readonly EntryId[]) => {
    const back: TreeOperation = { kind: 'move', entry, base, parent: entryOf(4), name: 'back' };
    const state = { ...space.load(deviceOf(0), [back]), purged: new Set(purged) };
    const { answers, rows } = decideCommit(state, [[back]], new Map<number, never>());
    return [answers[0], rows.length];
  };
  const gone = [{ kind: 'conflict', why: 'gone' }, 0];
  assert.deepEqual(answer(top, 6, [top]), gone);
  assert.deepEqual(answer(below, 2, [top]), gone);
  assert.deepEqual(answer(file, 3, [top]), gone);
  assert.deepEqual(answer(other, 7, [top]), [{ kind: 'applied', seq: 8, survivors: 0 }, 1]);
  assert.deepEqual(answer(file, 3, [other]), [{ kind: 'applied', seq: 8, survivors: 0 }, 1]);
});

test('where the children of a folder are not known, a delete that would have to choose takes nothing', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b')]]);
  space.commit(deviceOf(1), [[make(2, entryOf(0), 'c')]]);
  const operation: TreeOperation = { kind: 'delete', entry: entryOf(0), basis: 2 };
  const state = space.load(deviceOf(0), [operation]);
  const blind = decideCommit({ ...state, children: new Map() }, [[operation]], new Map<number, never>());
  assert.deepEqual(blind.answers, [{ kind: 'conflict', why: 'changed' }]);
  assert.deepEqual(space.commit(deviceOf(0), [[operation]]).answers, [{ kind: 'applied', seq: 4, survivors: 1 }]);
});

const invalidField = (detail: string) => ({ kind: 'invalid', code: 'invalid_field', detail });
const contents = (letter: string) => ({
  contentId: letter.repeat(64) as ContentId,
  manifestId: letter.repeat(64) as ManifestId,
  size: 1,
});
const file = { kind: 'file', content: contents('a'), mtimeUs: 5, exec: true } as const;
const makeAs = (entry: number, parent: EntryId, name: string, state: NewState): TreeOperation => ({
  kind: 'create',
  entry: entryOf(entry),
  parent,
  name,
  state,
});
type Update = Extract<TreeOperation, { kind: 'update' }>;
const rewrite = (entry: number, base: number, change: Partial<Update>): TreeOperation => ({
  kind: 'update',
  entry: entryOf(entry),
  base,
  content: file.content,
  target: null,
  mtimeUs: 5,
  exec: true,
  ...change,
});

test('the same again is applied without a row; with anything else in it, it is another', () => {
  const space = new Space();
  const made = [makeAs(0, ROOT_ENTRY, 'f', file), makeAs(1, ROOT_ENTRY, 'l', { kind: 'symlink', target: 't' })];
  space.commit(deviceOf(0), [made, [make(2, ROOT_ENTRY, 'd')]]);
  const { kind, content, mtimeUs, exec, target } = space.entries.get(entryOf(0)) as StoredEntry;
  assert.deepEqual({ kind, content, mtimeUs, exec }, file);
  assert.equal(target, null);
  const answer = (operation: TreeOperation) => {
    const { answers, rows } = space.commit(deviceOf(1), [[operation]]);
    assert.equal(rows.length, 0);
    return answers[0]?.kind === 'conflict' ? answers[0].why : (answers[0] as object);
  };
  made.forEach((again, index) => assert.deepEqual(answer(again), { kind: 'applied', seq: index + 1, survivors: 0 }));
  assert.deepEqual(answer(make(2, ROOT_ENTRY, 'd')), { kind: 'applied', seq: 3, survivors: 0 });
  for (const state of [{ content: contents('b') }, { mtimeUs: 6 }, { exec: false }])
    assert.equal(answer(makeAs(0, ROOT_ENTRY, 'f', { ...file, ...state })), 'exists');
  assert.equal(answer(makeAs(0, ROOT_ENTRY, 'f', { kind: 'folder' })), 'exists');
  assert.equal(answer(makeAs(1, ROOT_ENTRY, 'l', { kind: 'symlink', target: 'u' })), 'exists');
  assert.equal(answer(makeAs(1, ROOT_ENTRY, 'l', file)), 'exists');
  assert.equal(answer(makeAs(0, ROOT_ENTRY, 'g', file)), 'exists');
  assert.equal(answer(makeAs(0, entryOf(2), 'f', file)), 'exists');
  assert.equal(answer(makeAs(2, ROOT_ENTRY, 'd', { kind: 'symlink', target: 't' })), 'exists');
  assert.deepEqual(answer(rewrite(0, 99, {})), { kind: 'applied', seq: 1, survivors: 0 });
  assert.deepEqual(answer(rewrite(0, 99, { content: null })), { kind: 'applied', seq: 1, survivors: 0 });
  assert.deepEqual(answer(aim(1, 99, 't')), { kind: 'applied', seq: 2, survivors: 0 });
  for (const change of [{ content: contents('b') }, { mtimeUs: 6 }, { exec: false }])
    assert.equal(answer(rewrite(0, 99, change)), 'changed');
  assert.equal(answer(aim(1, 99, 'u')), 'changed');
  for (const change of [{ target: 't' }, { target: 't', content: null }])
    assert.deepEqual(answer(rewrite(0, 1, change)), invalidField('a file cannot be updated like this'));
  assert.deepEqual(answer(rewrite(1, 2, { target: 'u' })), invalidField('a symlink cannot be updated like this'));
});

test('what is changed keeps what was not spoken of', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[makeAs(0, ROOT_ENTRY, 'f', file), link(1, 't')]]);
  space.commit(deviceOf(1), [[rewrite(0, 1, { content: null, exec: false }), aim(1, 2, 'u')]]);
  const { name, content, mtimeUs, exec, revision, placed, seq } = space.entries.get(entryOf(0)) as StoredEntry;
  assert.deepEqual({ name, content, mtimeUs, exec }, { name: 'f', content: file.content, mtimeUs: 5, exec: false });
  assert.deepEqual([revision, placed, seq], [3, 1, 3]);
  assert.equal(space.entries.get(entryOf(1))?.target, 'u');
  assert.equal(space.entries.get(entryOf(1))?.content, null);
});

test('a request sees what it did itself, and nothing of what failed in it', () => {
  const space = new Space();
  space.commit(deviceOf(0), [
    [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b'), make(2, ROOT_ENTRY, 'c'), make(3, entryOf(2), 'd')],
  ]);
  const kinds = (...groups: TreeOperation[][]) =>
    space
      .copy()
      .commit(deviceOf(0), groups)
      .answers.map((one) => (one.kind === 'conflict' ? one.why : one.kind));
  const remove: TreeOperation = { kind: 'delete', entry: entryOf(0), basis: 4 };
  const back: TreeOperation = { kind: 'move', entry: entryOf(0), base: 6, parent: ROOT_ENTRY, name: 'a' };
  const bad = make(9, entryOf(8), 'x');
  const inB = (entry: number, name: string) => make(entry, entryOf(1), name);
  assert.deepEqual(kinds([inB(5, 'x')], [remove], [inB(6, 'y')]), ['applied', 'applied', 'parent_gone']);
  assert.deepEqual(kinds([inB(5, 'x')], [remove], [inB(6, 'y')], [back], [inB(7, 'z')]).slice(2), [
    'parent_gone',
    'applied',
    'applied',
  ]);
  assert.deepEqual(kinds([remove, bad], [inB(5, 'x')]), ['group_failed', 'parent_gone', 'applied']);
  assert.deepEqual(kinds([inB(5, 'x'), bad], [make(6, entryOf(5), 'y')]).at(-1), 'parent_gone');
  assert.deepEqual(kinds([inB(5, 'x'), bad], [inB(6, 'x')]).at(-1), 'applied');
  // `c` goes into `b`, and what goes into `d` then makes a circle.
  const inward: TreeOperation = { kind: 'move', entry: entryOf(2), base: 3, parent: entryOf(1), name: 'c' };
  const around: TreeOperation = { kind: 'move', entry: entryOf(0), base: 1, parent: entryOf(3), name: 'a' };
  assert.deepEqual(kinds([inward], [around]), ['applied', 'cycle']);
  assert.deepEqual(kinds([inward, bad], [around]), ['group_failed', 'parent_gone', 'applied']);
  // What was put into a folder before is deleted with it, where the request did so itself.
  assert.deepEqual(kinds([inward], [remove], [make(5, entryOf(3), 'x')]), ['applied', 'applied', 'parent_gone']);
});

test('names count at the end of a group, for what is placed by it and lives', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, ROOT_ENTRY, 'b'), makeAs(2, ROOT_ENTRY, 'f', file)]]);
  space.commit(deviceOf(0), [[{ kind: 'delete', entry: entryOf(1), basis: 3 }]]);
  const kinds = (...group: TreeOperation[]) => space.copy().commit(deviceOf(0), [group]).answers;
  const gone: TreeOperation = { kind: 'delete', entry: entryOf(5), basis: 4 };
  // Another `b` lies in the trash, and may.
  assert.deepEqual(
    kinds(make(5, ROOT_ENTRY, 'b'), gone).map(({ kind }) => kind),
    ['applied', 'applied'],
  );
  assert.deepEqual(kinds(rewrite(2, 3, { mtimeUs: 9 }), make(5, ROOT_ENTRY, 'f')), [
    { kind: 'group_failed' },
    { kind: 'name_taken', by: entryOf(2) },
  ]);
});

test('of two deletes in a request each has its own basis', () => {
  const space = new Space();
  space.commit(deviceOf(0), [[make(0, ROOT_ENTRY, 'a'), make(1, ROOT_ENTRY, 'b')]]);
  space.commit(deviceOf(1), [[make(2, entryOf(0), 'x'), make(3, entryOf(1), 'y')]]);
  const of = (entry: number, basis: number): TreeOperation[] => [{ kind: 'delete', entry: entryOf(entry), basis }];
  assert.deepEqual(space.copy().commit(deviceOf(0), [of(0, 2), of(1, 4)]).answers, [
    { kind: 'conflict', why: 'changed' },
    { kind: 'applied', seq: 5, survivors: 0 },
  ]);
  assert.deepEqual(space.copy().commit(deviceOf(0), [of(1, 3), of(0, 3)]).answers, [
    { kind: 'conflict', why: 'changed' },
    { kind: 'applied', seq: 5, survivors: 0 },
  ]);
});

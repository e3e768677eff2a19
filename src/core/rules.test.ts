import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SpaceId } from './ids.ts';
import {
  compileRules,
  DEFAULT_POOL,
  DEFAULT_RULES,
  judgeCriteria,
  lookAtAges,
  lookAtPaths,
  type Criteria,
  type Rule,
  type RuledFile,
} from './rules.ts';

const SPACES = ['a'.repeat(32), 'b'.repeat(32)] as SpaceId[];
const file = (path: string, more: Partial<RuledFile> = {}): RuledFile => ({
  path,
  size: 1,
  space: SPACES[0] as SpaceId,
  owner: 'owner',
  ageMs: 0,
  ...more,
});
const poolOf = <OfRule extends Rule>(rules: readonly OfRule[], of: RuledFile) => compileRules(rules)(of);
const at = (path: string, rules: readonly Rule[] = DEFAULT_RULES): string => poolOf(rules, file(path)).pool;
const rule = (name: string, position: number, pool: string, criteria: Partial<Criteria>): Rule => ({
  rule: name,
  position,
  pool,
  extensions: [],
  ...criteria,
});
const matches = (criteria: Partial<Criteria>, of: RuledFile) =>
  poolOf([rule('r', 0, 'hit', criteria)], of).pool === 'hit';

test('the rules of a new cluster', () => {
  assert.deepEqual(
    ['song.mp3', 'Notes.TXT', 'a.b.pdf', 'photo.jpg', 'txt', '.pdf', 'mp3.', '', 'x.mp3.bak', 'a.mp3/b'].map((name) =>
      at(name),
    ),
    ['mp3', 'txt', 'pdf', 'others', 'others', 'others', 'others', 'others', 'others', 'others'],
  );
});

test('the first rule by position decides, in whatever order they come', () => {
  const late = rule('late', 9, 'archive', { extensions: ['JPG', 'raw'] });
  const early = rule('early', 2, 'photos', { extensions: ['png', 'Jpg'] });
  assert.deepEqual(poolOf([late, early], file('a.jPG')), { pool: 'photos', rule: early });
  assert.deepEqual(poolOf([early, late], file('a.jPG')), { pool: 'photos', rule: early });
  assert.deepEqual(poolOf([early, late], file('a.raw')), { pool: 'archive', rule: late });
  assert.deepEqual(poolOf([], file('a.raw')), { pool: DEFAULT_POOL, rule: null });
});

test('each criterion by itself', () => {
  const day = 86_400_000;
  const cases: [Partial<Criteria>, RuledFile, boolean][] = [
    [{ glob: '*.iso' }, file('deep/down/x.iso'), true],
    [{ glob: 'IMG_????.*' }, file('IMG_0001.heic'), true],
    [{ glob: 'IMG_????.*' }, file('IMG_1.heic'), false],
    [{ glob: 'photos/**/*.jpg' }, file('photos/2024/may/a.jpg'), true],
    [{ glob: 'photos/**/*.jpg' }, file('other/photos/a.jpg'), false],
    [{ glob: '/top.txt' }, file('sub/top.txt'), false],
    [{ sizeMin: 10 }, file('a', { size: 10 }), true],
    [{ sizeMin: 10 }, file('a', { size: 9 }), false],
    [{ sizeMax: 10 }, file('a', { size: 10 }), true],
    [{ sizeMax: 10 }, file('a', { size: 11 }), false],
    [{ space: SPACES[1] as SpaceId }, file('a'), false],
    [{ space: SPACES[1] as SpaceId }, file('a', { space: SPACES[1] as SpaceId }), true],
    [{ folder: 'photos' }, file('photos/2024/a.jpg'), true],
    [{ folder: 'photos' }, file('photos'), false],
    [{ folder: 'photos' }, file('photos2/a.jpg'), false],
    [{ folder: 'photos' }, file('old/photos/a.jpg'), false],
    [{ ageMsMin: 30 * day }, file('a', { ageMs: 30 * day }), true],
    [{ ageMsMin: 30 * day }, file('a', { ageMs: 30 * day - 1 }), false],
    [{ ageMsMin: 0 }, file('a', { ageMs: -day }), false],
    [{ owner: 'ann' }, file('a'), false],
    [{ owner: 'ann' }, file('a', { owner: 'ann' }), true],
    [{ extensions: ['jpg'], folder: 'photos', sizeMin: 5 }, file('photos/a.jpg', { size: 5 }), true],
    [{ extensions: ['jpg'], folder: 'photos', sizeMin: 5 }, file('photos/a.jpg', { size: 4 }), false],
    [{ extensions: ['jpg'], folder: 'photos', sizeMin: 5 }, file('photos/a.png', { size: 5 }), false],
    [{}, file('a'), false],
  ];
  for (const [criteria, of, expected] of cases) assert.equal(matches(criteria, of), expected, JSON.stringify(criteria));
});

test('criteria that can match nothing are told', () => {
  const bad: Partial<Criteria>[] = [
    {},
    { sizeMin: 2, sizeMax: 1 },
    ...['', '!a', '# a', 'a/', '[a', 'a\\', 'a\nb'].map((glob) => ({ glob })),
    ...['', '/a', 'a/', 'a//b', '..', 'a/./b'].map((folder) => ({ folder })),
  ];
  for (const criteria of bad) {
    assert.notEqual(judgeCriteria({ extensions: [], ...criteria }), null, JSON.stringify(criteria));
    assert.ok(!matches(criteria, file('a/b')), JSON.stringify(criteria));
  }
  assert.equal(judgeCriteria({ extensions: [], folder: 'a/b', glob: '*.x', sizeMin: 1, sizeMax: 1 }), null);
});

const names = fc.constantFrom('a', 'b.txt', 'c.MP3', 'd.pdf', '.txt', 'x.y.txt', 'ü.jpg', '');
const files = fc.record({
  path: fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
  size: fc.nat(5),
  space: fc.constantFrom(...SPACES, null),
  owner: fc.constantFrom('ann', 'bob', ''),
  ageMs: fc.integer({ min: -2, max: 5 }),
});
const criteria = fc.record(
  {
    extensions: fc.array(fc.constantFrom('txt', 'MP3', 'jpg', 'nothing'), { maxLength: 2 }),
    glob: fc.oneof(fc.constantFrom('*', '**/b.txt', 'a/*', '[', 'a?', '/a/**'), fc.string()),
    sizeMin: fc.nat(5),
    sizeMax: fc.nat(5),
    space: fc.constantFrom(...SPACES),
    folder: fc.oneof(fc.constantFrom('a', 'a/b.txt'), fc.string()),
    ageMsMin: fc.nat(5),
    owner: fc.constantFrom('ann', 'bob'),
  },
  { requiredKeys: ['extensions'] },
);
const rules = fc
  .array(fc.record({ criteria, position: fc.nat(3), pool: fc.constantFrom('p', 'q', 'r') }), { maxLength: 6 })
  .map((drawn) => drawn.map((one, index): Rule => ({ ...one.criteria, ...one, rule: `r${index}` })));

test('property: total; the first that matches by itself wins; later ones change nothing', () => {
  fc.assert(
    fc.property(rules, files, (all, of) => {
      const found = poolOf(all, of);
      const inOrder = all.toSorted((left, right) => left.position - right.position);
      const first = inOrder.find((one) => poolOf([one], of).rule !== null) ?? null;
      assert.equal(found.rule, first);
      assert.equal(found.pool, first?.pool ?? DEFAULT_POOL);
      assert.deepEqual(compileRules(all)(of), found);
      if (first)
        assert.equal(poolOf([...all, rule('late', 99, 'late', { extensions: ['txt', 'mp3', 'pdf'] })], of).rule, first);
    }),
    { numRuns: 3000 },
  );
});

test('property: each further criterion narrows, and what rules do not look at changes nothing', () => {
  fc.assert(
    fc.property(criteria, criteria, files, files, (one, more, of, other) => {
      const both = { ...one, ...more, extensions: one.extensions };
      const disjoint = Object.keys(one).every((key) => key === 'extensions' || !(key in more));
      if (disjoint && judgeCriteria(one) === null && matches(both, of)) assert.ok(matches(one, of));
      if (!lookAtAges([one])) assert.equal(matches(one, of), matches(one, { ...of, ageMs: other.ageMs }));
      if (!lookAtPaths([one]))
        assert.equal(matches(one, of), matches(one, { ...of, path: `some/where/${of.path.split('/').at(-1)}` }));
    }),
    { numRuns: 3000 },
  );
});

test('property: the original arrangement is unchanged, whatever else a file is', () => {
  const original = (path: string): string => {
    const name = path.split('/').at(-1) as string;
    return /^.+\.(mp3|txt|pdf)$/i.exec(name)?.[1]?.toLowerCase() ?? 'others';
  };
  fc.assert(
    fc.property(files, (of) => {
      assert.equal(poolOf(DEFAULT_RULES, of).pool, original(of.path));
    }),
  );
});

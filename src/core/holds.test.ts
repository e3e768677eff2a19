import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { isGenerated } from './generated.ts';
import {
  isCompressible,
  isHard,
  isOld,
  isTwin,
  judgeHold,
  NO_WEIGHT,
  populationToCount,
  type HoldCase,
  type HoldReason,
} from './holds.ts';
import { limits } from './limits.ts';

type Given = {
  readonly files?: number;
  readonly old?: number;
  readonly hardened?: number;
  readonly updates?: number;
  readonly creates?: number;
  readonly deletesDeclared?: number;
  readonly updatesDeclared?: number;
  readonly oldApplied?: number;
  readonly hardenedApplied?: number;
  readonly open?: readonly HoldReason[];
  readonly population: number;
};

function caseOf(given: Given): HoldCase {
  const old = given.old ?? 0;
  const updates = given.updates ?? 0;
  return {
    commit: { files: given.files ?? old, old, hardened: given.hardened ?? 0 },
    updates,
    creates: given.creates ?? 0,
    declared: { deletes: given.deletesDeclared ?? 0, updates: given.updatesDeclared ?? updates },
    applied: { ...NO_WEIGHT, old: given.oldApplied ?? 0, hardened: given.hardenedApplied ?? 0 },
    open: new Set(given.open),
  };
}

const judged = (given: Given) => [...judgeHold(caseOf(given), given.population)].sort();

const passes: Readonly<Record<string, Given>> = {
  'one file of many': { old: 1, population: 100 },
  'the only file there is': { old: 1, population: 1 },
  'a thousand of four thousand': { old: 1000, population: 4000 },
  'many, but a small part': { old: 5000, population: 30_000 },
  'a large part of little': { old: 500, population: 600 },
  'everything that is young': { files: 5000, old: 0, population: 5000 },
  'everything, replaced in the same commit': { old: 50, creates: 50, population: 50 },
  'thousands of rewrites that stay readable': { updates: 1000, updatesDeclared: 5000, population: 8000 },
  'a few that become noise': { updates: 150, hardened: 150, population: 8000 },
  'a few among many rewrites': { updates: 1000, hardened: 100, updatesDeclared: 4000, population: 8000 },
  'a batch that is mostly young': { files: 1000, old: 10, deletesDeclared: 4000, population: 9000 },
  'what is too few to be a sample of its batch': { files: 3, old: 3, deletesDeclared: 4000, population: 9000 },
  'a change that does not count, while much is held': { updates: 1, population: 8000, open: ['deletes', 'encrypts'] },
};

const held: Readonly<Record<string, Given & { readonly why: readonly HoldReason[] }>> = {
  'all there is': { old: 20, population: 20, why: ['emptied'] },
  'all but a ransom note': { old: 200, creates: 1, population: 200, why: ['emptied'] },
  'all there is, told by the batch': { old: 100, deletesDeclared: 900, population: 900, why: ['emptied'] },
  'more than a thousand and a quarter': { old: 1001, population: 4004, why: ['deletes'] },
  'a batch, at its first commit': { old: 1000, deletesDeclared: 2500, population: 9000, why: ['deletes'] },
  'a batch that is half young': { files: 1000, old: 500, deletesDeclared: 4000, population: 7000, why: ['deletes'] },
  'a little more, after much': { old: 10, oldApplied: 1000, population: 2000, why: ['deletes'] },
  'one more, while much is held': { old: 1, population: 90_000, open: ['deletes'], why: ['deletes'] },
  'hundreds that become noise': { updates: 200, hardened: 200, population: 8000, why: ['encrypts'] },
  'a batch of noise, at its first commit': {
    updates: 40,
    hardened: 40,
    updatesDeclared: 500,
    population: 8000,
    why: ['encrypts'],
  },
  'a trickle of noise': { updates: 1, hardened: 1, hardenedApplied: 199, population: 8000, why: ['encrypts'] },
  'noise beside what is deleted': { old: 300, hardened: 300, population: 8000, why: ['encrypts'] },
};

for (const [title, given] of Object.entries(passes))
  test(`passes: ${title}`, () => assert.deepEqual(judged(given), []));
for (const [title, given] of Object.entries(held))
  test(`is held: ${title}`, () => assert.deepEqual(judged(given), given.why));

const amount = fc.integer({ min: 0, max: 5000 });
const anyCase = fc.record({
  old: amount,
  more: amount,
  hardened: fc.integer({ min: 0, max: 400 }),
  updates: fc.integer({ min: 0, max: 400 }),
  creates: fc.integer({ min: 0, max: 50 }),
  deletesDeclared: amount,
  updatesDeclared: amount,
  oldApplied: amount,
  hardenedApplied: fc.integer({ min: 0, max: 400 }),
  population: fc.integer({ min: 0, max: 30_000 }),
});

test('counting the population no further than is asked for changes no judgement', () => {
  fc.assert(
    fc.property(anyCase, ({ more, ...given }) => {
      const one = caseOf({ ...given, files: given.old + more });
      const counted = Math.min(given.population, populationToCount(one));
      assert.deepEqual(judgeHold(one, counted), judgeHold(one, given.population));
    }),
    { numRuns: 2000 },
  );
});

test('what a device says of its batch never lets anything pass', () => {
  fc.assert(
    fc.property(anyCase, ({ more, ...given }) => {
      const files = given.old + more;
      const silent = judged({ ...given, files, deletesDeclared: 0, updatesDeclared: 0 });
      const talking = new Set(judged({ ...given, files }));
      for (const reason of silent) assert.ok(talking.has(reason));
    }),
    { numRuns: 2000 },
  );
});

test('doing the same in smaller commits is judged alike, at the latest when it has been done', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 4000 }),
      fc.integer({ min: 0, max: 4000 }),
      fc.integer({ min: 1, max: 900 }),
      (going, staying, step) => {
        if (judged({ old: going, population: going + staying }).length === 0) return;
        let done = 0;
        for (; done < going; done += Math.min(step, going - done)) {
          const given = { old: Math.min(step, going - done), oldApplied: done, population: going + staying - done };
          if (judged(given).length > 0) break;
        }
        assert.ok(done < going, 'it was held before all of it was done');
        assert.ok(done <= Math.max(limits.holdDeletes, limits.holdDeletesPart * (going + staying)));
      },
    ),
    { numRuns: 500 },
  );
});

test('generated folders are known by name, objects of git by the folder above too', () => {
  for (const name of ['node_modules', 'build', 'dist', 'target', '__pycache__', '.venv'])
    assert.ok(isGenerated(name, ''));
  assert.ok(isGenerated('objects', '.git'));
  for (const name of ['Build', 'objects', 'src', 'Documents', '.git']) assert.ok(!isGenerated(name, ''));
});

test('a day makes old; so does a clock that was set back by more than that', () => {
  const nowMs = 1_700_000_000_000;
  const ages = [0, limits.holdYoungMs - 1, limits.holdYoungMs, -limits.holdYoungMs, -limits.holdYoungMs - 1];
  assert.deepEqual(
    ages.map((ageMs) => isOld(nowMs - ageMs, nowMs)),
    [false, false, true, false, true],
  );
});

test('text can be compressed, noise cannot, and what is tiny is neither', () => {
  assert.ok(isCompressible({ size: 4000, storedBytes: 1500 }));
  assert.ok(isHard({ size: 4000, storedBytes: 4000 }));
  for (const size of [0, 100])
    assert.ok(!isHard({ size, storedBytes: size }) && !isCompressible({ size, storedBytes: 0 }));
});

test('an encrypted twin has the name and another extension, that of no packing program', () => {
  for (const made of ['a.txt.locked', 'a.locked', 'a.txt.7f3a']) assert.ok(isTwin('a.txt', made), made);
  for (const made of ['a.txt', 'a.txt.gz', 'a.PDF', 'b.txt.locked', 'ab.locked', 'a.tar.zst'])
    assert.ok(!isTwin('a.txt', made), made);
  assert.ok(isTwin('README', 'README.crypt'));
});

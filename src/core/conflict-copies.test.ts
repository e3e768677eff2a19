import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readConflictName } from './conflict-copies.ts';
import { conflictName, judgeName } from './name.ts';

const by = { deviceName: 'bert', date: '2026-11-25' };
const never = () => false;

test('a copy says what it is of, who made it and when', () => {
  for (const original of [
    'plan.txt',
    'plan',
    '.hidden',
    'a.b.c',
    'archive.tar.gz',
    'ends.',
    'x (1).md',
    'plan, draft.txt',
  ])
    assert.deepEqual(
      readConflictName(conflictName(original, by, never)),
      { of: original, device: 'bert', date: '2026-11-25' },
      original,
    );
});

test('a second copy on one day, and a copy of a copy', () => {
  const first = conflictName('plan.txt', by, never);
  const second = conflictName('plan.txt', by, (name) => name === first);
  assert.equal(second, 'plan (conflicted copy, bert, 2026-11-25 2).txt');
  assert.equal(readConflictName(second)?.of, 'plan.txt');
  const ofCopy = conflictName(first, { ...by, deviceName: 'carl' }, never);
  assert.deepEqual(readConflictName(ofCopy), { of: first, device: 'carl', date: '2026-11-25' });
});

test('devices with odd names, and with none', () => {
  for (const [deviceName, shown] of [
    ['a, b', 'a, b'],
    ['x.y', 'x.y'],
    ['a/b', 'a-b'],
    ['', ''],
  ] as const) {
    const name = conflictName('plan.txt', { ...by, deviceName }, never);
    assert.deepEqual(readConflictName(name), { of: 'plan.txt', device: shown, date: '2026-11-25' }, name);
  }
});

test('whatever we would not have called so is no copy', () => {
  for (const name of [
    'plan.txt',
    'plan (conflicted copy).txt',
    'plan (conflicted copy, bert).txt',
    'plan (conflicted copy, bert, 2026-13-25).txt',
    'plan (conflicted copy, bert, 2026-02-30).txt',
    'plan (conflicted copy, bert, 2026-11-25 1).txt',
    'plan (conflicted copy, bert, 2026-11-25 02).txt',
    'plan (conflicted copy, bert, 2026-11-25) final.txt',
    'plan.txt (conflicted copy, bert, 2026-11-25)',
    'plan (conflicted copy, a/b, 2026-11-25).txt',
    'plan (Conflicted Copy, bert, 2026-11-25).txt',
    ' (conflicted copy, bert, 2026-11-25)',
    "plan (bert's conflicted copy 2026-11-25).txt",
  ])
    assert.equal(readConflictName(name), null, name);
});

test('every name that is given can be read', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }).filter((text) => judgeName(text) === null);
  const date = fc.constantFrom('2026-11-25', '1999-01-01');
  fc.assert(
    fc.property(
      name,
      fc.string({ unit: 'grapheme', maxLength: 80 }),
      date,
      fc.nat({ max: 12 }),
      (of, deviceName, day, taken) => {
        let left = taken;
        const given = conflictName(of, { deviceName, date: day }, () => left-- > 0);
        const read = readConflictName(given);
        assert.ok(read, given);
        assert.equal(read.date, day);
        // What the limit cut off is not in the name any more.
        if (given.length < 200) assert.equal(read.of, of);
      },
    ),
    { numRuns: 2000 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from './bytes.ts';
import { diffLines } from './line-diff.ts';
import { isForMerging, MERGED_BYTES_MAX, mergeTexts } from './merge-text.ts';

function merge(base: string, theirs: string, ours: string): string | null {
  const merged = mergeTexts(utf8(base), utf8(theirs), utf8(ours));
  return merged && new TextDecoder('utf-8', { ignoreBOM: true }).decode(merged);
}

test('changes of different parts are both in it', () => {
  assert.equal(merge('1\n2\n3\n4\n5\n', '1!\n2\n3\n4\n5\n', '1\n2\n3\n4\n5!\n'), '1!\n2\n3\n4\n5!\n');
  assert.equal(merge('1\n2\n3\n', '0\n1\n2\n3\n', '1\n2\n3\n4\n'), '0\n1\n2\n3\n4\n');
  assert.equal(merge('1\n2\n3\n4\n5\n', '1\n3\n4\n5\n', '1\n2\n3\n4\nnew\n5\n'), '1\n3\n4\nnew\n5\n');
});

test('one side alone, and the same change on both', () => {
  assert.equal(merge('1\n2\n', '1\n2\n', '1\n2!\n'), '1\n2!\n');
  assert.equal(merge('1\n2\n', '1\n2!\n', '1\n2\n'), '1\n2!\n');
  assert.equal(merge('1\n2\n3\n', '1\nsame\n3\n', '1\nsame\n3\n'), '1\nsame\n3\n');
  assert.equal(merge('1\n', '', ''), '');
});

test('what overlaps or touches is no merge', () => {
  assert.equal(merge('1\n2\n3\n', '1\nA\n3\n', '1\nB\n3\n'), null);
  assert.equal(merge('1\n2\n3\n', 'A\n2\n3\n', '1\nB\n3\n'), null, 'neighbours');
  assert.equal(merge('1\n2\n', '1\nA\n2\n', '1\nB\n2\n'), null, 'two insertions at one place');
  assert.equal(merge('1\n2\n3\n', '', '1\n2!\n3\n'), null, 'a deletion and an edit');
  assert.equal(merge('1\n2\n', '1\n2\nA\n', '1\n2\nB\n'), null, 'two ends');
});

test('endings of lines are kept as they are, and a change of them all is a change of all', () => {
  assert.equal(merge('1\r\n2\r\n3\r\n', '1!\r\n2\r\n3\r\n', '1\r\n2\r\n3!\r\n'), '1!\r\n2\r\n3!\r\n');
  assert.equal(merge('1\n2\n3\n', '1\r\n2\r\n3\r\n', '1\n2\n3!\n'), null);
  assert.equal(merge('\ufeff1\n2\n3', '\ufeff1!\n2\n3', '\ufeff1\n2\n3!'), '\ufeff1!\n2\n3!');
  assert.equal(merge('1\n2\n3', '1!\n2\n3', '1\n2\n3\n4'), '1!\n2\n3\n4');
});

test('only well-formed text of a bounded size', () => {
  const text = utf8('1\n2\n');
  assert.equal(mergeTexts(text, text, Uint8Array.of(0x31, 0xff, 0x0a)), null);
  assert.equal(mergeTexts(text, text, utf8('1\0\n')), null);
  const large = utf8('x'.repeat(MERGED_BYTES_MAX));
  assert.equal(mergeTexts(large, large, utf8(`${'x'.repeat(MERGED_BYTES_MAX)}\n`)), null);
  const half = `${'x'.repeat(MERGED_BYTES_MAX / 2)}\n`;
  assert.equal(merge('1\n2\n3\n', `${half}2\n3\n`, `1\n2\n${half}`), null, 'two that fit, and their merge does not');
});

test('files by their extension, and never under .git', () => {
  assert.ok(isForMerging('notes.md', ['md']));
  assert.ok(isForMerging('dir/Notes.MD', ['txt', 'Md']));
  for (const path of ['notes.txt', 'md', '.md', 'notes.md.bak', '.git/notes.md', 'a/.git/refs/x.md', 'a/.GIT/x.md'])
    assert.ok(!isForMerging(path, ['md']), path);
  assert.ok(!isForMerging('notes.md', []));
  assert.ok(isForMerging('.github/notes.md', ['md']));
});

const lines = (max: number) => fc.array(fc.constantFrom('', 'a', 'b', 'c'), { maxLength: max });

test('a difference turns the one into the other, with no more lines than needed', () => {
  fc.assert(
    fc.property(lines(14), lines(14), (base, other) => {
      const changes = diffLines(base, other);
      assert.ok(changes);
      const made: string[] = [];
      let at = 0;
      for (const [index, { baseFrom, baseTo, from, to }] of changes.entries()) {
        assert.ok(baseTo > baseFrom || to > from);
        if (index > 0) assert.ok(baseFrom > at, 'changes do not touch');
        made.push(...base.slice(at, baseFrom));
        assert.equal(made.length, from);
        made.push(...other.slice(from, to));
        at = baseTo;
      }
      assert.deepEqual([...made, ...base.slice(at)], other);
      const count = changes.reduce((sum, { baseFrom, baseTo, from, to }) => sum + baseTo - baseFrom + to - from, 0);
      assert.equal(count, base.length + other.length - 2 * commonLength(base, other));
    }),
    { numRuns: 2000 },
  );
});

/** Of the longest common subsequence, by the table. */
function commonLength(left: readonly string[], right: readonly string[]): number {
  let row = Array.from({ length: right.length + 1 }, () => 0);
  for (const one of left) {
    const next = [0];
    right.forEach((other, index) => {
      next.push(one === other ? (row[index] ?? 0) + 1 : Math.max(next[index] ?? 0, row[index + 1] ?? 0));
    });
    row = next;
  }
  return row[right.length] ?? 0;
}

test('a merge holds what both did, whichever side is whose', () => {
  const text = (parts: readonly string[]) => parts.map((part) => `${part}\n`).join('');
  fc.assert(
    fc.property(lines(10), lines(10), lines(10), (base, theirs, ours) => {
      const merged = merge(text(base), text(theirs), text(ours));
      assert.equal(merged, merge(text(base), text(ours), text(theirs)), 'the sides are equal');
      if (merged === null) return;
      if (text(base) === text(theirs)) assert.equal(merged, text(ours));
      if (text(ours) === text(theirs)) assert.equal(merged, text(ours));
      // Whatever either side put in is in it, and only what one of them took out is not; what both did alike counts once.
      const now = merged.split('\n').slice(0, -1);
      for (const one of ['a', 'b', 'c', '']) {
        const [left, right] = [tally(base, theirs, one), tally(base, ours, one)];
        const before = base.filter((line) => line === one).length;
        const after = now.filter((line) => line === one).length;
        assert.ok(after >= before - left.removed - right.removed + Math.max(left.added, right.added));
        assert.ok(after <= before - Math.max(left.removed, right.removed) + left.added + right.added);
      }
    }),
    { numRuns: 5000 },
  );
});

/** How often a line was put in and taken out. */
function tally(base: readonly string[], other: readonly string[], one: string) {
  const changes = diffLines(base, other) ?? [];
  const count = (lines: readonly string[]) => lines.filter((line) => line === one).length;
  return {
    added: changes.reduce((sum, { from, to }) => sum + count(other.slice(from, to)), 0),
    removed: changes.reduce((sum, { baseFrom, baseTo }) => sum + count(base.slice(baseFrom, baseTo)), 0),
  };
}

test('edits of different paragraphs of any text merge', () => {
  const paragraph = fc.array(fc.constantFrom('x', 'y', '}', ''), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(paragraph, paragraph, paragraph, paragraph, (first, second, theirs, ours) => {
      const text = (top: readonly string[], end: readonly string[]) =>
        [...top, 'the very middle', ...end, ''].join('\n');
      const merged = merge(text(first, second), text(theirs, second), text(first, ours));
      assert.equal(merged, text(theirs, ours));
    }),
  );
});

test('lines that repeat without end, and texts that differ in everything, end soon', () => {
  const many = Array.from({ length: 60_000 }, (_, index) => (index % 3 === 0 ? '' : index % 3 === 1 ? '}' : '  x'));
  const base = many.join('\n');
  const theirs = ['first', ...many].join('\n');
  assert.equal(merge(base, theirs, `${base}last\n`), `${theirs}last\n`);
  const other = Array.from({ length: 60_000 }, (_, index) => `other ${index % 7}`).join('\n');
  assert.equal(merge(base, other, `${base}last\n`), null);
});

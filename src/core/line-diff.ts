/**
 * What turns one list of lines into another, as few lines as possible (Myers, "An O(ND) difference algorithm", 1986). Pure. Bounded: lists
 * that differ in more than `CHANGES_MAX` lines have no answer, so that no input takes long, however its lines repeat.
 */

/** Lines [baseFrom, baseTo) of the one list stand as [from, to) in the other. Between two of these both are equal. */
export type LineChange = {
  readonly baseFrom: number;
  readonly baseTo: number;
  readonly from: number;
  readonly to: number;
};

/** Time and memory grow with its square. */
const CHANGES_MAX = 2000;

/** In order, none touching another. Null where they differ in too much. */
export function diffLines(base: readonly string[], other: readonly string[]): LineChange[] | null {
  let start = 0;
  const shorter = Math.min(base.length, other.length);
  while (start < shorter && base[start] === other[start]) start++;
  let end = 0;
  while (end < shorter - start && base[base.length - 1 - end] === other[other.length - 1 - end]) end++;
  const middle = diffMiddle(base, other, { start, baseEnd: base.length - end, otherEnd: other.length - end });
  return middle && joined(middle);
}

type Middle = { readonly start: number; readonly baseEnd: number; readonly otherEnd: number };
type Edit = { readonly base: number; readonly other: number; readonly kind: 'removed' | 'added' };

/** Single lines removed and added, last first. Diagonal k: places where (lines of base) - (lines of other) is k. */
function diffMiddle(base: readonly string[], other: readonly string[], middle: Middle): Edit[] | null {
  const { start } = middle;
  const baseCount = middle.baseEnd - start;
  const otherCount = middle.otherEnd - start;
  const changesMax = Math.min(baseCount + otherCount, CHANGES_MAX);
  /** How far in base each diagonal was reached, per number of changes; at k + changes. */
  const reached: Int32Array[] = [];
  for (let changes = 0; changes <= changesMax; changes++) {
    const row = new Int32Array(2 * changes + 1);
    reached.push(row);
    for (let k = -changes; k <= changes; k += 2) {
      let at = bestStart(reached, changes, k);
      while (at < baseCount && at - k < otherCount && base[start + at] === other[start + at - k]) at++;
      row[k + changes] = at;
      if (at >= baseCount && at - k >= otherCount) return walkBack(reached, start, baseCount, otherCount);
    }
  }
  return null;
}

/** A line was added (diagonal above) where that got further, else removed. */
function bestStart(reached: readonly Int32Array[], changes: number, k: number): number {
  if (changes === 0) return 0;
  return isAdded(reached, changes, k) ? at(reached, changes - 1, k + 1) : at(reached, changes - 1, k - 1) + 1;
}

function isAdded(reached: readonly Int32Array[], changes: number, k: number): boolean {
  return k === -changes || (k !== changes && at(reached, changes - 1, k - 1) < at(reached, changes - 1, k + 1));
}

function at(reached: readonly Int32Array[], changes: number, k: number): number {
  return reached[changes]?.[k + changes] ?? 0;
}

function walkBack(reached: readonly Int32Array[], start: number, baseCount: number, otherCount: number): Edit[] {
  const edits: Edit[] = [];
  let k = baseCount - otherCount;
  for (let changes = reached.length - 1; changes > 0; changes--) {
    const added = isAdded(reached, changes, k);
    const before = added ? k + 1 : k - 1;
    const base = at(reached, changes - 1, before);
    edits.push({ base: start + base, other: start + base - before, kind: added ? 'added' : 'removed' });
    k = before;
  }
  return edits;
}

/** Single edits that touch are one change. */
function joined(edits: readonly Edit[]): LineChange[] {
  const changes: LineChange[] = [];
  for (const { base, other, kind } of edits.toReversed()) {
    const baseTo = kind === 'removed' ? base + 1 : base;
    const to = kind === 'added' ? other + 1 : other;
    const last = changes.at(-1);
    if (last && last.baseTo === base && last.to === other) changes[changes.length - 1] = { ...last, baseTo, to };
    else changes.push({ baseFrom: base, baseTo, from: other, to });
  }
  return changes;
}

/**
 * Three-way merge of line texts, and which files it is for. Pure. Whole or not at all: where the two sides changed lines that overlap or touch,
 * and not in the same way, there is no merge, and never a text with marks in it.
 */
import { fromUtf8, utf8, type Bytes } from './bytes.ts';
import { diffLines, type LineChange } from './line-diff.ts';
import { KIB } from './limits.ts';

/** Of each of the three, and of what comes of them: one chunk. */
export const MERGED_BYTES_MAX = 512 * KIB;
const LINES_MAX = 100_000;

/** `extensions`: without the dot, any letter case. Never under `.git`: what lies there belongs together. */
export function isForMerging(path: string, extensions: readonly string[]): boolean {
  const names = path.split('/');
  if (names.some((name) => name.toLowerCase() === '.git')) return false;
  const name = names.at(-1) ?? '';
  const dot = name.lastIndexOf('.');
  // A leading dot hides a file; it begins no extension.
  if (dot <= 0) return false;
  const extension = name.slice(dot + 1).toLowerCase();
  return extensions.some((one) => one.toLowerCase() === extension);
}

/** Null where it is no text that can be merged, or both changed the same part of it. */
export function mergeTexts(base: Bytes, theirs: Bytes, ours: Bytes): Uint8Array | null {
  const baseLines = linesOf(base);
  const theirLines = linesOf(theirs);
  const ourLines = linesOf(ours);
  if (!baseLines || !theirLines || !ourLines) return null;
  const theirChanges = diffLines(baseLines, theirLines);
  const ourChanges = diffLines(baseLines, ourLines);
  if (!theirChanges || !ourChanges) return null;
  const merged = mergeLines(
    baseLines,
    { lines: theirLines, changes: theirChanges },
    { lines: ourLines, changes: ourChanges },
  );
  if (!merged || !isJoinable(merged)) return null;
  const bytes = utf8(merged.join(''));
  return bytes.length > MERGED_BYTES_MAX ? null : bytes;
}

/** Each with its own ending, whatever that is; joined they are the text again. */
function linesOf(bytes: Bytes): string[] | null {
  if (bytes.length > MERGED_BYTES_MAX) return null;
  const text = fromUtf8(bytes);
  if (text === null || text.includes('\0')) return null;
  const lines = text.split(/(?<=\n)/);
  return lines.length > LINES_MAX ? null : lines.filter((line) => line !== '');
}

/** A last line without an ending, and something behind it, would run together. */
function isJoinable(lines: readonly string[]): boolean {
  return lines.every((line, index) => line.endsWith('\n') || index === lines.length - 1);
}

type Side = { readonly lines: readonly string[]; readonly changes: readonly LineChange[] };
/** Lines [from, to) of base that at least one side changed, with the changes that lie in it. */
type Region = {
  readonly from: number;
  readonly to: number;
  readonly theirs: LineChange[];
  readonly ours: LineChange[];
};

function mergeLines(base: readonly string[], theirs: Side, ours: Side): string[] | null {
  const merged: string[] = [];
  let at = 0;
  for (const region of regionsOf(theirs.changes, ours.changes)) {
    append(merged, base, at, region.from);
    at = region.to;
    const theirText = textOf(theirs.lines, region, region.theirs);
    const ourText = textOf(ours.lines, region, region.ours);
    if (theirText && ourText && !isEqual(theirText, ourText)) return null;
    const chosen = theirText ?? ourText ?? [];
    append(merged, chosen, 0, chosen.length);
  }
  append(merged, base, at, base.length);
  return merged;
}

/** Changes that touch belong together, whichever side made them. */
function regionsOf(theirs: readonly LineChange[], ours: readonly LineChange[]): Region[] {
  const all = [
    ...theirs.map((change) => ({ change, side: 'theirs' as const })),
    ...ours.map((change) => ({ change, side: 'ours' as const })),
  ].sort((left, right) => left.change.baseFrom - right.change.baseFrom || left.change.baseTo - right.change.baseTo);
  const regions: Region[] = [];
  for (const { change, side } of all) {
    const last = regions.at(-1);
    if (last && change.baseFrom <= last.to) {
      last[side].push(change);
      regions[regions.length - 1] = { ...last, to: Math.max(last.to, change.baseTo) };
    } else {
      const region: Region = { from: change.baseFrom, to: change.baseTo, theirs: [], ours: [] };
      region[side].push(change);
      regions.push(region);
    }
  }
  return regions;
}

/** What a side has in place of the region; null where it changed nothing in it. */
function textOf(lines: readonly string[], region: Region, changes: readonly LineChange[]): readonly string[] | null {
  const first = changes[0];
  const last = changes.at(-1);
  if (!first || !last) return null;
  return lines.slice(first.from - (first.baseFrom - region.from), last.to + (region.to - last.baseTo));
}

function isEqual(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((line, index) => line === right[index]);
}

function append(to: string[], lines: readonly string[], from: number, end: number): void {
  for (let index = from; index < end; index++) to.push(lines[index] as string);
}

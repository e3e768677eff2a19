/** The parts of a page that are written by the benchmark, each between two marks of its own. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

export type PagePart = 'bench' | 'cluster';

/** Splits a page at the marks of a part. Throws where it has none: better before a run of an hour than after it. */
export function readPage(path: string, part: PagePart): { readonly before: string; readonly after: string } {
  const [beginMark, endMark] = [`<!-- ${part}:begin -->`, `<!-- ${part}:end -->`];
  const text = readFileSync(path, 'utf8');
  const begin = text.indexOf(beginMark);
  const end = text.indexOf(endMark);
  if (begin === -1 || end < begin) throw new Error(`${path} has no place for the result, ${beginMark} and ${endMark}`);
  return { before: text.slice(0, begin + beginMark.length), after: text.slice(end) };
}

export function writePage(path: string, part: PagePart, result: string): void {
  const { before, after } = readPage(path, part);
  writeFileSync(`${path}.new`, `${before}\n\n${result}\n\n${after}`);
  renameSync(`${path}.new`, path);
}

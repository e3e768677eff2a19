/** The one part of a page that is written by the benchmark. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** Splits a page at its marks. Throws where it has none: better before a run of an hour than after it. */
export function readPage(path: string): { readonly before: string; readonly after: string } {
  const text = readFileSync(path, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`${path} has no place for the result, ${BEGIN} and ${END}`);
  return { before: text.slice(0, begin + BEGIN.length), after: text.slice(end) };
}

export function writePage(path: string, result: string): void {
  const { before, after } = readPage(path);
  writeFileSync(`${path}.new`, `${before}\n\n${result}\n\n${after}`);
  renameSync(`${path}.new`, path);
}

/**
 * What a `.holdfastignore` says: lines as in a `.gitignore`, for the folder that it lies in and all below. Names are compared by their
 * exact characters, letter case included, so that every device comes to the same answer. No pattern takes more than its own length
 * times that of the path: nothing is tried twice.
 */
import { must } from './assert.ts';

/** Rules never ignore a file of this name: they are to reach the other devices. */
export const IGNORE_FILE = '.holdfastignore';
/** No path is longer. */
const PATTERN_CHARACTERS_MAX = 4096;

type Rule = {
  /** `!`: what it matches is not ignored after all. */
  readonly negated: boolean;
  readonly foldersOnly: boolean;
  /** Compared with the name alone, wherever it lies; else with the whole path below the folder of the rules. */
  readonly byName: boolean;
  /** Git reads over a pattern that does not end as it should: it matches nothing. */
  readonly sound: boolean;
  readonly matches: (text: string) => boolean;
};
/** In the order of the lines: the last that matches decides. */
export type IgnoreRules = readonly Rule[];

export function parseIgnore(text: string): IgnoreRules {
  const lines = (text.startsWith('\ufeff') ? text.slice(1) : text).split('\n');
  return lines.flatMap((line) => parseLine(line.endsWith('\r') ? line.slice(0, -1) : line) ?? []);
}

/** Holds everywhere, before all rules of the space, so that a line with `!` can undo it: git's locks are of this machine's processes. */
export const DEFAULT_RULES = parseIgnore('**/.git/**/*.lock');

/** True: ignored; false: a `!` says that it is not; null: no rule speaks of it. `path`: below the folder of the rules, itself not ignored. */
export function judgeIgnore(rules: IgnoreRules, path: string, isFolder: boolean): boolean | null {
  const name = path.slice(path.lastIndexOf('/') + 1);
  for (let at = rules.length - 1; at >= 0; at--) {
    const rule = must(rules[at], 'an index within the rules');
    if (rule.foldersOnly && !isFolder) continue;
    if (rule.matches(rule.byName ? name : path)) return !rule.negated;
  }
  return null;
}

/**
 * One pattern by itself: the name of a file alone where it has no slash, else the whole path. Null where it could match no file: it is
 * empty, too long, does not end as it should, names folders alone, or is a comment or an exception.
 */
export function globOf(pattern: string): ((path: string) => boolean) | null {
  const rule = /[\r\n]/.test(pattern) ? null : parseLine(pattern);
  if (rule === null || rule.negated || rule.foldersOnly || !rule.sound) return null;
  return (path) => rule.matches(rule.byName ? path.slice(path.lastIndexOf('/') + 1) : path);
}

function parseLine(line: string): Rule | null {
  if (line.startsWith('#')) return null;
  let pattern = withoutTrailingSpaces(line);
  const negated = pattern.startsWith('!');
  if (negated) pattern = pattern.slice(1);
  const foldersOnly = pattern.endsWith('/');
  if (foldersOnly) pattern = pattern.slice(0, -1);
  const byName = !pattern.includes('/');
  if (pattern.startsWith('/')) pattern = pattern.slice(1);
  if (pattern === '' || pattern.length > PATTERN_CHARACTERS_MAX) return null;
  const matches = matcherOf(pattern, byName);
  return { negated, foldersOnly, byName, sound: matches !== null, matches: matches ?? (() => false) };
}

/** But for those that a backslash keeps. */
function withoutTrailingSpaces(line: string): string {
  let end = 0;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === '\\') at++;
    else if (line[at] === ' ') continue;
    end = Math.min(at + 1, line.length);
  }
  return line.slice(0, end);
}

/** Null where it is no pattern. */
function matcherOf(pattern: string, byName: boolean): ((text: string) => boolean) | null {
  if (!/[*?[\\]/.test(pattern)) return (text) => text === pattern;
  const ending = pattern.slice(1);
  if (byName && pattern.startsWith('*') && !/[*?[\\]/.test(ending)) return (text) => text.endsWith(ending);
  const tokens = tokensOf(Array.from(pattern), byName);
  return tokens && ((text) => run(tokens, text));
}

type Token =
  | { readonly kind: 'one'; readonly is: (character: string) => boolean }
  /** Any characters; `*` none that is a slash. */
  | { readonly kind: 'many'; readonly slashes: boolean }
  /** `**` with a slash after it: no folder at all, or any number of whole ones. */
  | { readonly kind: 'folders' };

/** Null where it is no pattern, and so matches nothing. */
function tokensOf(pattern: readonly string[], byName: boolean): readonly Token[] | null {
  const tokens: Token[] = [];
  let at = 0;
  while (at < pattern.length) {
    const character = pattern[at];
    if (character === '*') {
      const begin = at;
      while (pattern[at] === '*') at++;
      const begins = begin === 0 || pattern[begin - 1] === '/';
      const wide = !byName && at - begin > 1 && begins && (at === pattern.length || pattern[at] === '/');
      if (wide && at < pattern.length) {
        at++;
        tokens.push({ kind: 'folders' });
      } else tokens.push({ kind: 'many', slashes: wide });
    } else if (character === '[') {
      const set = setOf(pattern, at + 1);
      if (set === null) return null;
      at = set.end;
      tokens.push({ kind: 'one', is: (other) => other !== '/' && set.has(other) });
    } else if (character === '?') {
      at++;
      tokens.push({ kind: 'one', is: (other) => other !== '/' });
    } else {
      if (character === '\\') at++;
      const literal = pattern[at];
      if (literal === undefined) return null;
      at++;
      tokens.push({ kind: 'one', is: (other) => other === literal });
    }
  }
  return tokens;
}

const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /^[0-9A-Za-z]$/,
  alpha: /^[A-Za-z]$/,
  blank: /^[ \t]$/,
  cntrl: /^\p{Cc}$/u,
  digit: /^[0-9]$/,
  graph: /^[!-~]$/,
  lower: /^[a-z]$/,
  print: /^[ -~]$/,
  punct: /^[!-/:-@[-`{-~]$/,
  space: /^[ \t\n\v\f\r]$/,
  upper: /^[A-Z]$/,
  xdigit: /^[0-9A-Fa-f]$/,
};

/** `[a-z]` and its like, from behind the bracket on. Null where it does not end. */
function setOf(
  pattern: readonly string[],
  from: number,
): { readonly end: number; readonly has: (character: string) => boolean } | null {
  let at = from;
  const negated = pattern[at] === '!' || pattern[at] === '^';
  if (negated) at++;
  const parts: ((character: string) => boolean)[] = [];
  /** What a range may begin with. */
  let before: string | null = null;
  for (let first = true; first || pattern[at] !== ']'; first = false) {
    let character = pattern[at++];
    if (character === undefined) return null;
    const end = pattern[at];
    if (character === '-' && before !== null && end !== undefined && end !== ']') {
      const low = before;
      at++;
      const high = end === '\\' ? pattern[at++] : end;
      if (high === undefined) return null;
      parts.push((other) => isBetween(low, other, high));
      before = null;
      continue;
    }
    if (character === '[' && end === ':') {
      const close = pattern.indexOf(']', at + 1);
      if (close < 0) return null;
      if (close > at + 1 && pattern[close - 1] === ':') {
        const known = CLASSES[pattern.slice(at + 1, close - 1).join('')];
        if (!known) return null;
        parts.push((other) => known.test(other));
        before = null;
        at = close + 1;
        continue;
      }
    }
    if (character === '\\') character = pattern[at++];
    if (character === undefined) return null;
    const literal = character;
    parts.push((other) => other === literal);
    before = literal;
  }
  return { end: at + 1, has: (character) => parts.some((part) => part(character)) !== negated };
}

function isBetween(low: string, character: string, high: string): boolean {
  const code = (text: string) => text.codePointAt(0) ?? 0;
  return code(low) <= code(character) && code(character) <= code(high);
}

/** All ways at once: the set of tokens that may come next, after each character. */
function run(tokens: readonly Token[], text: string): boolean {
  let now = new Set<number>();
  enter(tokens, 0, now);
  /** Tokens `folders` that are in the middle of a folder's name. */
  let within = new Set<number>();
  for (const character of text) {
    const next = new Set<number>();
    const nextWithin = new Set<number>();
    for (const at of now) {
      const token = tokens[at];
      if (token?.kind === 'one' && token.is(character)) enter(tokens, at + 1, next);
      else if (token?.kind === 'many' && (token.slashes || character !== '/')) enter(tokens, at, next);
      else if (token?.kind === 'folders') within.add(at);
    }
    for (const at of within) {
      nextWithin.add(at);
      if (character === '/') enter(tokens, at + 1, next);
    }
    now = next;
    within = nextWithin;
  }
  return now.has(tokens.length);
}

/** What may be skipped is. */
function enter(tokens: readonly Token[], at: number, into: Set<number>): void {
  for (let index = at; !into.has(index); index++) {
    into.add(index);
    const kind = tokens[index]?.kind;
    if (kind !== 'many' && kind !== 'folders') return;
  }
}

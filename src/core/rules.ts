/** Which pool a file's bytes belong to, and what else its rule says. Pure: the same file under the same rules goes to the same pool, whoever asks. */
import { globOf } from './ignore.ts';
import type { SpaceId } from './ids.ts';
import { poolWith } from './pool-name.ts';
import type { Compression } from './seal.ts';

/** All that are named must hold. A rule that names none matches nothing: it would hide every rule after it. */
export type Criteria = {
  /** Without the dot, any letter case. Empty: any. */
  readonly extensions: readonly string[];
  /** As a line of a `.gitignore` at the root of the space; compared with the name alone where it has no slash. */
  readonly glob?: string | undefined;
  /** Bytes, both included. */
  readonly sizeMin?: number | undefined;
  readonly sizeMax?: number | undefined;
  readonly space?: SpaceId | undefined;
  /** Path of a folder in the space: the file lies anywhere below it. */
  readonly folder?: string | undefined;
  /** Milliseconds since the file was last changed. */
  readonly ageMsMin?: number | undefined;
  /** Name of the account whose space it is. */
  readonly owner?: string | undefined;
};

export type Rule = Criteria & {
  /** The rule's own name, a-z and 0-9. */
  readonly rule: string;
  readonly position: number;
  readonly pool: string;
  /** Of each block, on the pool's nodes; none: as many as the pool keeps. */
  readonly copies?: number | undefined;
  /** For how many days on which the server runs older revisions, and what is in the trash, are kept at least. None: for ever. */
  readonly historyDays?: number | undefined;
  /** Of blocks that are sealed from now on; none: `usual`. */
  readonly compression?: Compression | undefined;
};

/** What rules look at. */
export type RuledFile = {
  /** In its space, `/` between names; the last is the file's own. */
  readonly path: string;
  readonly size: number;
  readonly space: SpaceId | null;
  readonly owner: string;
  /** Below 0 where a clock went back: such a file is new. */
  readonly ageMs: number;
};

/** `pool`: where its bytes lie (`pool-name.ts`). */
export type Placed<OfRule extends Rule = Rule> = { readonly pool: string; readonly rule: OfRule | null };

/** Always exists; takes what no rule names a pool for. */
export const DEFAULT_POOL = 'others';

/** What a new cluster starts with. */
export const DEFAULT_RULES: readonly Rule[] = ['mp3', 'txt', 'pdf'].map((extension, position) => ({
  rule: extension,
  position,
  extensions: [extension],
  pool: extension,
}));

/** Of the rules that match, the one of lowest position decides; of equals, the one that comes first. `rule: null` says that none did. */
export function compileRules<OfRule extends Rule>(rules: readonly OfRule[]): (file: RuledFile) => Placed<OfRule> {
  const inOrder = rules
    .toSorted((left, right) => left.position - right.position)
    .map((rule) => ({ rule, matches: matcherOf(rule) }));
  return (file) => {
    const rule = inOrder.find(({ matches }) => matches(file))?.rule ?? null;
    return { pool: rule ? poolWith(rule.pool, rule.copies) : DEFAULT_POOL, rule };
  };
}

/** Whether a file's place in the tree can change where it belongs. */
export function lookAtPaths(rules: readonly Criteria[]): boolean {
  return rules.some(({ glob, folder }) => folder !== undefined || glob?.includes('/') === true);
}

/** Whether the mere passing of time can change where a file belongs. */
export function lookAtAges(rules: readonly Criteria[]): boolean {
  return rules.some(({ ageMsMin }) => ageMsMin !== undefined);
}

/** Why these criteria are none, for a person; null where they are. */
export function judgeCriteria(criteria: Criteria): string | null {
  const { extensions, glob, sizeMin, sizeMax, folder, ...others } = criteria;
  const named = [glob, sizeMin, sizeMax, folder, others.space, others.ageMsMin, others.owner];
  if (extensions.length === 0 && named.every((value) => value === undefined))
    return 'a rule says which files it is for: extensions, a pattern, a size, a folder, a space, an age or an owner';
  if (sizeMin !== undefined && sizeMax !== undefined && sizeMin > sizeMax)
    return 'no file is both that small and that large';
  if (glob !== undefined && globOf(glob) === null) return `"${glob}" is no pattern`;
  if (folder?.split('/').some((name) => name === '' || name === '.' || name === '..'))
    return 'a folder is named by its path in the space, like photos/2024';
  return null;
}

function matcherOf(rule: Criteria): (file: RuledFile) => boolean {
  const { glob, sizeMin = 0, sizeMax = Number.POSITIVE_INFINITY, space, folder, ageMsMin, owner } = rule;
  if (judgeCriteria(rule) !== null) return () => false;
  const extensions = new Set(rule.extensions.map((extension) => extension.toLowerCase()));
  const inGlob = glob === undefined ? () => true : (globOf(glob) ?? (() => false));
  const below = folder === undefined ? '' : `${folder}/`;
  return ({ path, size, space: of, owner: whose, ageMs }) =>
    (extensions.size === 0 || extensions.has(extensionOf(path))) &&
    size >= sizeMin &&
    size <= sizeMax &&
    (space === undefined || of === space) &&
    path.startsWith(below) &&
    (ageMsMin === undefined || ageMs >= ageMsMin) &&
    (owner === undefined || owner === whose) &&
    inGlob(path);
}

/** In lower case, without its dot; '' where there is none, which no rule can name. A leading dot hides a file; it begins no extension. */
function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot + 1).toLowerCase();
}

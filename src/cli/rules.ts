/** `holdfast rules`: which pool a file's bytes belong to; what a change of that would move, before it does. */
import { readFileSync } from 'node:fs';
import { HoldfastError } from '#core/errors.ts';
import { poolWith } from '#core/pool-name.ts';
import type { Criteria } from '#core/rules.ts';
import type { Compression } from '#core/seal.ts';
import { ask } from '#protocol/call.ts';
import {
  poolsList,
  proposedRules,
  rulesAdd,
  rulesApply,
  rulesList,
  rulesPurge,
  rulesRemove,
  rulesTest,
  rulesTry,
  type ProposedRule,
  type RulesPurged,
  type RulesTried,
} from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import { withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { copiesText, noteFewNodes } from './nodes.ts';
import { bytesText, shown, table } from './output.ts';
import { ownSpace } from './spaces.ts';

/** Paths that a dry run names. */
const FEWER_SHOWN = 1000;
/** A dry run looks at every file there is. */
const TRY_MS_MAX = 3_600_000;

type RulesMove = RulesTried['moves'][number];
type Treatment = Pick<ProposedRule, 'pool' | 'copies' | 'historyDays' | 'compression'>;
type ProposedCriteria = Omit<ProposedRule, 'rule' | keyof Treatment>;

export type CriteriaOptions = {
  readonly glob?: string;
  readonly minSize?: number;
  readonly maxSize?: number;
  readonly folder?: string;
  readonly space?: string;
  readonly olderThan?: number;
  readonly owner?: string;
};
/** What becomes of the files. `copies`: other than the pool's. `history`: days, or for ever. */
export type TreatmentOptions = {
  readonly pool: string;
  readonly copies?: number | undefined;
  readonly history?: number | 'forever' | undefined;
  readonly compression?: Compression | undefined;
};
/** Rules as they might be: those of a file, or the present ones without some and with one more. */
export type ProposalOptions = CriteriaOptions & {
  readonly extension: readonly string[];
  readonly pool?: string;
  readonly copies?: TreatmentOptions['copies'];
  readonly history?: TreatmentOptions['history'];
  readonly compression?: TreatmentOptions['compression'];
  readonly first: boolean;
  readonly remove: readonly string[];
  readonly file?: string;
};

export async function listRules(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, rulesList, {}, signal));
  context.output.value(response.rules);
  const rows = response.rules.map((rule) => [rule.rule, criteriaText(rule), rule.pool, ...treatmentCells(rule)]);
  const others = ['-', 'everything else', 'others', ...treatmentCells({})];
  for (const line of table([['RULE', 'FILES', 'POOL', 'COPIES', 'HISTORY', 'COMPRESSION'], ...rows, others]))
    context.output.line(line);
  if (response.pending) context.output.note(PENDING);
}

const PENDING =
  'The rules were changed; files that were there already stay where they are, and no history ends. "holdfast rules test" says what would move and end, "holdfast rules apply" does it.';

export async function addRule(
  context: Context,
  extensions: readonly string[],
  options: CriteriaOptions & TreatmentOptions & { readonly first: boolean },
): Promise<void> {
  const { first } = options;
  const { rule, pool } = await withServer(context, async (peer, signal) => {
    const criteria = await criteriaOf(peer, extensions, options, signal);
    const added = await ask(peer, rulesAdd, { ...criteria, ...treatmentOf(options), first }, signal);
    const { pools } = (await ask(peer, poolsList, {}, signal)).response;
    const named = poolWith(added.response.rule.pool, added.response.rule.copies);
    return { ...added.response, pool: pools.find((one) => one.pool === named) };
  });
  context.output.value(rule);
  const copies = rule.copies === undefined ? '' : `, ${copiesText(rule.copies)}`;
  const history = rule.historyDays === undefined ? '' : `, history kept ${historyText(rule.historyDays)}`;
  const compression = rule.compression === undefined ? '' : `, compression ${rule.compression}`;
  context.output.line(
    `Rule ${rule.rule}: ${criteriaText(rule)} -> ${rule.pool}${copies}${history}${compression}, from the next file on.`,
  );
  if (pool && rule.copies !== undefined) noteFewNodes(context, pool.pool, pool.nodes, pool.copies);
  if (!context.output.json) context.output.note(PENDING);
}

export async function removeRule(context: Context, rule: string): Promise<void> {
  await withServer(context, (peer, signal) => ask(peer, rulesRemove, { rule }, signal));
  context.output.value({ removed: rule });
  context.output.line(`Rule ${shown(rule)} is gone, from the next file on.`);
  if (!context.output.json) context.output.note(PENDING);
}

/** Where a file of that name, or path, would go. */
export async function testRule(
  context: Context,
  path: string,
  options: ProposalOptions & { readonly size: number; readonly age: number },
): Promise<void> {
  const at = path.lastIndexOf('/');
  const file = { name: path.slice(at + 1), size: options.size, ageMs: options.age };
  const folder = path.slice(0, Math.max(at, 0)).replace(/^\/+/, '');
  const { pool, rule } = await withServer(context, async (peer, signal) => {
    const rules = await proposalOf(peer, options, signal);
    const asked = { ...file, ...(folder === '' ? {} : { folder }), rules: rules && [...rules] };
    return (await ask(peer, rulesTest, asked, signal)).response;
  });
  context.output.value({ name: path, pool, rule: rule?.rule ?? null });
  context.output.line(
    `${shown(path)} -> ${pool} (${rule ? `rule ${rule.rule}: ${criteriaText(rule)}` : 'no rule matches'})`,
  );
}

/** What would move if the rules were applied, and which history would end. Changes nothing. */
export async function tryRules(context: Context, options: ProposalOptions): Promise<void> {
  const found = await withServer(
    context,
    async (peer, signal) => {
      const proposed = await proposalOf(peer, options, signal);
      return { ...(await tryAll(peer, proposed, signal)), purged: await tryPurge(peer, proposed, signal) };
    },
    TRY_MS_MAX,
  );
  context.output.value(found);
  if (found.moves.length === 0)
    context.output.line(`Nothing would move: all ${found.looked} files are where they belong.`);
  const rows = found.moves.map(({ from, to, files, bytes, copies }) => [
    from,
    to,
    String(files),
    bytesText(bytes),
    copies.before === copies.after ? String(copies.after) : `${copies.before} -> ${copies.after}`,
  ]);
  if (rows.length > 0) {
    for (const line of table([['FROM', 'TO', 'FILES', 'BYTES', 'COPIES'], ...rows])) context.output.line(line);
    context.output.line(
      `At most ${bytesText(found.addedBytes)} are written; at most ${bytesText(found.freedBytes)} become free later, when the old copies are collected.`,
    );
  }
  for (const { to, nodes, copies } of found.moves)
    if (copies.after > copies.before) noteFewNodes(context, to, nodes, copies.after);
  const { revisions, deleted } = found.purged;
  if (revisions.count + deleted.count > 0)
    context.output.line(
      `For good end ${revisions.count} older versions (${bytesText(revisions.bytes)}) and ${deleted.count} deleted files (${bytesText(deleted.bytes)}) whose time is over; at most so much becomes free.`,
    );
  if (found.fewerCopies > 0)
    context.output.line(`${found.fewerCopies} files would have fewer copies than now: ${someOf(found.fewer)}`);
}

/** These rules from now on, for every file. */
export async function applyRules(context: Context, options: ProposalOptions): Promise<void> {
  const { rules } = await withServer(context, async (peer, signal) => {
    const proposed = await proposalOf(peer, options, signal);
    return (await ask(peer, rulesApply, { rules: proposed && [...proposed] }, signal)).response;
  });
  context.output.value(rules);
  context.output.line(
    `The ${rules.length} rules hold for every file now. What is elsewhere is moved in the background; "holdfast status" says how far it is.`,
  );
}

async function tryAll(peer: Peer, rules: readonly ProposedRule[] | null, signal: AbortSignal) {
  const moves = new Map<string, RulesMove>();
  const fewer: string[] = [];
  let [looked, fewerCopies] = [0, 0];
  let after: RulesTried['next'] = null;
  do {
    const page: RulesTried = (await ask(peer, rulesTry, { rules: rules && [...rules], after }, signal)).response;
    looked += page.looked;
    fewerCopies += page.fewer.length;
    fewer.push(...page.fewer.slice(0, FEWER_SHOWN - fewer.length));
    for (const move of page.moves) addMove(moves, move);
    after = page.next;
  } while (after !== null);
  const all = [...moves.values()].sort((left, right) => right.bytes - left.bytes);
  const total = (of: (move: RulesMove) => number) => all.reduce((sum, move) => sum + of(move), 0);
  return {
    looked,
    files: total(({ files }) => files),
    bytes: total(({ bytes }) => bytes),
    addedBytes: total(({ addedBytes }) => addedBytes),
    freedBytes: total(({ freedBytes }) => freedBytes),
    moves: all,
    fewerCopies,
    fewer,
  };
}

async function tryPurge(peer: Peer, rules: readonly ProposedRule[] | null, signal: AbortSignal) {
  const sums = { revisions: { count: 0, bytes: 0 }, deleted: { count: 0, bytes: 0 } };
  for (let at: string | null = null; ; ) {
    const step: RulesPurged = (await ask(peer, rulesPurge, { rules: rules && [...rules], at }, signal)).response;
    for (const what of ['revisions', 'deleted'] as const) {
      sums[what].count += step[what].count;
      sums[what].bytes += step[what].bytes;
    }
    if (step.next === null) return sums;
    at = step.next;
  }
}

function addMove(moves: Map<string, RulesMove>, move: RulesMove): void {
  const key = `${move.from}/${move.to}`;
  const before = moves.get(key);
  const sum = before && {
    files: before.files + move.files,
    bytes: before.bytes + move.bytes,
    storedBytes: before.storedBytes + move.storedBytes,
    addedBytes: before.addedBytes + move.addedBytes,
    freedBytes: before.freedBytes + move.freedBytes,
  };
  moves.set(key, { ...move, ...sum });
}

/** Null: the rules as they are. */
async function proposalOf(
  peer: Peer,
  options: ProposalOptions,
  signal: AbortSignal,
): Promise<readonly ProposedRule[] | null> {
  const { file, pool, copies, history, compression, remove, first, extension } = options;
  const adds = extension.length > 0 || hasCriteria(options);
  const says = [copies, history, compression].some((value) => value !== undefined);
  if (file !== undefined) {
    if (adds || remove.length > 0 || pool !== undefined || says)
      throw usage('--file names all rules; leave the other options out');
    return readRules(file);
  }
  if (adds !== (pool !== undefined) || (says && !adds))
    throw usage(
      'a further rule has a pool (--pool) and says which files it is for (--extension, --glob, --folder ...)',
    );
  if (!adds && remove.length === 0) return null;
  const { rules } = (await ask(peer, rulesList, {}, signal)).response;
  for (const name of remove)
    if (!rules.some(({ rule }) => rule === name)) throw new HoldfastError('not_found', `there is no rule "${name}"`);
  const kept: ProposedRule[] = rules
    .filter(({ rule }) => !remove.includes(rule))
    .map(({ position: _position, ...rule }) => rule);
  if (pool === undefined) return kept;
  const added = {
    ...(await criteriaOf(peer, extension, options, signal)),
    ...treatmentOf({ pool, copies, history, compression }),
  };
  return first ? [added, ...kept] : [...kept, added];
}

/** As `holdfast rules list --json` prints them, in the order in which they are tried. */
function readRules(file: string): readonly ProposedRule[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usage(`"${shown(file)}" cannot be read as a list of rules: ${(error as Error).message}`);
  }
  const rows = Array.isArray(value) ? value.map(withoutPosition) : value;
  const parsed = proposedRules.safeParse(rows);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw usage(`"${shown(file)}" is no list of rules: ${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'wrong'}`);
}

function withoutPosition(row: unknown): unknown {
  if (typeof row !== 'object' || row === null) return row;
  const { position: _position, extensions = [], ...rest } = row as Record<string, unknown>;
  return { extensions, ...rest };
}

function treatmentOf({ pool, copies, history = 'forever', compression = 'usual' }: TreatmentOptions): Treatment {
  return {
    pool,
    ...(copies === undefined ? {} : { copies }),
    ...(history === 'forever' ? {} : { historyDays: history }),
    ...(compression === 'usual' ? {} : { compression }),
  };
}

function hasCriteria({ glob, minSize, maxSize, folder, space, olderThan, owner }: CriteriaOptions): boolean {
  return [glob, minSize, maxSize, folder, space, olderThan, owner].some((value) => value !== undefined);
}

async function criteriaOf(
  peer: Peer,
  extensions: readonly string[],
  options: CriteriaOptions,
  signal: AbortSignal,
): Promise<ProposedCriteria> {
  const { glob, minSize, maxSize, folder, space, olderThan, owner } = options;
  const plain = extensions
    .flatMap((text) => text.split(','))
    .map((text) => text.replace(/^\*?\./, ''))
    .filter((text) => text !== '');
  if (plain.length === 0 && !hasCriteria(options))
    throw usage(
      'say which files: at least one extension, or an option such as --folder photos; for example: holdfast rules add flac --pool mp3',
    );
  return {
    extensions: plain,
    ...(glob === undefined ? {} : { glob }),
    ...(minSize === undefined ? {} : { sizeMin: minSize }),
    ...(maxSize === undefined ? {} : { sizeMax: maxSize }),
    ...(folder === undefined ? {} : { folder: folder.replace(/^\/+|\/+$/g, '') }),
    ...(space === undefined ? {} : { space: (await ownSpace(peer, space, signal)).space }),
    ...(olderThan === undefined ? {} : { ageMsMin: olderThan }),
    ...(owner === undefined ? {} : { owner }),
  };
}

export function criteriaText(rule: Criteria): string {
  const parts = [rule.extensions.map((extension) => `*.${shown(extension)}`).join(' ')];
  if (rule.glob !== undefined) parts.push(`like ${shown(rule.glob)}`);
  if (rule.folder !== undefined) parts.push(`in ${shown(rule.folder)}`);
  if (rule.sizeMin !== undefined) parts.push(`${bytesText(rule.sizeMin)} or more`);
  if (rule.sizeMax !== undefined) parts.push(`${bytesText(rule.sizeMax)} or less`);
  if (rule.ageMsMin !== undefined) parts.push(`unchanged for ${daysText(rule.ageMsMin)}`);
  if (rule.space !== undefined) parts.push(`of space ${rule.space.slice(0, 8)}`);
  if (rule.owner !== undefined) parts.push(`owned by ${shown(rule.owner)}`);
  return parts.filter((part) => part !== '').join(', ');
}

export function daysCount(days: number): string {
  return `${days} ${days === 1 ? 'day' : 'days'}`;
}

function historyText(days: number | undefined): string {
  return days === undefined ? 'for ever' : daysCount(days);
}

function treatmentCells({ copies, historyDays, compression }: Omit<Treatment, 'pool'>): readonly string[] {
  return [String(copies ?? 'as the pool'), historyText(historyDays), compression ?? 'usual'];
}

function daysText(ms: number): string {
  const hours = ms / 3_600_000;
  return hours % 24 === 0 ? `${hours / 24} d` : `${Number(hours.toFixed(2))} h`;
}

function someOf(paths: readonly string[]): string {
  const some = paths.slice(0, 5).map(shown).join(', ');
  return paths.length > 5 ? `${some} ...` : some;
}

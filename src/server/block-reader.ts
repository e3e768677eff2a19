/** Fetches blocks of a space from whichever node holds a good copy: the ones that are known to hold it first, then where layouts put it. */
import type { GetResult } from '#blocks/block-store.ts';
import { must } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { BlockId, SpaceId } from '#core/ids.ts';
import { findPresence } from '#meta/contents.ts';
import { noteBadCopies, type BadCopy } from './bad-copies.ts';
import { withDeadline } from './deadline.ts';
import { transferMsMax, type KnownNode, type NodeBook } from './node-book.ts';
import type { NodeConnection } from './node-connection.ts';
import type { ServerContext } from './server-context.ts';

export type WantedBlock = { readonly id: BlockId; readonly storedLength: number };
export type ReadBlock =
  | { readonly kind: 'found'; readonly bytes: Uint8Array }
  | { readonly kind: 'block_missing' | 'block_corrupt' | 'storage_unavailable' };

/** For the first byte of a block that another node may have as well. */
const PATIENCE_MS = 3000;
/** For all of a batch, from a node that was quick so far and where others are named as well: a disk that wakes up or fails slowly keeps nobody waiting. */
const HURRY_MS = 500;
const HURRY_BYTES_PER_MS = 8192;

type Search = {
  readonly wanted: WantedBlock;
  /** Those that rows name for it. */
  readonly holders: readonly KnownNode[];
  /** Still to be asked, in that order. */
  readonly open: KnownNode[];
  result: ReadBlock;
  readonly bad: BadCopy[];
};
type Tools = Pick<ServerContext, 'nodes' | 'clock'>;

/** Copies that are found missing or damaged on the way are noted, and made anew. */
export async function readBlocks(
  context: Pick<ServerContext, 'meta' | 'nodes' | 'closing' | 'clock' | 'log' | 'wakeJobs'>,
  space: SpaceId,
  wanted: readonly WantedBlock[],
  signal: AbortSignal,
): Promise<ReadonlyMap<BlockId, ReadBlock>> {
  const { nodes } = context;
  const unique = [...new Map(wanted.map((one) => [one.id, one])).values()];
  const places = await placesOf(context, space, unique);
  const searches = unique.map((one): Search => {
    const { holders, others } = places.get(one.id) ?? { holders: [], others: [] };
    const slow = holders.filter((known) => nodes.isSlow(known));
    const inTurn = [...holders.filter((known) => !slow.includes(known)), ...slow, ...others];
    const up = inTurn.filter((known) => !nodes.isDown(known));
    return {
      wanted: one,
      holders,
      open: up,
      result: { kind: up.length < inTurn.length ? 'storage_unavailable' : 'block_missing' },
      bad: [],
    };
  });
  await readAll(context, searches, signal);
  // Of this space: what only another one has stays as missing as what nobody has.
  const absent = searches.filter(({ wanted: { id }, result }) => result.kind === 'block_missing' && places.has(id));
  if (absent.length > 0) await lookEverywhere(context, absent, signal);
  await noteBadCopies(
    context,
    space,
    searches.flatMap(({ bad }) => bad),
  );
  return new Map(searches.map((search) => [search.wanted.id, search.result]));
}

async function readAll(tools: Tools, searches: readonly Search[], signal: AbortSignal): Promise<void> {
  const unfinished = () => searches.filter((search) => search.result.kind !== 'found' && search.open.length > 0);
  for (let round = unfinished(); round.length > 0; round = unfinished()) await readRound(tools, round, signal);
}

/** An index that was put back from an older backup does not know where blocks were moved since. What is nowhere is missing as before. */
async function lookEverywhere(tools: Tools, absent: readonly Search[], signal: AbortSignal): Promise<void> {
  const { nodes } = tools;
  const up = nodes.all().filter((known) => !nodes.isDown(known));
  const again = absent.map(({ wanted, result }): Search => ({ wanted, holders: [], open: [...up], result, bad: [] }));
  await readAll(tools, again, signal);
  again.forEach((search, index) => {
    const first = absent[index];
    if (first && search.result.kind === 'found') first.result = search.result;
  });
}

async function placesOf(
  { meta, nodes }: Pick<ServerContext, 'meta' | 'nodes'>,
  space: SpaceId,
  wanted: readonly WantedBlock[],
) {
  const ids = wanted.map((one) => one.id);
  const presences = await meta.read((reader) => findPresence(reader, space, ids));
  const places = new Map<BlockId, { readonly holders: KnownNode[]; readonly others: KnownNode[] }>();
  for (const { block, holders } of presences) {
    const place = places.get(block) ?? { holders: [], others: [] };
    places.set(block, place);
    for (const holder of holders) {
      const known = nodes.byNumber(holder);
      if (known && !place.holders.includes(known)) place.holders.push(known);
    }
  }
  for (const { block, pool } of presences) {
    const place = must(places.get(block), 'it was made from these very rows');
    for (const known of nodes.places(pool, block))
      if (!place.holders.includes(known) && !place.others.includes(known)) place.others.push(known);
  }
  return places;
}

async function readRound(tools: Tools, round: readonly Search[], signal: AbortSignal): Promise<void> {
  const byNode = new Map<KnownNode, Search[]>();
  for (const search of round) {
    const known = search.open.shift();
    if (!known) continue;
    const batch = byNode.get(known);
    if (batch) batch.push(search);
    else byNode.set(known, [search]);
  }
  const calls: Promise<void>[] = [];
  for (const [known, searches] of byNode) {
    const hurried = searches.filter((search) => isHurried(tools.nodes, known, search));
    const patient = searches.filter((search) => !hurried.includes(search));
    if (hurried.length > 0) calls.push(readHurried(tools, known, hurried, signal));
    if (patient.length > 0) calls.push(readFrom(tools.nodes, known, patient, signal));
  }
  await Promise.all(calls);
}

/** Where others are named for the block as well; what was slow a moment ago was not in vain, and gets its time. */
function isHurried(nodes: NodeBook, known: KnownNode, { open, holders }: Search): boolean {
  return !nodes.isSlow(known) && open.some((other) => holders.includes(other));
}

/** Who does not answer soon is asked again when the other holders were asked, and until then says nothing about itself or the blocks. */
async function readHurried(
  { nodes, clock }: Tools,
  known: KnownNode,
  searches: readonly Search[],
  signal: AbortSignal,
) {
  const bytes = bytesOf(searches);
  const ms = HURRY_MS + Math.ceil(bytes / HURRY_BYTES_PER_MS);
  try {
    await withDeadline(clock, ms, signal, (hurried) => readFrom(nodes, known, searches, hurried));
  } catch (error) {
    if (signal.aborted || !hasCode(error, 'timeout')) throw error;
    nodes.noteSlow(known);
    for (const { open, holders } of searches)
      open.splice(1 + open.findLastIndex((other) => holders.includes(other)), 0, known);
  }
}

const bytesOf = (searches: readonly Search[]) => searches.reduce((sum, search) => sum + search.wanted.storedLength, 0);

async function readFrom(nodes: NodeBook, known: KnownNode, searches: readonly Search[], signal: AbortSignal) {
  let results: readonly GetResult[];
  try {
    const ids = searches.map((search) => search.wanted.id);
    const get = ({ store }: NodeConnection, limited: AbortSignal) => store.get(ids, limited);
    // A node that stands still must not hold up what lies elsewhere too; where it is the last one, it gets all the time there is.
    const elsewhere = searches.every((search) => search.open.length > 0);
    results = await nodes.call(
      known,
      signal,
      get,
      transferMsMax(bytesOf(searches), elsewhere ? PATIENCE_MS : undefined),
    );
  } catch (error) {
    if (signal.aborted || !(error instanceof HoldfastError)) throw error;
    for (const search of searches) search.result = { kind: 'storage_unavailable' };
    return;
  }
  searches.forEach((search, index) => {
    search.result = judged(results[index], search);
    const why = badness(results[index], search.wanted);
    if (why !== null) search.bad.push({ block: search.wanted.id, holder: known.stored.number, why });
  });
}

/** A fault on one node does not hide that another one, asked before, was only out of reach. */
function judged(result: GetResult | undefined, search: Search): ReadBlock {
  if (result?.kind === 'found')
    return result.bytes.length === search.wanted.storedLength ? result : { kind: 'block_corrupt' };
  if (search.result.kind === 'storage_unavailable') return search.result;
  return { kind: result?.kind === 'corrupt' || result?.kind === 'disk_failed' ? 'block_corrupt' : 'block_missing' };
}

/** A disk that reports errors says nothing about the block: it may be there again. */
export function badness(result: GetResult | undefined, wanted: WantedBlock): BadCopy['why'] | null {
  if (result?.kind === 'corrupt' && result.forged) return 'wrong_bytes';
  if (result?.kind === 'missing' || result?.kind === 'corrupt') return result.kind;
  return result?.kind === 'found' && result.bytes.length !== wanted.storedLength ? 'corrupt' : null;
}

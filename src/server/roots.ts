/**
 * Keeps what the server knows in the pools, sealed, so that the storage nodes' directories and the recovery kit bring everything
 * back: a snapshot from time to time, what changed since then at short intervals, and for each of them a signed root.
 */
import { must } from '#core/assert.ts';
import { equalBytes } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { encodeExportRecord, exportHead, type ExportRecord } from '#core/export-stream.ts';
import type { BlockId, SpaceId } from '#core/ids.ts';
import { encodeRootIndex, parseRootIndex, type ListedHead, type RootIndex } from '#core/root-index.ts';
import { rootsToKeep, signRoot } from '#core/root-record.ts';
import { journalPage } from '#meta/exporting.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { allRoots, finishRoot, keepRootBlocks, reserveRoot, type StoredRoot } from '#meta/roots.ts';
import { SCHEMA_VERSION } from '#meta/schema.ts';
import { allSpaces } from '#meta/spaces.ts';
import { rowRecord, tableRecords, wholeRecords } from './export-records.ts';
import { MetadataBlocks, StreamCutter } from './metadata-blocks.ts';
import type { ServerContext } from './server-context.ts';

/** How often, at most. `segmentMs`: what may be lost of names and places where the server is lost as a whole. */
export type RootsPace = { readonly snapshotMs: number; readonly segmentMs: number };

export const ROOTS_PACE: RootsPace = { snapshotMs: 3_600_000, segmentMs: 60_000 };
/** A new root where nothing changed: it shows that the server was well. */
const REFRESH_MS = 24 * 3_600_000;
/** A rescue reads all of them. */
const STREAMS_MAX = 240;
/** A pool that did not take a snapshot is offered the next one after so many segments' time. */
const PATIENCE = 10;
/** Snapshots take a fiftieth of the time, at most; so large an index gets them more seldom, down to a day where an hour is asked for. */
const SNAPSHOT_REST = 50;
const SNAPSHOT_STRETCH_MAX = 24;
const REST_MS_MAX = 1000;
/** Until the next look after one that failed: nodes may be about to start. */
const RETRY_MS = 15_000;
const ROWS_PER_STEP = 500;
/** What is read in one go at the end. */
const LAST_ROWS_MAX = 2000;

type Last = { readonly root: StoredRoot; readonly index: RootIndex };
type Plan = { readonly last: Last | null; readonly kind: 'snapshot' | 'segment' | 'refresh'; readonly pools: string[] };

export class Roots {
  readonly #context: ServerContext;
  readonly #pace: RootsPace;
  #lookAtMs = Number.NEGATIVE_INFINITY;
  #patientUntilMs = Number.NEGATIVE_INFINITY;
  #snapshotTookMs = 0;
  /** Numbers of the nodes that took blocks at the last look. */
  #members: ReadonlySet<number> = new Set();
  /** Lacking pools that the last snapshots were offered to. */
  readonly #offered = new Set<string>();
  #making: AsyncGenerator<void, void> | null = null;
  /** One above this number is wanted, also where nothing changed. */
  #wantedAbove = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: ServerContext, pace: RootsPace) {
    this.#context = context;
    this.#pace = pace;
  }

  /** A few rows of what is being written, or a look whether something is to be. Failures are logged, and soon tried again. */
  async step(): Promise<'busy' | 'idle'> {
    const { clock, closing } = this.#context;
    const begunMs = clock.monotonicMs();
    const outcome = await this.#inTurn();
    // Half of the time is left to people.
    if (outcome === 'busy') await clock.sleep(Math.min(clock.monotonicMs() - begunMs, REST_MS_MAX), closing);
    return outcome;
  }

  #inTurn(): Promise<'busy' | 'idle'> {
    const turn = this.#turn.then(() => this.#step());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #step(): Promise<'busy' | 'idle'> {
    const { clock, closing, log } = this.#context;
    try {
      if (!this.#making) {
        if (clock.monotonicMs() < this.#lookAtMs) return 'idle';
        this.#lookAtMs = clock.monotonicMs() + this.#pace.segmentMs;
        const plan = await this.#look();
        if (!plan) return 'idle';
        this.#making = this.#make(plan);
      }
      const { done } = await this.#making.next();
      if (!done) return 'busy';
    } catch (error) {
      this.#making = null;
      if (closing.aborted || !(error instanceof HoldfastError)) throw error;
      this.#lookAtMs = clock.monotonicMs() + Math.min(this.#pace.segmentMs, RETRY_MS);
      log.warn('the metadata could not be put into the pools', { code: error.code, detail: error.message });
      return 'idle';
    }
    this.#making = null;
    return 'idle';
  }

  /** One above that number is made soon, also where nothing changed: asked for with the highest that was given, one that begins from now on. */
  want(above: number): void {
    this.#wantedAbove = above;
    this.#lookAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Looks at once, and resolves when what changed is in the pools, or cannot be put there now. */
  async makeNow(): Promise<void> {
    this.#lookAtMs = Number.NEGATIVE_INFINITY;
    this.#patientUntilMs = Number.NEGATIVE_INFINITY;
    while ((await this.#inTurn()) === 'busy');
  }

  async #look(): Promise<Plan | null> {
    const { meta, clock, nodes } = this.#context;
    const members = nodes.all().filter(({ stored }) => stored.standing === 'in');
    const pools = [...new Set(members.map(({ stored }) => stored.pool))].sort();
    // Before there is a node a look costs nothing.
    if (pools.length === 0) this.#lookAtMs = Number.NEGATIVE_INFINITY;
    if (pools.length === 0) return null;
    const { last, whole } = await meta.read(async (reader) => ({
      last: await readLast(reader),
      whole: await wholeRecords(this.#context.primitives, reader),
    }));
    // Who left may have held the only copy in its pool. A restart forgets that, and then the next snapshot finds it out.
    const numbers = new Set(members.map(({ stored }) => stored.number));
    const left = [...this.#members].some((number) => !numbers.has(number));
    this.#members = numbers;
    // Until there are files, a look costs nothing; the first of them are not to wait, also where the first root is made before them.
    const empty = !last || last.index.heads.every(({ headSeq }) => headSeq === 0);
    if (empty) this.#lookAtMs = Number.NEGATIVE_INFINITY;
    if (!last) return { last, kind: 'snapshot', pools };
    const lacking = pools.filter((pool) => !last.root.pools.includes(pool));
    if (clock.monotonicMs() >= this.#patientUntilMs) this.#offered.clear();
    if (lacking.some((pool) => !this.#offered.has(pool))) {
      this.#patientUntilMs = clock.monotonicMs() + PATIENCE * this.#pace.segmentMs;
      for (const pool of lacking) this.#offered.add(pool);
      return { last, kind: 'snapshot', pools };
    }
    if (left) return { last, kind: 'snapshot', pools };
    const nowMs = clock.nowMs();
    if (equalBytes(whole.hash, last.root.wholeHash)) {
      const wanted = last.root.seq <= this.#wantedAbove || nowMs - last.root.madeMs >= REFRESH_MS;
      return wanted ? { last, kind: 'refresh', pools } : null;
    }
    const { snapshotMs } = this.#pace;
    const restMs = Math.min(SNAPSHOT_REST * this.#snapshotTookMs, SNAPSHOT_STRETCH_MAX * snapshotMs);
    const old = nowMs - last.root.snapshotMs >= Math.max(snapshotMs, restMs);
    return { last, kind: old || last.index.streams.length >= STREAMS_MAX ? 'snapshot' : 'segment', pools };
  }

  /** Ends between any two steps without harm: what was written is found again, or is garbage. */
  async *#make({ last, kind, pools }: Plan): AsyncGenerator<void, void> {
    const { meta, clock, cluster } = this.#context;
    const begunMs = clock.nowMs();
    const startedMs = clock.monotonicMs();
    const seq = await meta.write((writer) => reserveRoot(writer, begunMs));
    const isSnapshot = kind === 'snapshot' || !last;
    const able = isSnapshot ? pools : pools.filter((pool) => last.root.pools.includes(pool));
    const blocks = new MetadataBlocks(this.#context, seq, able, isSnapshot);
    const before = isSnapshot ? [] : last.index.streams;
    const covered = new Map<SpaceId, number>();
    for (const { space, headSeq } of isSnapshot ? [] : last.index.heads) covered.set(space, headSeq);
    const cutter = new StreamCutter(blocks);
    await cutter.write(exportHead());
    for (const record of tableRecords()) await cutter.write(encodeExportRecord(record));
    let end = kind === 'refresh' ? await meta.read((reader) => this.#atHead(reader)) : null;
    while (!end) {
      yield* this.#catchUp(cutter, covered);
      end = await meta.read((reader) => this.#readEnd(reader, covered));
    }
    for (const record of end.records) await cutter.write(encodeExportRecord(record));
    const streams = kind === 'refresh' ? before : [...before, await cutter.end()];
    const index: RootIndex = {
      schemaVersion: SCHEMA_VERSION,
      incarnation: cluster.incarnation,
      seq,
      timeMs: end.atMs,
      snapshotMs: isSnapshot ? begunMs : last.index.snapshotMs,
      heads: end.heads,
      streams,
    };
    const listing = encodeRootIndex(index);
    const { id, storedLength } = await blocks.add(listing);
    const record = await this.#sign(index, id, storedLength);
    await blocks.add(record);
    await blocks.flush();
    yield;
    const kept = await this.#push(record);
    const root = { seq, madeMs: begunMs, snapshotMs: index.snapshotMs, index: id, listing, wholeHash: end.hash };
    await this.#finish({ ...root, pools: [...blocks.pools], nodes: kept }, before.flat());
    if (isSnapshot) this.#snapshotTookMs = clock.monotonicMs() - startedMs;
  }

  /** Page by page, others' commits in between, until little is left for the end. */
  async *#catchUp(cutter: StreamCutter, covered: Map<SpaceId, number>): AsyncGenerator<void, void> {
    const { meta } = this.#context;
    for (const { space } of await meta.read(allSpaces)) {
      for (let more = true; more; ) {
        const after = covered.get(space) ?? 0;
        const page = await meta.read((reader) => journalPage(reader, space, after, ROWS_PER_STEP));
        for (const row of page.rows) await cutter.write(encodeExportRecord(rowRecord(row)));
        covered.set(space, page.lastSeq);
        ({ more } = page);
        yield;
      }
    }
  }

  /** The rest of all journals and the small tables, as they are at one moment; null where the rest is not small. */
  async #readEnd(reader: MetaReader, covered: ReadonlyMap<SpaceId, number>) {
    const records: ExportRecord[] = [];
    let left = LAST_ROWS_MAX;
    for (const { space } of await allSpaces(reader)) {
      const page = await journalPage(reader, space, covered.get(space) ?? 0, left);
      if (page.more) return null;
      records.push(...page.rows.map(rowRecord));
      left -= page.rows.length;
      if (left <= 0) return null;
    }
    const end = await this.#atHead(reader);
    return { ...end, records: [...records, ...end.records] };
  }

  async #atHead(reader: MetaReader) {
    const heads = (await allSpaces(reader)).map(
      ({ space, epoch, headSeq, headChain }): ListedHead => ({ space, epoch, headSeq, headChain }),
    );
    return { heads, ...(await wholeRecords(this.#context.primitives, reader)), atMs: this.#context.clock.nowMs() };
  }

  async #sign({ incarnation, seq, timeMs }: RootIndex, index: BlockId, indexLength: number): Promise<Uint8Array> {
    const { meta, primitives, cluster } = this.#context;
    const [seed] = await meta.read((reader) => cluster.vault.versions(reader, 'cluster_identity_seed'));
    const common = { cluster: cluster.cluster, publicKey: cluster.identityPublicKey, incarnation, seq, timeMs };
    const root = { ...common, generation: cluster.vault.generation, index, indexLength };
    return signRoot(primitives, must(seed, 'a cluster has an identity').bytes, root);
  }

  /** To every node that can be reached. How many keep it. Throws `storage_unavailable` where none does. */
  async #push(record: Uint8Array): Promise<number> {
    const { nodes, closing, log } = this.#context;
    const kept = await Promise.all(
      nodes.all().map(async (known) => {
        if (nodes.isDown(known)) return 0;
        try {
          await nodes.call(known, closing, (node, signal) => node.pushRoot(record, signal));
          return 1;
        } catch (error) {
          if (closing.aborted || !(error instanceof HoldfastError)) throw error;
          log.warn('a storage node did not take a root', { node: known.stored.name, code: error.code });
          return 0;
        }
      }),
    );
    const count = kept.reduce<number>((sum, one) => sum + one, 0);
    if (count === 0) throw new HoldfastError('storage_unavailable', 'no storage node takes a root');
    return count;
  }

  async #finish(root: StoredRoot, listedBefore: readonly { readonly id: BlockId }[]): Promise<void> {
    const { meta, cluster } = this.#context;
    await meta.write(async (writer) => {
      const { incarnation } = cluster;
      const all = [root, ...(await allRoots(writer))];
      const kept = rootsToKeep(all.map(({ seq, madeMs }) => ({ incarnation, seq, timeMs: madeMs })));
      await finishRoot(writer, root, new Set([...kept].map(({ seq }) => seq)));
      await keepRootBlocks(
        writer,
        root.seq,
        listedBefore.map(({ id }) => id),
      );
    });
  }
}

async function readLast(reader: MetaReader): Promise<Last | null> {
  const [root] = await allRoots(reader);
  const index = root?.listing ? parseRootIndex(root.listing) : null;
  // Tables of another version are written anew as a whole.
  return root && index?.schemaVersion === SCHEMA_VERSION ? { root, index } : null;
}

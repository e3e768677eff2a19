/** The server: keeps the index of every file and decides, by rule, where its bytes go. Knows no socket, no disk and no database by name. */
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import { firstAccount } from '#meta/accounts.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { inviteCreate } from '#protocol/account.ts';
import { dispatcher } from '#protocol/call.ts';
import type { Handler } from '#protocol/wire.ts';
import type { Clock } from '#world/clock.ts';
import type { Log } from '#world/log.ts';
import type { Net, Page, TlsIdentity } from '#world/net.ts';
import type { Random } from '#world/random.ts';
import type { z } from 'zod';
import { accountRoutes } from './accounts.ts';
import { backupRoutes, type BackUp } from './backups.ts';
import { Bell } from './bell.ts';
import { Care } from './care.ts';
import { CARE, type CareSettings } from './care-settings.ts';
import { openCluster } from './cluster-start.ts';
import { Collection, type CollectionTimes } from './collection.ts';
import { clusterRoutes } from './cluster-view.ts';
import { commitRoutes } from './commits.ts';
import { contentRoutes } from './contents.ts';
import { Challenges } from './challenges.ts';
import { adopt, readopt, rebalance, recount } from './copy-jobs.ts';
import { fileRoutes } from './files.ts';
import { finishHolds, holdRoutes } from './holds.ts';
import { authorise } from './identity.ts';
import { installRoutes } from './installs.ts';
import { createInvite, inviteRoutes } from './invites.ts';
import { Jobs } from './jobs.ts';
import { JournalTrim, type JournalKept } from './journal-trim.ts';
import { Purge } from './purge.ts';
import { journalRoutes } from './journal-view.ts';
import { kitRoutes } from './kit-confirmation.ts';
import { mergeRoutes } from './merging.ts';
import { Mover } from './mover.ts';
import { NodeBook } from './node-book.ts';
import type { ConnectNode } from './node-connection.ts';
import { trustRoutes } from './liars.ts';
import { NodeWatch } from './node-watch.ts';
import { nodeRoutes } from './nodes.ts';
import { poolRoutes } from './pools.ts';
import { Repair } from './repair.ts';
import type { RootKeeper } from './root-keeper.ts';
import { Placing } from './placing.ts';
import { ROOTS_PACE, Roots, type RootsPace } from './roots.ts';
import { ruleRoutes } from './rules.ts';
import { beginScrub, scrub } from './scrub.ts';
import type { ServerContext } from './server-context.ts';
import { SpaceKeys } from './space-keys.ts';
import { renderStatusPage } from './status-page.ts';
import { TlsKeys } from './tls-keys.ts';
import { uploadRoutes } from './uploads.ts';
import { whyRoutes } from './why.ts';
import { verifyRoutes } from './verify/verify.ts';

/** Who stops a server waits so long for the pools, at most. */
const SETTLE_MS_MAX = 5000;

export type ServerOptions = {
  readonly version: string;
  /** The server's own from now on: closed with it, also where the start fails. */
  readonly meta: MetaStore;
  readonly primitives: Primitives;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly net: Pick<Net, 'makeTlsIdentity'>;
  readonly rootKeeper: RootKeeper;
  readonly connectNode: ConnectNode;
  /** Where it is missing, this server makes no backups. */
  readonly backUp?: BackUp;
  /** Where it says nothing: `CARE`. */
  readonly care?: Partial<CareSettings>;
  /** Default: `limits.journalKept`. */
  readonly journalKept?: JournalKept;
  /** Default: `COLLECTION_TIMES`. */
  readonly collection?: CollectionTimes;
  /** How often rules that ask for a file's age are asked again, milliseconds. */
  readonly agesMs?: number;
  /** How often the metadata goes into the pools. Default: `ROOTS_PACE`. Null: only when `makeRoot` or `collectGarbage` asks for it, and so nothing is collected unasked. */
  readonly rootsPace?: RootsPace | null;
  /** Where others reach this server, as `http(s)://host:port`, the best first: asked for each invite. */
  addresses(): readonly string[];
};

export interface Server {
  readonly cluster: ClusterId;
  readonly handler: Handler;
  /** What a browser's GET gets; null: nothing at that path. */
  page(path: string): Promise<Page | null>;
  /** The key to listen with, now and, by `onTlsIdentity`, later. */
  tlsIdentity(): TlsIdentity;
  onTlsIdentity(listener: (identity: TlsIdentity) => void): void;
  /** An invite for the owner's account, made without asking who asks: for the process that runs the server. */
  invite(request: z.infer<typeof inviteCreate.request>): Promise<z.infer<typeof inviteCreate.response>>;
  /** One round of heartbeats at once: resolves when every storage node was asked. */
  greetNodes(): Promise<void>;
  /** Moves now what the rules want in another pool. The server does so by itself, between heartbeats. */
  moveMisplaced(): Promise<void>;
  /** A whole round of garbage collection, or so many steps of it, as far as its times let it go. The server does so by itself, between heartbeats. */
  collectGarbage(stepsMax?: number): Promise<void>;
  /** Does now what can be done of recounts, repair, moves and their like; scrub goes at its own pace. The server does so by itself. */
  settleCopies(): Promise<void>;
  /** Shortens now what is old enough of the journals. The server does so by itself, between heartbeats. */
  trimJournals(): Promise<void>;
  /** Purges now what is due, in so many steps at most; default: all of it. The server does so by itself, between heartbeats. */
  purgeHistory(stepsMax?: number): Promise<void>;
  /** Puts now into the pools what changed of the metadata, for a rescue. The server does so by itself, between heartbeats. */
  makeRoot(): Promise<void>;
  /** As `makeRoot`, before an orderly end: gives up after some seconds. */
  settle(): Promise<void>;
  /** Answers held requests with what there is, now and from now on: before the listener closes, so that it need not wait for them. */
  endHeldRequests(): void;
  /** Waits for the server's own work and closes the store. */
  close(): Promise<void>;
}

/** Throws `newer_version`, `wrong_cluster` or `integrity`, having changed nothing, where database and root key do not belong together. */
export async function startServer(options: ServerOptions): Promise<Server> {
  try {
    return await start(options);
  } catch (error) {
    await options.meta.close();
    throw error;
  }
}

async function start(options: ServerOptions): Promise<Server> {
  const { meta, primitives, clock, random, log, rootKeeper } = options;
  const makeTlsIdentity = (commonName: string) => options.net.makeTlsIdentity(commonName);
  const tools = { meta, primitives, clock, random, rootKeeper, makeTlsIdentity };
  const cluster = await openCluster(tools);
  const tlsKeys = await TlsKeys.open(cluster, tools);
  const nodes = new NodeBook(meta, clock, cluster.cluster, options.connectNode, tlsKeys.current());
  const closing = new AbortController();
  const draining = new AbortController();
  const context: ServerContext = {
    version: options.version,
    startedMs: clock.nowMs(),
    meta,
    primitives,
    clock,
    random,
    log,
    cluster,
    tlsKeys,
    spaceKeys: new SpaceKeys(primitives, random, cluster.vault),
    nodes,
    bell: new Bell(),
    care: { ...CARE, ...options.care },
    closing: closing.signal,
    draining: draining.signal,
    wakeJobs: () => jobs.wake(),
    addresses: () => options.addresses(),
  };
  const repair = new Repair(context);
  // Proofs are asked for however much else there is to do: they have their own pace.
  const works = [
    new Challenges(context),
    recount(context),
    adopt(context),
    readopt(context),
    repair,
    rebalance(context),
    scrub(context),
  ];
  const purge = new Purge(context, options.journalKept?.dayMs);
  const roots = new Roots(context, options.rootsPace ?? ROOTS_PACE);
  const collection = new Collection(context, (above) => roots.want(above), options.collection);
  const jobs = new Jobs(context, works, [collection, purge]);
  await nodes.reload();
  await beginScrub(context);
  const watch = new NodeWatch(context);
  const care = new Care(context, watch);
  tlsKeys.onChange((identity) => nodes.showFromNowOn(identity));
  const placing = new Placing(context, options.agesMs);
  const mover = new Mover(context);
  const trim = new JournalTrim(context, options.journalKept);
  const settled = new AbortController();
  const caring = care.run(async () => {
    await finishHolds(context);
    if (options.rootsPace !== null && (await roots.step()) === 'busy') return 'busy';
    // Judged first, so that what is moved is moved once.
    for (const job of [placing, mover, trim, purge, collection]) if ((await job.step()) === 'busy') return 'busy';
    return 'idle';
  });
  const working = jobs.run();
  const parts: Parts = { care, watch, repair, jobs, backUp: options.backUp ?? null };
  return {
    cluster: cluster.cluster,
    handler: serverHandler(context, parts),
    page: async (path) => (path === '/' ? renderStatusPage(context, jobs) : null),
    tlsIdentity: () => tlsKeys.current(),
    onTlsIdentity: (listener) => tlsKeys.onChange(listener),
    invite: async (request) => {
      const account = must(await meta.read(firstAccount), 'a cluster has an owner');
      return createInvite(context, account.account, request);
    },
    greetNodes: () => care.beat(),
    async moveMisplaced() {
      while ((await placing.step()) === 'busy' || (await mover.step()) === 'busy');
    },
    async collectGarbage(stepsMax = Number.POSITIVE_INFINITY) {
      if ((await collection.step()) === 'idle') return;
      // What a mark asks for as it begins, and nothing goes without.
      await roots.makeNow();
      for (let steps = 1; steps < stepsMax && (await collection.step()) === 'busy'; steps++);
    },
    async settleCopies() {
      jobs.wake();
      while ((await jobs.step()).busy);
    },
    async trimJournals() {
      while ((await trim.step()) === 'busy');
    },
    async purgeHistory(stepsMax = Number.POSITIVE_INFINITY) {
      for (let steps = 0; steps < stepsMax && (await purge.step()) === 'busy'; steps++);
    },
    makeRoot: () => roots.makeNow(),
    async settle() {
      const given = AbortSignal.any([closing.signal, settled.signal]);
      await Promise.race([roots.makeNow(), clock.sleep(SETTLE_MS_MAX, given)]);
      settled.abort();
    },
    endHeldRequests: () => draining.abort(),
    async close() {
      draining.abort();
      closing.abort();
      await Promise.all([caring, working]);
      await care.note();
      await nodes.close();
      await meta.close();
    },
  };
}

type Parts = {
  readonly care: Care;
  readonly watch: NodeWatch;
  readonly repair: Repair;
  readonly jobs: Jobs;
  readonly backUp: BackUp | null;
};

function serverHandler(context: ServerContext, { care, watch, repair, jobs, backUp }: Parts): Handler {
  const routes = [
    ...accountRoutes(context, care),
    ...inviteRoutes(context, watch),
    ...journalRoutes(context),
    ...installRoutes(context),
    ...commitRoutes(context),
    ...uploadRoutes(context),
    ...contentRoutes(context),
    ...fileRoutes(context),
    ...holdRoutes(context),
    ...ruleRoutes(context),
    ...mergeRoutes(context),
    ...whyRoutes(context),
    ...clusterRoutes(context, jobs),
    ...nodeRoutes(context, repair),
    ...trustRoutes(context),
    ...poolRoutes(context),
    ...verifyRoutes(context),
    ...kitRoutes(context),
    ...(backUp ? backupRoutes(context, backUp) : []),
  ];
  return dispatcher(routes, async (caller, callers) => {
    if (context.closing.aborted) throw new HoldfastError('stopping', 'this server is stopping');
    const identity = await authorise(context, caller, callers);
    if (identity.kind === 'device') care.noteSeen(identity.device);
    return identity;
  });
}

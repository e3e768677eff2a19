/** A whole system in one process for the sync engine's tests: a real server on a real database, memory for blocks, real folders. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import { startClient, type Client } from '#client/client.ts';
import { linkFolder } from '#client/link.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import {
  id16Of,
  id32Of,
  ROOT_ENTRY,
  TRASH_ENTRY,
  type DeviceId,
  type EntryId,
  type InstallId,
  type NodeId,
  type OpId,
  type Pin,
  type SessionId,
  type SpaceId,
} from '#core/ids.ts';
import { parseInvite } from '#core/invite.ts';
import { parseRow, parseRows } from '#core/journal-row.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { formatDeviceToken, secretHash } from '#core/token.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { nodeJoin, redeem, spaces } from '#protocol/account.ts';
import { ask, type Answered } from '#protocol/call.ts';
import { directPeer } from '#protocol/direct-peer.ts';
import { attach, commit, list } from '#protocol/sync.ts';
import type { Peer, Wire } from '#protocol/wire.ts';
import type { Clock } from '#world/clock.ts';
import type { Failure, Folder, FolderStep, StepOutcome } from '#world/folder.ts';
import type { NodeConnection } from '#server/node-connection.ts';
import { proveHeld } from '#storage/prove.ts';
import { startServer, type Server, type ServerOptions } from '#server/server.ts';
import { realClock } from '#world/real/clock.ts';
import { openFolder } from '#world/real/folder.ts';
import { stderrLog } from '#world/real/log.ts';
import { realNet } from '#world/real/net.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { realWatcher } from '#world/real/watcher.ts';
import type { Watcher } from '#world/watcher.ts';

const log = stderrLog(process.env['SYNC_LOG'] === '1' ? 'info' : 'silent');
const never = () => new AbortController().signal;
const PATIENCE_MS = 20_000;
/** Not read at every poll: told by size and time, which go across with the bytes. */
const LARGE_BYTES = 1024 * 1024;

/** May be told to fail: what a network does. */
export type Gate = {
  /** Called before a request reaches the server; may throw. */
  before?: (verb: string) => void | Promise<void>;
  /** Called after the server answered; may throw, so that the answer is lost. */
  after?: (verb: string) => void;
  /** Another answer than the server's. */
  answer?: (verb: string, answer: Wire) => Wire | null;
  /** Asked after the disk was changed and before anybody knows: true ends the client there, as a kill would. */
  kill?: () => boolean;
  /** Asked before and after everything that changes the disk or the space; true ends the client there, as a kill would. */
  killAt?: (point: string) => boolean;
  /** Directories that the disk lets nobody read, nor anything below them. */
  closed: Set<string>;
  /** Called before directories are listed; what it waits for, the disk is slow with. */
  beforeList?: () => void | Promise<void>;
  /** Told which. */
  onList?: (paths: readonly string[]) => void;
  /** Asked for each step before it is done: what the file system says to it instead. */
  refuse?: (step: FolderStep) => Exclude<StepOutcome, { kind: 'done' }> | null;
  calls: string[];
  /** Bytes beside requests, by verb: as sent, and of those that were answered. */
  sentBytes: Record<string, number>;
  answeredBytes: Record<string, number>;
};

/** What a test may have otherwise than a server by itself. */
export type WorldOptions = Partial<Pick<ServerOptions, 'clock' | 'journalKept' | 'collection'>>;

export class SyncWorld {
  readonly directory: string;
  readonly stores = new Map<string, MemoryBlockStore>();
  /** Pools whose node cannot be reached. */
  readonly down = new Set<string>();
  readonly #pools = new Map<NodeId, MemoryBlockStore>();
  readonly #rootKeeper = memoryRootKeeper();
  readonly #options: WorldOptions;
  readonly #devices: Device[] = [];
  #server: Server | null = null;

  private constructor(directory: string, options: WorldOptions) {
    this.directory = directory;
    this.#options = options;
  }

  static async start(options: WorldOptions = {}): Promise<SyncWorld> {
    const world = new SyncWorld(mkdtempSync(join(tmpdir(), 'holdfast-sync-')), options);
    await world.startServer();
    for (const pool of ['mp3', 'txt', 'pdf', 'others']) await joinNode(world.server, pool);
    await world.server.greetNodes();
    return world;
  }

  /** Throws `unreachable` while it is stopped. */
  get server(): Server {
    if (!this.#server) throw new HoldfastError('unreachable', 'the server is stopped');
    return this.#server;
  }

  get metaPath(): string {
    return join(this.directory, 'meta.db');
  }

  async startServer(): Promise<void> {
    this.#server = await startServer({
      version: 'test',
      meta: await openSqliteMetaStore(sqliteOpener, this.metaPath),
      primitives: nodePrimitives,
      clock: realClock,
      random: realRandom,
      log,
      net: realNet,
      rootKeeper: this.#rootKeeper,
      connectNode: ({ node, cluster, pool }) => {
        const store = this.#pools.get(node) ?? new MemoryBlockStore(nodePrimitives);
        this.#pools.set(node, store);
        this.stores.set(pool, store);
        return memoryNode(store, node, cluster, pool, this.down);
      },
      addresses: () => ['http://127.0.0.1:1'],
      ...this.#options,
    });
    await this.#server.greetNodes();
  }

  async stopServer(): Promise<void> {
    const server = this.server;
    this.#server = null;
    server.endHeldRequests();
    await server.close();
  }

  /** A copy of the index as it is, taken as a person would: the server stops for it, and starts again. */
  async copyIndex(): Promise<string> {
    await this.stopServer();
    const copy = join(this.directory, `meta-${this.#copies++}.db`);
    copyFileSync(this.metaPath, copy);
    await this.startServer();
    return copy;
  }
  #copies = 0;

  /** The copy in the place of the index, by hand. The server is left stopped. */
  async putIndexBack(copy: string): Promise<void> {
    await this.stopServer();
    for (const suffix of ['-wal', '-shm']) rmSync(`${this.metaPath}${suffix}`, { force: true });
    copyFileSync(copy, this.metaPath);
  }

  /** A linked device with an empty folder, not running. `prepare` may mount something there. */
  async device(name: string, prepare: (folder: string) => void = () => {}): Promise<Device> {
    const { invite } = await this.server.invite({ kind: 'device' });
    const { tokenId, secret } = parseInvite(nodePrimitives, invite);
    const own = realRandom.bytes(32);
    const anonymous = directPeer(this.server.handler, { kind: 'anonymous', address: 'here' });
    const { response } = await ask(
      anonymous,
      redeem,
      {
        invite: { id: tokenId, secret },
        device: id16Of<DeviceId>(realRandom.bytes(16)),
        name,
        tokenHash: secretHash(nodePrimitives, own),
      },
      never(),
    );
    const device = this.#add(new Device(this, name, formatDeviceToken({ id: response.tokenId, secret: own })));
    mkdirSync(device.folder);
    prepare(device.folder);
    await device.link();
    return device;
  }

  /** Another machine with copies of a device's folder, state and token: what cloning a disk makes. */
  clone(of: Device, name: string): Device {
    const device = this.#add(new Device(this, name, of.token));
    cpSync(of.folder, device.folder, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    copyState(of.statePath, device.statePath);
    return device;
  }

  #add(device: Device): Device {
    this.#devices.push(device);
    return device;
  }

  async end(): Promise<void> {
    // One that ended by an error must not keep the others, and with them the whole file of tests, from ending.
    const stopped = await Promise.allSettled(this.#devices.map((device) => device.stop()));
    await this.#server?.close();
    rmSync(this.directory, { recursive: true, force: true });
    for (const one of stopped) if (one.status === 'rejected') throw one.reason;
  }
}

class Killed extends Error {}

export class Device {
  readonly world: SyncWorld;
  readonly name: string;
  readonly folder: string;
  readonly statePath: string;
  readonly gate: Gate = { closed: new Set(), calls: [], sentBytes: {}, answeredBytes: {} };
  readonly token: string;
  /** Make another disk of the real one. */
  asFolder: (folder: Folder) => Folder = (folder) => folder;
  asWatcher: (watcher: Watcher) => Watcher = (watcher) => watcher;
  clock: Clock = realClock;
  client: Client | null = null;
  /** Its client ended by a fault; `stop` clears it away. */
  killed = false;

  constructor(world: SyncWorld, name: string, token: string) {
    this.world = world;
    this.name = name;
    this.folder = join(world.directory, name);
    this.statePath = join(world.directory, `${name}.state`);
    this.token = token;
  }

  async link(): Promise<void> {
    const folder = openFolder(this.folder);
    await linkFolder({ folder, sql: sqliteOpener, random: realRandom, statePath: this.statePath });
    await folder.close();
  }

  peer(): Peer {
    const caller = { kind: 'bearer', token: this.token, address: 'here' } as const;
    const direct = directPeer((...of) => this.world.server.handler(...of), caller);
    return {
      call: async (verb, message, signal) => {
        const { calls, sentBytes, answeredBytes } = this.gate;
        const bytes = message.parts.reduce((sum, part) => sum + part.length, 0);
        calls.push(verb);
        sentBytes[verb] = (sentBytes[verb] ?? 0) + bytes;
        await this.gate.before?.(verb);
        if (verb === 'commit') this.#mayDie('before commit');
        const answer = await direct.call(verb, message, signal);
        if (verb === 'commit') this.#mayDie('after commit');
        answeredBytes[verb] = (answeredBytes[verb] ?? 0) + bytes;
        this.gate.after?.(verb);
        return this.gate.answer?.(verb, answer) ?? answer;
      },
      close: () => direct.close(),
    };
  }

  start(): void {
    assert.equal(this.client, null);
    this.client = startClient({
      folder: this.#mortalFolder(),
      watcher: this.asWatcher(realWatcher(this.folder)),
      peer: this.peer(),
      sql: sqliteOpener,
      clock: this.clock,
      random: realRandom,
      log,
      primitives: nodePrimitives,
      statePath: this.statePath,
      deviceName: this.name,
      boot: 'the only one',
      space: null,
    });
  }

  #mortalFolder(): Folder {
    const folder = this.asFolder(openFolder(this.folder));
    const refused = (path: string): Failure | null => {
      const isClosed = [...this.gate.closed].some((closed) => path === closed || path.startsWith(`${closed}/`));
      return isClosed ? { kind: 'failed', code: 'not_permitted_by_disk', detail: `EACCES: ${path}` } : null;
    };
    return {
      ...folder,
      list: async (paths) => {
        this.gate.onList?.(paths);
        await this.gate.beforeList?.();
        return (await folder.list(paths)).map((listing, at) => refused(paths[at] ?? '') ?? listing);
      },
      look: async (paths) =>
        (await folder.look(paths)).map((seen, at) => refused((paths[at] ?? '').replace(/[^/]*$/, '.')) ?? seen),
      flush: async (alsoAt) => {
        this.#mayDie('before flush');
        await folder.flush(alsoAt);
        this.#mayDie('after flush');
      },
      apply: async (steps, keys) => {
        const kinds = steps.map(({ kind }) => kind).join(', ');
        this.#mayDie(`before ${kinds}`);
        const refusals = steps.map((step) => this.gate.refuse?.(step) ?? null);
        const done = Array.from(
          await folder.apply(
            steps.filter((_, at) => refusals[at] === null),
            keys,
          ),
        );
        const outcomes = refusals.map((refusal) => refusal ?? must(done.shift(), 'an outcome for every step'));
        if (this.gate.kill?.()) {
          this.killed = true;
          throw new Killed('killed');
        }
        this.#mayDie(`after ${kinds}`);
        return outcomes;
      },
    };
  }

  #mayDie(point: string): void {
    if (!this.gate.killAt?.(point)) return;
    this.killed = true;
    throw new Killed(point);
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = null;
    this.killed = false;
    await client?.close();
    await client?.ended.catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error;
    });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Moves what was deleted from the root back there, as the history of a person's space does. */
  async bringBack(name: string): Promise<void> {
    const peer = directPeer(this.world.server.handler, { kind: 'bearer', token: this.token, address: 'here' });
    const { response: spacesFound } = await ask(peer, spaces, {}, never());
    const [own] = spacesFound.spaces;
    assert.ok(own);
    const { space } = own;
    const { row, head } = await findTrashed(peer, space, name);
    const install = id16Of<InstallId>(realRandom.bytes(16));
    const session = id16Of<SessionId>(realRandom.bytes(16));
    await ask(peer, attach, { install, tick: 1, session }, never());
    const { entry, placed } = row;
    const answered = await ask(
      peer,
      commit,
      {
        op: id16Of<OpId>(realRandom.bytes(16)),
        space,
        cursor: head,
        install,
        tick: 2,
        session,
        totals: { plan: id16Of<OpId>(realRandom.bytes(16)), creates: 0, updates: 0, moves: 1, deletes: 0 },
        uploads: [],
        groups: [[{ kind: 'move', entry, base: placed, parent: ROOT_ENTRY, name }]],
        blocks: [],
      },
      never(),
    );
    assert.equal(answered.response.answers[0]?.kind, 'applied');
  }

  /** Everything below the root but the folder's own: contents of files, `->` targets of links, `/` for folders. */
  tree(): Record<string, string> {
    return treeOf(this.folder);
  }
}

type ListAnswer = Answered<z.infer<typeof list.response>>;

/** What lies in the trash under a name, on whichever page of the listing it is: pages go by ids, which are random. */
async function findTrashed(peer: Peer, space: SpaceId, name: string) {
  let after: EntryId | null = null;
  for (;;) {
    const { response, parts }: ListAnswer = await ask(
      peer,
      list,
      { space, after, trashed: true, limit: 1000 },
      never(),
    );
    const rows = parseRows(must(parts[0], 'rows')).map(parseRow);
    const entries = rows.flatMap((row) => (row.kind === 'entry' ? [row.entry] : []));
    const row = entries.find((entry) => entry.parent === TRASH_ENTRY && entry.name === name);
    if (row) return { row, head: response.head };
    assert.ok(!response.done, `${name} lies in the trash`);
    after = must(entries.at(-1), 'an entry on a page that is not the last').entry;
  }
}

/** A state file with what SQLite keeps beside it. */
export function copyState(from: string, to: string): void {
  for (const suffix of ['-wal', '-shm', '']) {
    rmSync(`${to}${suffix}`, { force: true });
    if (existsSync(`${from}${suffix}`)) copyFileSync(`${from}${suffix}`, `${to}${suffix}`);
  }
}

export function treeOf(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (below: string) => {
    for (const name of readdirSync(join(root, below))) {
      const path = below === '' ? name : `${below}/${name}`;
      if (path === '.holdfast') continue;
      const stat = lstatSync(join(root, path));
      if (stat.isDirectory()) {
        found[path] = '/';
        walk(path);
      } else if (stat.isSymbolicLink()) found[path] = `-> ${readlinkSync(join(root, path))}`;
      else if (stat.isFile())
        found[path] =
          stat.size > LARGE_BYTES
            ? `${stat.size} bytes of ${Math.floor(stat.mtimeMs)}`
            : readFileSync(join(root, path), 'latin1');
    }
  };
  walk('');
  return Object.fromEntries(Object.entries(found).sort());
}

/** Polls until it holds; fails with `show` after a time in which it always should. */
export async function eventually(holds: () => boolean, show: () => unknown, patienceMs = PATIENCE_MS): Promise<void> {
  const untilMs = Date.now() + patienceMs;
  for (;;) {
    const begunMs = performance.now();
    try {
      if (holds()) return;
    } catch (error) {
      // A tree that changes under the reader is read again.
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
    if (Date.now() > untilMs) assert.fail(`it did not come to be: ${JSON.stringify(show(), null, 1)}`);
    // What is asked about works in this very thread: a deep tree that was read all the time would leave it none.
    const restMs = Math.max(10, 2 * (performance.now() - begunMs));
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
}

/** All running devices show the same tree, which is `expected` where given, and say that they are in sync. */
export async function converged(
  devices: readonly Device[],
  expected?: Record<string, string>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const holds = () => {
    const trees = devices.map((device) => JSON.stringify(device.tree()));
    if (new Set(trees).size !== 1) return false;
    if (expected && trees[0] !== JSON.stringify(Object.fromEntries(Object.entries(expected).sort()))) return false;
    return devices.every((device) => device.client?.status().inSync);
  };
  const show = () =>
    devices.map((device) => ({ name: device.name, tree: short(device.tree()), status: device.client?.status() }));
  await eventually(holds, show, patienceMs);
}

function short(tree: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(tree).map(([path, text]) => [path, text.slice(0, 40)]));
}

function memoryRootKeeper() {
  let kept: { kit: RecoveryKit; confirmed: boolean } | null = null;
  return {
    read: async () => kept,
    stage: async (kit: RecoveryKit) => {
      kept = { kit, confirmed: false };
    },
    confirm: async () => {
      if (kept) kept = { ...kept, confirmed: true };
    },
  };
}

function memoryNode(
  store: MemoryBlockStore,
  node: NodeId,
  cluster: Parameters<Parameters<typeof startServer>[0]['connectNode']>[0]['cluster'],
  pool: string,
  down: ReadonlySet<string>,
): NodeConnection {
  const reached = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      if (down.has(pool)) throw new HoldfastError('unreachable', 'the node is down');
      return call(...args);
    };
  };
  return {
    store: {
      put: reached((blocks, fence, signal) => store.put(blocks, fence, signal)),
      get: reached((ids, signal) => store.get(ids, signal)),
      has: reached((ids, signal) => store.has(ids, signal)),
    },
    status: reached(async () => ({
      node,
      cluster,
      version: 'test',
      boot: 1,
      run: '0123456789abcdef',
      pool,
      ...(await store.status()),
    })),
    pushKeys: async () => ({ incarnation: 1, seq: 1 }),
    delete: reached(async () => []),
    pushRoot: reached(async () => ({ incarnation: 1, seq: 1 })),
    prove: reached((challenges, signal) => proveHeld(store, nodePrimitives, challenges, signal)),
    close: async () => {},
  };
}

async function joinNode(server: Server, pool: string): Promise<void> {
  const { invite } = await server.invite({ kind: 'node' });
  const { tokenId, secret } = parseInvite(nodePrimitives, invite);
  const pin = id32Of<Pin>(realRandom.bytes(32));
  const peer = directPeer(server.handler, { kind: 'pinned', pin, address: 'here' });
  const node = id16Of<NodeId>(realRandom.bytes(16));
  const ticket = { id: tokenId, secret };
  await ask(peer, nodeJoin, { ticket, node, pin, name: pool, pool, addresses: ['http://127.0.0.1:2'] }, never());
}

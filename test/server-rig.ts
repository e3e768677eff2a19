/** A real server on a real SQLite file, with storage nodes in memory that can fail on command, called through its handler. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import type { BlockStore } from '#blocks/block-store.ts';
import { toHex } from '#core/bytes.ts';
import { chunkerForSize, cutPoint } from '#core/chunker.ts';
import { verifyDeleteOrder } from '#core/delete-order.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Cursor } from '#core/entry.ts';
import {
  id32Of,
  ROOT_ENTRY,
  type BlockId,
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
import { makeKeyring, type Keyring } from '#core/keyring.ts';
import { sealManifest, type ManifestChunk } from '#core/manifest.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { verifyRoot } from '#core/root-record.ts';
import { blockIdOf, sealData } from '#core/seal.ts';
import { formatDeviceToken, secretHash } from '#core/token.ts';
import { findCluster, type StoredCluster } from '#meta/clusters.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { nodeJoin, redeem, spaces } from '#protocol/account.ts';
import { ask, type Answered } from '#protocol/call.ts';
import { attach, commit, list, pull, type Answer, type Operation } from '#protocol/sync.ts';
import type { Caller, Peer, Verb } from '#protocol/wire.ts';
import type { JournalKept } from '#server/journal-trim.ts';
import { startServer, type Server } from '#server/server.ts';
import type { CareSettings } from '#server/care-settings.ts';
import type { RootKeeper } from '#server/root-keeper.ts';
import type { RootsPace } from '#server/roots.ts';
import { proveHeld } from '#storage/prove.ts';
import type { NodeConnection } from '#server/node-connection.ts';
import type { Clock } from '#world/clock.ts';
import type { TlsIdentity } from '#world/net.ts';
import { realClock } from '#world/real/clock.ts';
import { stderrLog } from '#world/real/log.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';

export const never: AbortSignal = new AbortController().signal;
export const newId = <Id>(): Id => toHex(randomBytes(16)) as Id;
export const POOLS = ['mp3', 'txt', 'pdf', 'others'];

/** Keeps the root key where a crash of the server does not reach it. */
export class MemoryRootKeeper implements RootKeeper {
  confirmed: RecoveryKit | null = null;
  staged: RecoveryKit | null = null;

  async read() {
    const kit = this.confirmed ?? this.staged;
    return kit && { kit, confirmed: this.confirmed !== null };
  }
  async stage(kit: RecoveryKit) {
    this.staged = kit;
  }
  async confirm() {
    this.confirmed = this.staged;
  }
}

export class RigNode {
  readonly node = newId<NodeId>();
  readonly pin = id32Of<Pin>(randomBytes(32));
  readonly pool: string;
  store: BlockStore & Pick<MemoryBlockStore, 'delete'> & { status(): Promise<object> };
  down = false;
  keys: Uint8Array | null = null;
  shown: string[] = [];
  boot = 1;
  run = toHex(randomBytes(8));
  domain: string;
  roots: Uint8Array[] = [];
  /** Named when it joins. */
  site: string | null = null;
  takesRoots = true;
  /** Of the bytes that its store gives out. */
  prove: NodeConnection['prove'] = (challenges, signal) => proveHeld(this.store, p, challenges, signal);

  /** `domain`: the host of its address. */
  constructor(pool: string, capacityBytes?: number, domain = '127.0.0.1') {
    this.pool = pool;
    this.domain = domain;
    this.store = new MemoryBlockStore(p, capacityBytes);
  }
}

export type RigOptions = {
  readonly clock?: Clock;
  readonly nodes?: readonly RigNode[];
  readonly wrapMeta?: (store: MetaStore) => MetaStore;
  readonly journalKept?: JournalKept;
  readonly collection?: { readonly everyMs: number; readonly graceMs: number };
  /** Of pools that are to keep another number than one. */
  readonly copies?: Readonly<Record<string, number>>;
  readonly care?: Partial<CareSettings>;
  /** Default: none are made but by `makeRoot`. */
  readonly rootsPace?: RootsPace;
};

export class ServerRig {
  readonly directory: string;
  readonly keeper = new MemoryRootKeeper();
  readonly nodes: readonly RigNode[];
  readonly #clock: Clock;
  readonly #wrapMeta: (store: MetaStore) => MetaStore;
  readonly #options: RigOptions;
  #store!: MetaStore;
  server!: Server;
  /** The index as the running server has it. */
  meta!: MetaStore;

  static async start(options: RigOptions = {}): Promise<ServerRig> {
    const rig = new ServerRig(options);
    await rig.open();
    if (options.copies) await rig.#setCopies(options.copies);
    for (const node of rig.nodes) await rig.join(node);
    await rig.server.greetNodes();
    return rig;
  }

  private constructor(options: RigOptions) {
    this.directory = mkdtempSync(path.join(tmpdir(), 'holdfast-server-'));
    this.nodes = options.nodes ?? POOLS.map((pool) => new RigNode(pool));
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#wrapMeta = options.wrapMeta ?? ((store) => store);
  }

  get metaPath(): string {
    return path.join(this.directory, 'meta.db');
  }

  async open(): Promise<void> {
    this.#store = await openSqliteMetaStore(sqliteOpener, this.metaPath);
    this.meta = this.#wrapMeta(this.#store);
    this.server = await startServer({
      version: '0.0.0-test',
      meta: this.meta,
      primitives: p,
      clock: this.#clock,
      random: realRandom,
      log: stderrLog('silent'),
      net: { makeTlsIdentity: async (): Promise<TlsIdentity> => testIdentity() },
      rootKeeper: this.keeper,
      connectNode: ({ node }, show) => this.#connection(node, show),
      addresses: () => ['http://127.0.0.1:12345'],
      ...(this.#options.collection ? { collection: this.#options.collection } : {}),
      ...(this.#options.care ? { care: this.#options.care } : {}),
      rootsPace: this.#options.rootsPace ?? null,
      ...(this.#options.journalKept ? { journalKept: this.#options.journalKept } : {}),
    });
  }

  async #setCopies(copies: Readonly<Record<string, number>>): Promise<void> {
    await this.server.close();
    const database = new DatabaseSync(this.metaPath);
    for (const [pool, count] of Object.entries(copies))
      database.prepare('update pool set copies = ? where pool = ?').run(count, pool);
    database.close();
    await this.open();
  }

  async restart(): Promise<void> {
    await this.server.close();
    await this.open();
    await this.server.greetNodes();
  }

  async close(): Promise<void> {
    await this.server.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #connection(id: NodeId, show: TlsIdentity): NodeConnection {
    const find = (): RigNode => {
      const node = this.nodes.find((one) => one.node === id);
      if (!node || node.down) throw new HoldfastError('unreachable', 'the node is down');
      node.shown.push(show.pin);
      return node;
    };
    const { cluster } = this.keeper.confirmed as RecoveryKit;
    return {
      store: {
        put: async (...of) => find().store.put(...of),
        // Who reads from a node verifies what comes.
        get: async (ids, signal) => {
          const got = await find().store.get(ids, signal);
          return got.map((one, index) =>
            one.kind === 'found' && blockIdOf(p, one.bytes) !== ids[index] ? { kind: 'corrupt', forged: true } : one,
          );
        },
        has: async (...of) => find().store.has(...of),
      },
      status: async () => {
        const { pool, store, boot, run } = find();
        const status = await store.status();
        return { node: id, cluster, version: 'test', boot, run, pool, ...status } as never;
      },
      pushKeys: async (bytes) => {
        find().keys = bytes;
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        return { incarnation: view.getUint32(52), seq: Number(view.getBigUint64(56)) };
      },
      delete: async (bytes) => {
        // As a node knows it from its join.
        const { identityPublicKey } = (await this.#store.read(findCluster)) as StoredCluster;
        const order = verifyDeleteOrder(p, bytes, identityPublicKey);
        if (order?.node !== id) throw new HoldfastError('forbidden', 'not an order for this node');
        return find().store.delete(order.blocks, order);
      },
      pushRoot: async (bytes) => {
        if (!find().takesRoots) throw new HoldfastError('no_space', 'the disk is full');
        const root = verifyRoot(p, bytes, cluster);
        if (!root) throw new HoldfastError('forbidden', 'the root is not signed by the cluster');
        find().roots.push(bytes);
        return root;
      },
      prove: async (...of) => find().prove(...of),
      close: async () => {},
    };
  }

  peer(caller: Caller): Peer {
    return {
      // Bodies cross as JSON, as they do on every transport between processes.
      call: (name, { body, parts }, signal) =>
        this.server.handler(name, { body: JSON.parse(JSON.stringify(body)) as unknown, parts }, caller, signal),
      close: async () => {},
    };
  }

  anonymous(): Peer {
    return this.peer({ kind: 'anonymous', address: '127.0.0.1' });
  }

  async join(node: RigNode): Promise<void> {
    const { invite } = await this.server.invite({ kind: 'node' });
    const ticket = parseInvite(p, invite);
    await ask(
      this.anonymous(),
      nodeJoin,
      {
        ticket: { id: ticket.tokenId, secret: ticket.secret },
        node: node.node,
        pin: node.pin,
        name: `node-${node.pool}`,
        pool: node.pool,
        addresses: [`http://${node.domain}:9000`],
        spaceBytes: await spaceOf(node),
        ...(node.site === null ? {} : { site: node.site }),
      },
      never,
    );
  }

  async link(name: string): Promise<RigDevice> {
    const { invite } = await this.server.invite({ kind: 'device' });
    const { tokenId: id, secret: inviteSecret } = parseInvite(p, invite);
    const secret = randomBytes(32);
    const device = newId<DeviceId>();
    const request = { invite: { id, secret: inviteSecret }, device, name, tokenHash: secretHash(p, secret) };
    const { response } = await ask(this.anonymous(), redeem, request, never);
    return RigDevice.open(this, device, formatDeviceToken({ id: response.tokenId, secret }));
  }
}

async function spaceOf({ store }: RigNode): Promise<number> {
  const { storedBytes, freeBytes } = (await store.status()) as { storedBytes: number; freeBytes: number };
  return storedBytes + freeBytes;
}

export type SealedFile = {
  readonly manifest: Uint8Array;
  readonly content: { readonly contentId: ReturnType<typeof sealManifest>['contentId']; readonly size: number };
  readonly manifestId: ReturnType<typeof sealManifest>['manifestId'];
  readonly blocks: readonly { readonly id: BlockId; readonly bytes: Uint8Array }[];
};

export class RigDevice {
  readonly rig: ServerRig;
  readonly device: DeviceId;
  readonly token: string;
  readonly install = newId<InstallId>();
  readonly session = newId<SessionId>();
  #tick = 1;
  space!: SpaceId;
  keyring!: Keyring;

  static async open(rig: ServerRig, device: DeviceId, token: string): Promise<RigDevice> {
    const made = new RigDevice(rig, device, token);
    await made.refreshKeys();
    await made.ask(attach, { install: made.install, tick: 1, session: made.session });
    return made;
  }

  private constructor(rig: ServerRig, device: DeviceId, token: string) {
    this.rig = rig;
    this.device = device;
    this.token = token;
  }

  async refreshKeys(): Promise<void> {
    const { response } = await this.ask(spaces, {});
    const [own] = response.spaces;
    if (!own) throw new Error('the owner has a space');
    this.space = own.space;
    const versions = own.keys.map(({ version, key }) => ({ version, key: Buffer.from(key, 'hex') }));
    const current = versions.find(({ version }) => version === own.currentKeyVersion);
    const identity = versions.find(({ version }) => version === 0);
    if (!current || !identity) throw new Error('a space has its keys');
    this.keyring = makeKeyring(p, {
      identityKey: identity.key,
      current,
      versions: versions.filter(({ version }) => version > 0),
    });
  }

  ask<Request, Response>(
    verb: Verb<Request, Response>,
    request: Request,
    parts: readonly Uint8Array[] = [],
    signal: AbortSignal = never,
  ): Promise<Answered<Response>> {
    const caller: Caller = { kind: 'bearer', token: this.token, address: '127.0.0.1' };
    return ask(this.rig.peer(caller), verb, request, signal, parts);
  }

  seal(bytes: Uint8Array): SealedFile {
    const chunker = chunkerForSize(bytes.length);
    const chunks: ManifestChunk[] = [];
    const blocks: { id: BlockId; bytes: Uint8Array }[] = [];
    for (let start = 0; start < bytes.length; ) {
      const length = cutPoint(chunker, bytes, start, bytes.length, true);
      const plain = bytes.subarray(start, start + length);
      const block = sealData(p, this.keyring.currentSealKey('data'), plain);
      const id = blockIdOf(p, block);
      blocks.push({ id, bytes: block });
      chunks.push({
        blockId: id,
        storedLength: block.length,
        keyVersion: this.keyring.currentVersion,
        chunkHash: id32Of(createHash('sha256').update(plain).digest()),
        plainLength: length,
      });
      start += length;
    }
    const sealed = sealManifest(p, this.keyring, { size: bytes.length, chunker, chunks });
    return {
      manifest: sealed.bytes,
      manifestId: sealed.manifestId,
      content: { contentId: sealed.contentId, size: bytes.length },
      blocks,
    };
  }

  /** What every commit says of who sends it, and from where. */
  async standing(cursor?: Cursor) {
    return {
      space: this.space,
      cursor: cursor ?? (await this.head()),
      install: this.install,
      tick: ++this.#tick,
      session: this.session,
    };
  }

  /** `files`: the contents that operations name by their position in this list. */
  async commit(
    groups: readonly (readonly Operation[])[],
    files: readonly SealedFile[] = [],
    options: {
      readonly op?: OpId;
      readonly uploads?: readonly ReturnType<typeof newId<never>>[];
      readonly inline?: boolean;
      /** Default: everything was pulled. */
      readonly cursor?: Cursor;
      /** Of the whole batch that the commit is a part of. */
      readonly deletes?: number;
      readonly updates?: number;
      /** Another state than the rig's own. */
      readonly state?: { readonly install: InstallId; readonly tick: number; readonly session: SessionId };
    } = {},
  ): Promise<{ readonly answers: readonly Answer[]; readonly head: Cursor }> {
    const blocks = options.inline === false ? [] : files.flatMap((file) => file.blocks);
    const unique = [...new Map(blocks.map((block) => [block.id, block])).values()];
    const { deletes = 0, updates = 0 } = options;
    const totals = { plan: newId<OpId>(), creates: 0, updates, moves: 0, deletes };
    const request = {
      op: options.op ?? newId<OpId>(),
      ...(await this.standing(options.cursor)),
      ...options.state,
      totals,
      uploads: [...(options.uploads ?? [])],
      groups: groups.map((group) => [...group]),
      blocks: unique.map(({ id }) => id),
    };
    const parts = [...files.map((file) => file.manifest), ...unique.map(({ bytes }) => bytes)];
    return (await this.ask(commit, request, parts)).response;
  }

  /** Each operation as a group of its own. */
  async each(operations: readonly Operation[], files: readonly SealedFile[] = []) {
    return this.commit(
      operations.map((operation) => [operation]),
      files,
    );
  }

  /** Small files in the root, each with bytes of its own. */
  async createMany(count: number, prefix: string): Promise<readonly SealedFile[]> {
    const made: SealedFile[] = [];
    const operations = Array.from({ length: count }, (_, index) =>
      this.createFile(ROOT_ENTRY, `${prefix} ${index}.txt`, made, randomBytes(200 + index)),
    );
    const { answers } = await this.each(operations, made);
    const refused = answers.find(({ kind }) => kind !== 'applied');
    if (refused) throw new Error(`a file was not taken: ${JSON.stringify(refused)}`);
    return made;
  }

  createFile(
    parent: EntryId,
    name: string,
    files: SealedFile[],
    bytes: Uint8Array,
    entry = newId<EntryId>(),
  ): Operation {
    const file = this.seal(bytes);
    files.push(file);
    const content = { ...file.content, manifest: files.length - 1 };
    return { kind: 'create', entry, parent, name, state: { kind: 'file', content, mtimeUs: 1, exec: false } };
  }

  async pullAll(cursor: Cursor) {
    const request = { cursors: [{ space: this.space, cursor, met: null }], waitMs: 0, rowsMax: 1000 };
    const { response, parts } = await this.ask(pull, request);
    const [answered] = response.spaces;
    if (answered?.kind === 'reset') return { reset: answered.reason, rows: [], bytes: [] };
    const bytes = answered ? parseRows(parts[answered.part] as Uint8Array) : [];
    return { reset: null, rows: bytes.map(parseRow), bytes };
  }

  async head(): Promise<Cursor> {
    return (await this.ask(list, { space: this.space, after: null, trashed: false, limit: 1 })).response.head;
  }

  async listAll(trashed = false) {
    const { response, parts } = await this.ask(list, { space: this.space, after: null, trashed, limit: 1000 });
    return { head: response.head, rows: parseRows(parts[0] as Uint8Array).map(parseRow) };
  }
}

export function folder(parent: EntryId, name: string, entry = newId<EntryId>()): Operation {
  return { kind: 'create', entry, parent, name, state: { kind: 'folder' } };
}

let identities = 0;
function testIdentity(): TlsIdentity {
  const pin = id32Of<Pin>(createHash('sha256').update(`identity ${identities++}`).digest());
  return { privateKeyPem: `key of ${pin}`, certificatePem: `certificate of ${pin}`, pin };
}

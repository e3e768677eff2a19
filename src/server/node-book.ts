/** The storage nodes as this server knows them: where they are, which answer, which layouts name them. */
import type { PoolCopies } from '#core/copies.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId, ClusterId, NodeId } from '#core/ids.ts';
import { nodesFor, parseLayout, type Layout } from '#core/layout.ts';
import { copiesNamed, poolOfNodes } from '#core/pool-name.ts';
import { allLayouts, allNodes, allPools, type StoredNode } from '#meta/clusters.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { Clock } from '#world/clock.ts';
import type { TlsIdentity } from '#world/net.ts';
import { withDeadline } from './deadline.ts';
import type { ConnectNode, NodeConnection, NodeStatus } from './node-connection.ts';

/**
 * How long a node that failed is not asked for blocks. Longer than the time between two heartbeats: those find out that it is back, so that
 * a dead node delays nobody.
 */
const DOWN_MS = 5000;
/** How long a node that kept a reader waiting is not the first to be asked. */
const SLOW_MS = 60_000;
const CALL_MS_MAX = 10_000;
/** A node may sit behind a slow line: a batch gets the time that one megabit a second needs. */
const BYTES_PER_MS_MIN = 128;

/** How long a call that carries so many bytes may take, where the node may take `answerMs` before the first of them. */
export function transferMsMax(bytes: number, answerMs: number = CALL_MS_MAX): number {
  return answerMs + Math.ceil(bytes / BYTES_PER_MS_MIN);
}

export type KnownNode = {
  readonly stored: StoredNode;
  readonly connection: NodeConnection;
  /** Last answer to a heartbeat; null before the first. */
  status: NodeStatus | null;
  /** Monotonic; 0: up. */
  downUntilMs: number;
  /** Monotonic: until then others are asked first for what they have as well; 0: it is as quick as any. */
  slowUntilMs: number;
  answering: boolean;
  lastSeenMs: number | null;
  /** Monotonic: since when it does not answer this process; null: it does. */
  silentSinceMs: number | null;
  /** Monotonic: since when it was asked for proofs and gave none; null: it did, or was not asked. */
  unprovenSinceMs: number | null;
  /** What is wrong with who answers in its name, until then by the monotonic clock; null: nothing. */
  complaint: { readonly message: string; readonly untilMs: number } | null;
};

export class NodeBook {
  readonly #meta: MetaStore;
  readonly #clock: Clock;
  readonly #cluster: ClusterId;
  readonly #connect: ConnectNode;
  #show: TlsIdentity;
  #nodes = new Map<NodeId, KnownNode>();
  #layouts = new Map<string, readonly Layout[]>();
  #copies = new Map<string, number>();

  constructor(meta: MetaStore, clock: Clock, cluster: ClusterId, connect: ConnectNode, show: TlsIdentity) {
    this.#meta = meta;
    this.#clock = clock;
    this.#cluster = cluster;
    this.#connect = connect;
    this.#show = show;
  }

  /** Takes up what other servers or verbs changed. Connections to nodes that did not move are kept. */
  async reload(): Promise<void> {
    const [nodes, layouts, pools] = await this.#meta.read(
      async (reader) => [await allNodes(reader), await allLayouts(reader), await allPools(reader)] as const,
    );
    const next = new Map<NodeId, KnownNode>();
    for (const stored of nodes) if (stored.standing !== 'removed') next.set(stored.node, this.#keep(stored));
    const gone = [...this.#nodes.values()].filter(
      (known) => next.get(known.stored.node)?.connection !== known.connection,
    );
    this.#nodes = next;
    this.#copies = new Map(pools.map(({ pool, copies }) => [pool, copies]));
    const byPool = new Map<string, Layout[]>();
    for (const { pool, number, nodes: named, table } of layouts) {
      const layout = parseLayout(number, named, table);
      if (!layout) throw new HoldfastError('integrity', `layout ${number} of pool ${pool} in the database is damaged`);
      byPool.set(pool, [...(byPool.get(pool) ?? []), layout]);
    }
    this.#layouts = byPool;
    for (const known of gone) await known.connection.close();
  }

  #keep(stored: StoredNode): KnownNode {
    const known = this.#nodes.get(stored.node);
    if (known && known.stored.pin === stored.pin && known.stored.addresses.join() === stored.addresses.join())
      return Object.assign(known, { stored });
    const { node, pool, pin, addresses } = stored;
    const connection = this.#connect({ node, cluster: this.#cluster, pool, pin, addresses }, this.#show);
    const { lastSeenMs } = stored;
    const silentSinceMs = this.#clock.monotonicMs();
    const unknown = {
      status: null,
      downUntilMs: 0,
      slowUntilMs: 0,
      answering: false,
      unprovenSinceMs: null,
      complaint: null,
    };
    return { stored, connection, lastSeenMs, silentSinceMs, ...unknown };
  }

  /** The server shows another key from now on: every connection is made anew. */
  async showFromNowOn(identity: TlsIdentity): Promise<void> {
    this.#show = identity;
    const old = [...this.#nodes.values()];
    this.#nodes = new Map();
    await this.reload();
    for (const known of old) await known.connection.close();
  }

  all(): readonly KnownNode[] {
    return [...this.#nodes.values()];
  }

  find(node: NodeId): KnownNode | null {
    return this.#nodes.get(node) ?? null;
  }

  byNumber(number: number): KnownNode | null {
    for (const known of this.#nodes.values()) if (known.stored.number === number) return known;
    return null;
  }

  pools(): readonly string[] {
    return [...this.#copies.keys()];
  }

  /** Copies that the pool asks for, or would. */
  copies(pool: string): number {
    return this.#copies.get(pool) ?? copiesNamed(pool) ?? 1;
  }

  /** Where blocks of a pool are to be put: best first. Empty where the pool has no node yet. */
  targets(pool: string, block: BlockId): readonly KnownNode[] {
    const newest = this.#layouts.get(pool)?.[0];
    return newest ? this.#known(nodesFor(newest, block)) : [];
  }

  /** Their numbers. */
  order(pool: string, block: BlockId): readonly number[] {
    return this.targets(pool, block).map(({ stored }) => stored.number);
  }

  /** The number of the pool's newest layout that is known here; 0: there is none. */
  layoutNumber(pool: string): number {
    return this.#layouts.get(pool)?.[0]?.number ?? 0;
  }

  /** As it is known here; what is written down is decided by the rows. */
  standing(pool: string): PoolCopies {
    const standing = new Map(this.all().map(({ stored }) => [stored.number, stored.standing]));
    return { copies: this.copies(pool), standing };
  }

  /** The storage nodes that it lies on. */
  members(pool: string): readonly KnownNode[] {
    return this.all().filter(({ stored }) => stored.pool === poolOfNodes(pool));
  }

  /** Where a block of a pool may lie, whatever the rows say: by any layout, newest first, then anywhere in the pool. */
  places(pool: string, block: BlockId): readonly KnownNode[] {
    const nodes = (this.#layouts.get(pool) ?? []).flatMap((layout) => nodesFor(layout, block));
    return [...new Set([...this.#known(nodes), ...this.members(pool)])];
  }

  #known(nodes: readonly NodeId[]): KnownNode[] {
    return nodes.flatMap((node) => this.#nodes.get(node) ?? []);
  }

  complaintOf({ complaint }: KnownNode): string | null {
    return complaint && complaint.untilMs > this.#clock.monotonicMs() ? complaint.message : null;
  }

  /** One of the nodes that the row names can be asked for the block; or nobody is named, and all must be. */
  hasSource({ holders }: { readonly holders: readonly number[] }): boolean {
    const named = holders.flatMap((holder) => this.byNumber(holder) ?? []);
    return named.length === 0 || named.some((known) => !this.isDown(known));
  }

  /** It answers, and has space as far as is known. */
  takesBlocks(known: KnownNode): boolean {
    return !this.isDown(known) && (known.status?.state ?? 'ok') === 'ok';
  }

  isDown(known: KnownNode): boolean {
    return known.downUntilMs > this.#clock.monotonicMs();
  }

  isSlow(known: KnownNode): boolean {
    return known.slowUntilMs > this.#clock.monotonicMs();
  }

  noteSlow(known: KnownNode): void {
    known.slowUntilMs = this.#clock.monotonicMs() + SLOW_MS;
  }

  /** Asks it for no blocks for a moment. */
  takeOut(known: KnownNode): void {
    known.downUntilMs = this.#clock.monotonicMs() + DOWN_MS;
    known.answering = false;
  }

  /** Calls a node with a deadline; a failure takes it out for a moment. */
  async call<T>(
    known: KnownNode,
    signal: AbortSignal,
    work: (connection: NodeConnection, signal: AbortSignal) => Promise<T>,
    deadlineMs: number = CALL_MS_MAX,
  ): Promise<T> {
    try {
      const result = await withDeadline(this.#clock, deadlineMs, signal, (limited) => work(known.connection, limited));
      known.downUntilMs = 0;
      return result;
    } catch (error) {
      // A caller that went away says nothing about the node.
      if (!signal.aborted) this.takeOut(known);
      throw error;
    }
  }

  /** What the node itself, by its key, answers at other addresses than those known; null: it does not. */
  async statusAt(
    known: KnownNode,
    addresses: readonly string[],
    signal: AbortSignal,
    deadlineMs: number = CALL_MS_MAX,
  ): Promise<NodeStatus | null> {
    const { node, pool, pin } = known.stored;
    const connection = this.#connect({ node, cluster: this.#cluster, pool, pin, addresses }, this.#show);
    try {
      const status = await withDeadline(this.#clock, deadlineMs, signal, (limited) => connection.status(limited));
      return status.node === node && status.cluster === this.#cluster ? status : null;
    } catch (error) {
      if (error instanceof HoldfastError) return null;
      throw error;
    } finally {
      await connection.close();
    }
  }

  async close(): Promise<void> {
    for (const known of this.#nodes.values()) await known.connection.close();
  }
}

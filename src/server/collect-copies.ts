/**
 * Has storage nodes let go of copies that no row names. Decided in a transaction that sees every row, under a fence that no put had before: whoever puts the
 * block from then on does so under that fence or a higher one, and the node spares it; whoever began before finds out when the copy
 * is to be named (`copies.ts`).
 */
import { must } from '#core/assert.ts';
import { countsAs } from '#core/copies.ts';
import { ORDER_BLOCKS_MAX, signDeleteOrder } from '#core/delete-order.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { collectionState, leftBlocks, putCollectionState, removeLeftBlocks, type LeftBlock } from '#meta/collection.ts';
import {
  addGarbage,
  copyKey,
  deletedBefore,
  dropGarbage,
  garbageToJudge,
  namedCopies,
  noteGarbage,
  orderGarbage,
  type Garbage,
} from '#meta/garbage.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';

const ROWS_PER_STEP = 500;

type Decided = { readonly fence: number; readonly blocks: readonly BlockId[] };

export class CopyCollector {
  readonly #context: ServerContext;
  readonly #graceMs: number;
  /** Nodes that did not carry out an order are not asked again before the next round. */
  readonly #failed = new Set<number>();
  #afterLeft: LeftBlock | null = null;

  constructor(context: ServerContext, graceMs: number) {
    this.#context = context;
    this.#graceMs = graceMs;
  }

  /** `idle`: nothing is due, or no node that it concerns answers. The next call begins a new round. */
  async step(): Promise<'busy' | 'idle'> {
    if (await this.#order()) return 'busy';
    if (await this.#forget()) return 'busy';
    this.#failed.clear();
    return 'idle';
  }

  /** What uploads that are over brought and nothing took: true where there may be more of it. */
  async sweepLeft(): Promise<boolean> {
    const nowMs = this.#context.clock.nowMs();
    return this.#context.meta.write(async (writer) => {
      const rows = await leftBlocks(writer, this.#afterLeft, ROWS_PER_STEP);
      this.#afterLeft = rows.at(-1) ?? null;
      await removeLeftBlocks(writer, rows);
      const copies = rows.flatMap(({ block, holders }) => holders.map((node) => ({ node, block })));
      const named = await namedCopies(
        writer,
        rows.map(({ block }) => block),
      );
      const unnamed = copies.filter((copy) => !named.has(copyKey(copy)));
      await addGarbage(writer, [...new Map(unnamed.map((copy) => [copyKey(copy), copy])).values()], nowMs);
      return rows.length === ROWS_PER_STEP;
    });
  }

  async #order(): Promise<boolean> {
    const { meta, nodes, clock } = this.#context;
    // Nothing is deleted on a node whose word counts for nothing.
    const up = nodes
      .all()
      .filter(
        (known) => countsAs(known.stored.standing) && !nodes.isDown(known) && !this.#failed.has(known.stored.number),
      );
    const numbers = up.map(({ stored }) => stored.number);
    const beforeMs = clock.nowMs() - this.#graceMs;
    const isDue = (await meta.read((reader) => garbageToJudge(reader, numbers, beforeMs, 1))).length > 0;
    if (!isDue) return false;
    const decided = await meta.write(async (writer) => {
      const due = await garbageToJudge(writer, numbers, beforeMs, ORDER_BLOCKS_MAX);
      const node = due[0]?.node;
      if (node === undefined) return null;
      return { node, ...(await this.#decide(writer, node, due)) };
    });
    if (!decided || decided.blocks.length === 0) return true;
    const known = must(
      up.find(({ stored }) => stored.number === decided.node),
      'only copies of these were looked for',
    );
    await this.#carryOut(known, decided);
    return true;
  }

  async #decide(writer: MetaWriter, node: number, due: readonly Garbage[]): Promise<Decided> {
    const named = await namedCopies(
      writer,
      due.map(({ block }) => block),
    );
    const isNamed = (copy: Garbage) => named.has(copyKey(copy));
    await this.#drop(writer, due.filter(isNamed));
    const blocks = due.filter((copy) => !isNamed(copy)).map(({ block }) => block);
    const state = await collectionState(writer);
    const fence = state.fence + 1;
    if (blocks.length === 0) return { fence, blocks };
    await putCollectionState(writer, { ...state, fence });
    await orderGarbage(writer, node, blocks, { fence, sinceMs: this.#context.clock.nowMs() });
    return { fence, blocks };
  }

  async #carryOut(known: KnownNode, { fence, blocks }: Decided): Promise<void> {
    const { meta, nodes, clock, cluster, closing, primitives, tlsKeys, log } = this.#context;
    const { number, node, name } = known.stored;
    const { incarnation } = tlsKeys.keyList().list;
    const seed = must(
      (await meta.read((reader) => cluster.vault.versions(reader, 'cluster_identity_seed'))).at(-1),
      'a cluster has an identity',
    ).bytes;
    const order = { cluster: cluster.cluster, node, incarnation, number: fence, fence, blocks };
    const bytes = signDeleteOrder(primitives, seed, order);
    try {
      const results = await nodes.call(known, closing, (connection, signal) => connection.delete(bytes, signal));
      const sinceMs = clock.nowMs();
      const spared = blocks.filter((_, index) => results[index] === 'spared');
      const gone = blocks.filter((_, index) => results[index] === 'deleted' || results[index] === 'missing');
      await meta.write(async (writer) => {
        await noteGarbage(writer, number, gone, { state: 'deleted', fence, sinceMs });
        // Somebody put it again: named or not is judged once more, later.
        await noteGarbage(writer, number, spared, { state: 'waiting', fence, sinceMs });
      });
      if (gone.length + spared.length < blocks.length) this.#failed.add(number);
    } catch (error) {
      if (closing.aborted || !(error instanceof HoldfastError)) throw error;
      // Unknown: it is decided anew, under a higher fence.
      this.#failed.add(number);
      log.warn('a storage node did not carry out a delete order', { node: name, code: error.code });
    }
  }

  /** Rows of what is long gone. */
  async #forget(): Promise<boolean> {
    const { meta, clock } = this.#context;
    const beforeMs = clock.nowMs() - this.#graceMs;
    if ((await meta.read((reader) => deletedBefore(reader, beforeMs, 1))).length === 0) return false;
    await meta.write(async (writer) => this.#drop(writer, await deletedBefore(writer, beforeMs, ROWS_PER_STEP)));
    return true;
  }

  /** With a row goes what it tells to those who began to put its block under a lower fence: they have to begin again. */
  async #drop(writer: MetaWriter, rows: readonly Garbage[]): Promise<void> {
    const state = await collectionState(writer);
    const forgottenFence = Math.max(state.forgottenFence, ...rows.map(({ fence }) => fence));
    if (forgottenFence > state.forgottenFence) await putCollectionState(writer, { ...state, forgottenFence });
    for (const node of new Set(rows.map((row) => row.node)))
      await dropGarbage(
        writer,
        node,
        rows.filter((row) => row.node === node).map(({ block }) => block),
      );
  }
}

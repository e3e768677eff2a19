/**
 * How much of its pools a storage node is to hold: by the space that its disk has for blocks, taken or free. All are looked at when one is first seen or was
 * started anew, and once a day: a disk that was changed for a larger one gets more, and one that other programs fill gets less in time. What is
 * written down is what the newest layouts were made by, so that small changes add up and are not passed over one by one.
 */
import { hasCode } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import { GIB } from '#core/limits.ts';
import { allNodes, putWeight, type StoredNode } from '#meta/clusters.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import type { KnownNode } from './node-book.ts';
import type { NodeStatus } from './node-connection.ts';
import { takeUp } from './nodes.ts';
import type { ServerContext } from './server-context.ts';
import { jobsFor, newLayouts, racersOf, wantJobs } from './standing.ts';

const LOOK_MS = 24 * 3_600_000;
/** Space that others take and give back is no reason to move blocks; a share that is a quarter more or less is. */
const CHANGE_MIN = 1.25;
/** A node whose disk is full has to have some weight. */
const WEIGHT_MIN = 1 / 1024;

type Looked = { readonly run: string; readonly atMs: number };

export class NodeWeights {
  readonly #context: ServerContext;
  readonly #looked = new Map<NodeId, Looked>();

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** Where shares become others, blocks move in the background. */
  async judge(): Promise<void> {
    const { meta, nodes, log } = this.#context;
    const answering = nodes.all().filter((known) => known.answering && known.status);
    if (!answering.some((known) => this.#isDue(known))) return;
    const weights = new Map(
      answering.map(({ stored, status }) => [stored.node, weightOf(spaceOf(status as NodeStatus))]),
    );
    try {
      const pools = await meta.write((writer) => this.#follow(writer, weights));
      for (const known of answering) this.#noteLook(known);
      if (pools.length === 0) return;
      log.info('the shares of storage nodes follow the space of their disks', { pools: pools.join(' ') });
      await takeUp(this.#context);
    } catch (error) {
      // The server's full disk says nothing about the nodes; the next beat looks again.
      if (!hasCode(error, 'no_space')) throw error;
    }
  }

  /** Names of the pools that got new layouts. */
  async #follow(writer: MetaWriter, weights: ReadonlyMap<NodeId, number>): Promise<readonly string[]> {
    const all = await allNodes(writer);
    const pools: string[] = [];
    for (const pool of new Set(all.map((node) => node.pool))) {
      const before = all.filter((node) => node.pool === pool);
      const after = before.map((node) => ({ ...node, weight: weights.get(node.node) ?? node.weight }));
      const differs = sharesDiffer(before, after);
      for (const [index, { node, weight }] of after.entries())
        if (differs || (before[index] as StoredNode).weight <= 0) await putWeight(writer, node, weight);
      if (differs) pools.push(...(await newLayouts(this.#context, writer, pool)));
    }
    await wantJobs(this.#context, writer, jobsFor('rebalance', pools));
    return pools;
  }

  #isDue({ stored, status }: KnownNode): boolean {
    const looked = this.#looked.get(stored.node);
    return looked?.run !== status?.run || this.#context.clock.monotonicMs() - (looked?.atMs ?? 0) >= LOOK_MS;
  }

  #noteLook({ stored, status }: KnownNode): void {
    this.#looked.set(stored.node, { run: status?.run ?? '', atMs: this.#context.clock.monotonicMs() });
  }
}

function spaceOf({ storedBytes, deadBytes, freeBytes }: NodeStatus): number {
  return storedBytes + deadBytes + freeBytes;
}

/** Of a node whose disk has so many bytes for blocks. */
export function weightOf(spaceBytes: number): number {
  return Math.max(WEIGHT_MIN, spaceBytes / GIB);
}

/** Whether some node that takes blocks is to have another part of its pool. */
function sharesDiffer(before: readonly StoredNode[], after: readonly StoredNode[]): boolean {
  const sharesOf = (nodes: readonly StoredNode[]) => {
    const weights = racersOf(nodes.filter(({ standing }) => standing === 'in')).map(({ weight }) => weight);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
  };
  const old = sharesOf(before);
  return sharesOf(after).some((share, index) => {
    const change = share / (old[index] as number);
    return Math.max(change, 1 / change) >= CHANGE_MIN;
  });
}

/** How a lost node is made good: who reads, who writes, and how long it takes. */
import { PARTITIONS, type LayoutNode } from '#core/layout.ts';
import { heldBy } from './balance.ts';
import { holdersOf, placesOf } from './cluster.ts';
import { positionsIn, without, type Before } from './changes.ts';

export type Rates = {
  /** What a node's disk reads and writes, and its network carries each way, for repair. */
  readonly diskBytesPerS: number;
  readonly netBytesPerS: number;
  /** What one server carries, through which all copies pass. */
  readonly serverBytesPerS: number;
  /** Before a node that does not answer counts as lost. */
  readonly noticeS: number;
  /** Until somebody brings another node, where the pool has none left to take the copies. */
  readonly replaceS: number;
};

export type Repair = {
  readonly bytes: number;
  /** Nodes that give a copy, and that take one. */
  readonly givers: number;
  readonly takers: number;
  /** From the loss to the last copy: as it is, through the server; and if nodes copied straight to each other. */
  readonly throughServerS: number;
  readonly straightS: number;
  /** What of that goes by before the first copy. */
  readonly beforeS: number;
};

export function repairOf(before: Before, lost: number, blocks: Float64Array, blockBytes: number, rates: Rates): Repair {
  const nodes = without(before.nodes, lost);
  if (before.places.copies > nodes.length) return ontoAnother(before, lost, blocks, blockBytes, rates);
  const places = placesOf(nodes, before.places.copies);
  const oldOf = positionsIn(before.nodes, nodes);
  const count = before.nodes.length;
  const [read, written] = [new Float64Array(count), new Float64Array(count)];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const old = holdersOf(before.places, partition);
    if (!old.includes(lost)) continue;
    const bytes = (blocks[partition] as number) * blockBytes;
    const giver = old.find((node) => node !== lost);
    // The first in the new order that holds it not yet.
    const taker = [...holdersOf(places, partition)]
      .map((node) => oldOf[node] as number)
      .find((node) => !old.includes(node));
    if (giver === undefined || taker === undefined) continue;
    read[giver] = (read[giver] as number) + bytes;
    written[taker] = (written[taker] as number) + bytes;
  }
  const bytes = written.reduce((sum, one) => sum + one, 0);
  const slowest = Math.max(
    ...read.map((one, node) =>
      Math.max(
        (one + (written[node] as number)) / rates.diskBytesPerS,
        Math.max(one, written[node] as number) / rates.netBytesPerS,
      ),
    ),
  );
  const busy = (of: Float64Array) => of.filter((one) => one > 0).length;
  return {
    bytes,
    givers: busy(read),
    takers: busy(written),
    throughServerS: rates.noticeS + bytes / rates.serverBytesPerS,
    straightS: rates.noticeS + slowest,
    beforeS: rates.noticeS,
  };
}

/** As many nodes as copies: a new one takes all that the lost one held. */
function ontoAnother(
  { nodes, places }: Before,
  lost: number,
  blocks: Float64Array,
  blockBytes: number,
  rates: Rates,
): Repair {
  const bytes = (heldBy(nodes.length, places, blocks)[lost] as number) * blockBytes;
  const givers = nodes.length - 1;
  if (givers === 0) return { bytes, givers, takers: 0, throughServerS: 0, straightS: 0, beforeS: 0 };
  return {
    bytes,
    givers,
    takers: 1,
    throughServerS: rates.replaceS + bytes / rates.serverBytesPerS,
    straightS: rates.replaceS + bytes / Math.min(rates.diskBytesPerS, rates.netBytesPerS),
    beforeS: rates.replaceS,
  };
}

/** The node of about average load that a figure is given for. */
export function typicalNode(nodes: readonly LayoutNode[], held: Float64Array): number {
  const mean = held.reduce((sum, one) => sum + one, 0) / nodes.length;
  return held.reduce(
    (best, one, node) => (Math.abs(one - mean) < Math.abs((held[best] as number) - mean) ? node : best),
    0,
  );
}

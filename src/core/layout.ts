/**
 * Which storage nodes keep which blocks of a pool: 4,096 partitions by block-id prefix, and for each an order of nodes by weighted
 * rendezvous (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005): in every partition each node draws an
 * exponential time of its own rate, and the first ones win. A layout is computed once and then stored as a numbered table: what is
 * stored is what counts, on every machine.
 *
 * Table: per partition `width` positions in `nodes`, u16 big-endian each, best first.
 */
import { assert, must } from './assert.ts';
import { utf8 } from './bytes.ts';
import { idBytes, type BlockId, type NodeId } from './ids.ts';
import { Choice } from './layout-choice.ts';
import { raceRates } from './layout-rates.ts';
import { limits } from './limits.ts';
import type { Primitives } from './primitives.ts';

/** Enough that chance does not shape the shares of a few hundred nodes; few enough that a table is small (docs/scale.md). */
export const PARTITIONS = 4096;
/** How many nodes beyond the copies a table names, to take over when one is down. */
const SPARES = 2;

export type LayoutNode = {
  readonly node: NodeId;
  /** Share of the pool's bytes, above 0. */
  readonly weight: number;
  /** What may fail together: a machine, a room. Copies go to different domains first. */
  readonly domain: string;
  /** Within a domain that gives several: to different hosts first. Default: the domain is one. */
  readonly host?: string;
};

export type Layout = {
  readonly number: number;
  readonly nodes: readonly NodeId[];
  readonly width: number;
  readonly table: Uint8Array;
};

/**
 * A change of nodes moves little more than what the new or the lost node holds (docs/scale.md); of few nodes that are alike, exactly that.
 */
export function makeLayout(p: Primitives, number: number, nodes: readonly LayoutNode[], copies: number): Layout {
  assert(nodes.length > 0 && nodes.length <= limits.poolNodesMax, `a pool has 1 to ${limits.poolNodesMax} nodes`);
  assert(copies >= 1, 'a pool keeps at least one copy');
  for (const { weight } of nodes) assert(weight > 0, 'a node without weight is not in a layout');
  const sorted = [...nodes].sort((left, right) => (left.node < right.node ? -1 : 1));
  const width = Math.min(sorted.length, copies + SPARES);
  const rates = raceRates(sorted, copies);
  const draws = sorted.map(({ node }) => drawsOf(p, node));
  const table = new Uint8Array(2 * PARTITIONS * width);
  const view = new DataView(table.buffer);
  const times = new Float64Array(sorted.length);
  const choice = new Choice(sorted, copies, width, PARTITIONS);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    draws.forEach((draw, position) => {
      times[position] = -Math.log(draw(partition)) / must(rates[position], 'one rate each');
    });
    choice.next(times).forEach((position, place) => view.setUint16(2 * (partition * width + place), position));
  }
  return { number, nodes: sorted.map((node) => node.node), width, table };
}

/** Best first; as many as the table names. */
export function nodesFor(layout: Layout, block: BlockId): readonly NodeId[] {
  return positionsOf(layout, partitionOf(block)).map((position) =>
    must(layout.nodes[position], 'a layout names its own nodes'),
  );
}

/** Best first: positions in the layout's nodes. */
export function positionsOf({ table, width }: Pick<Layout, 'table' | 'width'>, partition: number): readonly number[] {
  const view = new DataView(table.buffer, table.byteOffset + 2 * partition * width, 2 * width);
  return Array.from({ length: width }, (_, place) => view.getUint16(2 * place));
}

export function partitionOf(block: BlockId): number {
  return Number.parseInt(block.slice(0, 3), 16);
}

/** Null where the stored table is not one that `makeLayout` could have made. */
export function parseLayout(number: number, nodes: readonly NodeId[], table: Uint8Array): Layout | null {
  const width = table.length / (2 * PARTITIONS);
  if (!Number.isInteger(width) || width < 1 || width > nodes.length) return null;
  if (
    nodes.length > limits.poolNodesMax ||
    nodes.some((node, index) => index > 0 && must(nodes[index - 1], 'before') >= node)
  )
    return null;
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  /** By position: the last partition that named it. */
  const namedBy = new Int32Array(nodes.length).fill(-1);
  for (let at = 0; at < PARTITIONS * width; at++) {
    const position = view.getUint16(2 * at);
    const partition = Math.floor(at / width);
    if (position >= nodes.length || namedBy[position] === partition) return null;
    namedBy[position] = partition;
  }
  return { number, nodes, width, table };
}

const GOLDEN = 0x9e3779b9;

/**
 * A node's draw for each partition, in (0, 1): 32 bits of a hash of node and partition. The node enters by SHA-256, the partition by the
 * finaliser of MurmurHash3, which is some hundred times cheaper: thousands of nodes draw for thousands of partitions.
 */
function drawsOf(p: Primitives, node: NodeId): (partition: number) => number {
  const digest = p.sha256(utf8('holdfast/1 layout '), idBytes(node));
  const view = new DataView(digest.buffer, digest.byteOffset);
  const [first, second] = [view.getUint32(0), view.getUint32(4)];
  return (partition) => (mixed(mixed((first + Math.imul(partition, GOLDEN)) | 0) ^ second) + 0.5) / 2 ** 32;
}

function mixed(word: number): number {
  let bits = word;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

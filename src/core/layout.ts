/**
 * Which storage nodes keep which blocks of a pool: 1,024 partitions by block-id prefix, and for each an order of nodes by weighted
 * rendezvous score (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005). A layout is computed once and then
 * stored as a numbered table: what is stored is what counts, on every machine.
 *
 * Table: per partition `width` positions in `nodes`, one byte each, best first.
 */
import { assert, must } from './assert.ts';
import { utf8 } from './bytes.ts';
import { idBytes, type BlockId, type NodeId } from './ids.ts';
import type { Primitives } from './primitives.ts';

export const PARTITIONS = 1024;
/** How many nodes beyond the copies a table names, to take over when one is down. */
const SPARES = 2;
const NODES_MAX = 255;

export type LayoutNode = {
  readonly node: NodeId;
  /** Share of the pool's bytes, above 0. */
  readonly weight: number;
  /** What may fail together: a machine, a room. Copies go to different domains first. */
  readonly domain: string;
};

export type Layout = {
  readonly number: number;
  readonly nodes: readonly NodeId[];
  readonly width: number;
  readonly table: Uint8Array;
};

/** A change of nodes moves only the partitions that the new or the lost node ranks first for. */
export function makeLayout(p: Primitives, number: number, nodes: readonly LayoutNode[], copies: number): Layout {
  assert(nodes.length > 0 && nodes.length <= NODES_MAX, `a pool has 1 to ${NODES_MAX} nodes`);
  assert(copies >= 1, 'a pool keeps at least one copy');
  const sorted = [...nodes].sort((left, right) => (left.node < right.node ? -1 : 1));
  const width = Math.min(sorted.length, copies + SPARES);
  const table = new Uint8Array(PARTITIONS * width);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const ranked = sorted
      .map((node, position) => ({ position, domain: node.domain, score: scoreOf(p, partition, node) }))
      .sort((left, right) => right.score - left.score || left.position - right.position);
    table.set(spread(ranked, width), partition * width);
  }
  return { number, nodes: sorted.map((node) => node.node), width, table };
}

/** Best first; as many as the table names. */
export function nodesFor(layout: Layout, block: BlockId): readonly NodeId[] {
  const start = partitionOf(block) * layout.width;
  const chosen: NodeId[] = [];
  for (const position of layout.table.subarray(start, start + layout.width))
    chosen.push(must(layout.nodes[position], 'a layout names its own nodes'));
  return chosen;
}

export function partitionOf(block: BlockId): number {
  return Number.parseInt(block.slice(0, 4), 16) >>> 6;
}

/** Null where the stored table is not one that `makeLayout` could have made. */
export function parseLayout(number: number, nodes: readonly NodeId[], table: Uint8Array): Layout | null {
  const width = table.length / PARTITIONS;
  if (!Number.isInteger(width) || width < 1 || width > nodes.length) return null;
  if (table.some((position) => position >= nodes.length)) return null;
  return { number, nodes, width, table };
}

function scoreOf(p: Primitives, partition: number, node: LayoutNode): number {
  assert(node.weight > 0, 'a node without weight is not in a layout');
  const digest = p.sha256(utf8(`holdfast/1 layout ${partition} `), idBytes(node.node));
  let bits = 0;
  for (let index = 0; index < 6; index++) bits = bits * 256 + (digest[index] as number);
  // In (0, 1) and never either end: 48 bits fit a double exactly.
  const uniform = (bits + 0.5) / 2 ** 48;
  return -node.weight / Math.log(uniform);
}

type Ranked = { readonly position: number; readonly domain: string };

/** Round by round one node of each domain, in order of score. */
function spread(ranked: readonly Ranked[], width: number): number[] {
  const chosen: number[] = [];
  let open = [...ranked];
  while (chosen.length < width) {
    const domains = new Set<string>();
    const later: Ranked[] = [];
    for (const node of open) {
      if (domains.has(node.domain) || chosen.length === width) later.push(node);
      else {
        domains.add(node.domain);
        chosen.push(node.position);
      }
    }
    open = later;
  }
  return chosen;
}

/** What moves when nodes change: copies that the new table wants where the old one has none. */
import { must } from '#core/assert.ts';
import { PARTITIONS, type LayoutNode } from '#core/layout.ts';
import { wantedShares } from '#core/layout-shares.ts';
import { heldBy } from './balance.ts';
import { holdersOf, placesOf, type Places } from './cluster.ts';

export type Change = {
  /** Copies of blocks that move. */
  readonly moved: number;
  /** That must move, by these very tables: what the node which changed has more, or less, than before. */
  readonly own: number;
  /** That would have to move if every node held exactly its share, before and after. */
  readonly ideal: number;
};

export type Before = { readonly nodes: readonly LayoutNode[]; readonly places: Places };

/** `changed`: the node that joined, left or got another weight, as it is afterwards or, having left, was before. */
export function changeTo(
  before: Before,
  nodes: readonly LayoutNode[],
  changed: LayoutNode,
  blocks: Float64Array,
): Change {
  const places = placesOf(nodes, before.places.copies);
  const oldOf = positionsIn(before.nodes, nodes);
  let moved = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const old = holdersOf(before.places, partition);
    for (const node of holdersOf(places, partition))
      if (!old.includes(oldOf[node] as number)) moved += blocks[partition] as number;
  }
  const heldOf = (of: readonly LayoutNode[], held: Float64Array) =>
    held[of.findIndex(({ node }) => node === changed.node)] ?? 0;
  const own = Math.abs(
    heldOf(nodes, heldBy(nodes.length, places, blocks)) -
      heldOf(before.nodes, heldBy(before.nodes.length, before.places, blocks)),
  );
  const all = blocks.reduce((sum, count) => sum + count, 0);
  return { moved, own, ideal: all * idealOf(before, nodes, oldOf) };
}

function idealOf(before: Before, nodes: readonly LayoutNode[], oldOf: Int32Array): number {
  const old = wantedShares(before.nodes, before.places.copies);
  const now = wantedShares(nodes, before.places.copies);
  return now.reduce((sum, share, node) => sum + Math.max(0, share - (old[oldOf[node] as number] ?? 0)), 0);
}

/** For each of `nodes` its position in `old`; -1 where it is new. */
export function positionsIn(old: readonly LayoutNode[], nodes: readonly LayoutNode[]): Int32Array {
  const positions = new Map(old.map(({ node }, position) => [node, position]));
  return Int32Array.from(nodes, ({ node }) => positions.get(node) ?? -1);
}

export function without(nodes: readonly LayoutNode[], position: number): readonly LayoutNode[] {
  must(nodes[position], 'it is one of them');
  return nodes.filter((_, other) => other !== position);
}

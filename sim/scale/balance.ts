/** Whether nodes hold what their weights ask for, and copies lie apart. */
import { PARTITIONS, type LayoutNode } from '#core/layout.ts';
import { wantedShares } from '#core/layout-shares.ts';
import { holdersOf, type Places } from './cluster.ts';

export type Balance = {
  /** Of what a node holds over what it should hold: the fullest, and the standard deviation over all nodes. */
  readonly fullest: number;
  readonly spread: number;
  /** The fullest over its plain share by weight: what distinct domains and nodes cost. */
  readonly fullestByWeight: number;
  readonly empty: number;
  /** Share of partitions whose copies lie in as many domains as there can be. */
  readonly apart: number;
  /** Partitions of which every copy is gone with the worst domain. */
  readonly goneWithDomain: number;
};

export function balanceOf(nodes: readonly LayoutNode[], places: Places, blocks: Float64Array): Balance {
  const held = heldBy(nodes.length, places, blocks);
  const all = held.reduce((sum, count) => sum + count, 0);
  const wanted = wantedShares(nodes, places.copies);
  const weight = nodes.reduce((sum, node) => sum + node.weight, 0);
  const over = held.map((count, node) => (count * places.copies) / all / (wanted[node] as number));
  const mean = over.reduce((sum, ratio) => sum + ratio, 0) / over.length;
  const variance = over.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0) / over.length;
  return {
    fullest: Math.max(...over),
    spread: Math.sqrt(variance),
    fullestByWeight: Math.max(
      ...held.map((count, node) => (count / all) * (weight / (nodes[node] as LayoutNode).weight)),
    ),
    empty: held.filter((count) => count === 0).length,
    ...domainsOf(nodes, places),
  };
}

/** Blocks on each node. */
export function heldBy(count: number, places: Places, blocks: Float64Array): Float64Array {
  const held = new Float64Array(count);
  for (let partition = 0; partition < PARTITIONS; partition++)
    for (const node of holdersOf(places, partition))
      held[node] = (held[node] as number) + (blocks[partition] as number);
  return held;
}

function domainsOf(nodes: readonly LayoutNode[], places: Places): Pick<Balance, 'apart' | 'goneWithDomain'> {
  const most = Math.min(places.copies, new Set(nodes.map(({ domain }) => domain)).size);
  let apart = 0;
  const gone = new Map<string, number>();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const domains = new Set([...holdersOf(places, partition)].map((node) => (nodes[node] as LayoutNode).domain));
    if (domains.size === most) apart++;
    const [only] = domains;
    if (domains.size === 1 && only !== undefined) gone.set(only, 1 + (gone.get(only) ?? 0));
  }
  return { apart: apart / PARTITIONS, goneWithDomain: Math.max(0, ...gone.values()) };
}

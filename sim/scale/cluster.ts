/** Clusters as people have them: disks of several sizes, a few to a machine, machines at a few places. And their real layout tables. */
import { must } from '#core/assert.ts';
import { toHex } from '#core/bytes.ts';
import type { NodeId } from '#core/ids.ts';
import { makeLayout, PARTITIONS, positionsOf, type LayoutNode } from '#core/layout.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';

/** What a failure domain is: a machine of one to four nodes; or one of a few sites of unlike size. */
export type DomainKind = 'hosts' | 'sites';

/** Terabytes, say: only their ratios count. */
const WEIGHTS = [1, 2, 2, 4, 4, 8];
const SITES = [
  { from: 100, parts: [0.35, 0.25, 0.2, 0.15, 0.05] },
  { from: 10, parts: [0.5, 0.3, 0.2] },
];

export function makeCluster(random: SimRandom, count: number, kind: DomainKind): readonly LayoutNode[] {
  const domains = kind === 'hosts' ? hostsOf(random, count) : sitesOf(count);
  return domains.map((domain) => ({ node: nodeId(random), weight: random.pick(WEIGHTS), domain }));
}

/** One more for that cluster: on a machine of its own, or at one of the sites. */
export function anotherNode(random: SimRandom, nodes: readonly LayoutNode[], kind: DomainKind): LayoutNode {
  const domain = kind === 'hosts' ? 'another-host' : random.pick(nodes).domain;
  return { node: nodeId(random), weight: random.pick(WEIGHTS), domain };
}

function nodeId(random: SimRandom): NodeId {
  return toHex(random.bytes(16)) as NodeId;
}

function hostsOf(random: SimRandom, count: number): readonly string[] {
  const domains: string[] = [];
  for (let host = 0; domains.length < count; host++) {
    const many = count < 20 ? 1 : random.between(1, 4);
    for (let node = 0; node < many && domains.length < count; node++) domains.push(`host-${host}`);
  }
  return domains;
}

function sitesOf(count: number): readonly string[] {
  const parts = SITES.find(({ from }) => count >= from)?.parts ?? [0.34, 0.33, 0.33];
  const ends = parts.map((_, site) => parts.slice(0, site + 1).reduce((sum, part) => sum + part, 0));
  return Array.from(
    { length: count },
    (_, index) => `site-${ends.findIndex((end) => (index + 0.5) / count <= end + 1e-9)}`,
  );
}

/** Who holds a copy, by partition: `copies` places each, as positions in the list of nodes. */
export type Places = { readonly copies: number; readonly holders: Uint16Array };

/** Real: of the table that a server would store. */
export function placesOf(nodes: readonly LayoutNode[], copiesAsked: number): Places {
  const layout = makeLayout(nodePrimitives, 1, nodes, copiesAsked);
  const copies = Math.min(copiesAsked, nodes.length);
  const positions = new Map(nodes.map(({ node }, position) => [node, position]));
  const ours = layout.nodes.map((node) => must(positions.get(node), 'a layout names the nodes that it was made of'));
  const holders = new Uint16Array(PARTITIONS * copies);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const named = positionsOf(layout, partition).slice(0, copies);
    holders.set(
      named.map((position) => must(ours[position], 'a table names positions')),
      partition * copies,
    );
  }
  return { copies, holders };
}

export function holdersOf({ copies, holders }: Places, partition: number): Uint16Array {
  return holders.subarray(partition * copies, (partition + 1) * copies);
}

/** What each node of a pool should hold, before chance comes in. */
import { must } from './assert.ts';

export type Racer = { readonly weight: number; readonly domain: string };

/**
 * Copies of the average partition that each node should hold: by weight, but no domain more than one (or, with fewer domains than copies,
 * than its turns), and no node more than one; what is cut off goes to the others by weight.
 */
export function wantedShares(nodes: readonly Racer[], copies: number): Float64Array {
  const domains = new Map<string, number[]>();
  nodes.forEach(({ domain }, node) => domains.set(domain, [...(domains.get(domain) ?? []), node]));
  const groups = [...domains.values()];
  const weightOf = (node: number) => must(nodes[node], 'a group has its nodes').weight;
  const turns = Math.floor(copies / groups.length);
  const shares = poured(
    groups.map((group) => ({
      weight: group.reduce((sum, node) => sum + weightOf(node), 0),
      low: Math.min(group.length, turns),
      high: Math.min(group.length, turns + 1),
    })),
    copies,
  );
  const wanted = new Float64Array(nodes.length);
  groups.forEach((group, index) => {
    const own = poured(
      group.map((node) => ({ weight: weightOf(node), low: 0, high: 1 })),
      shares[index] as number,
    );
    group.forEach((node, place) => {
      wanted[node] = own[place] as number;
    });
  });
  return wanted;
}

type Vessel = { readonly weight: number; readonly low: number; readonly high: number };

/** `amount` shared out by weight, each between its bounds. */
function poured(vessels: readonly Vessel[], amount: number): readonly number[] {
  const at = (level: number) => vessels.map(({ weight, low, high }) => Math.min(high, Math.max(low, level * weight)));
  let [low, high] = [0, amount / Math.min(...vessels.map(({ weight }) => weight))];
  for (let step = 0; step < 100; step++) {
    const level = (low + high) / 2;
    if (at(level).reduce((sum, share) => sum + share, 0) < amount) low = level;
    else high = level;
  }
  return at(high);
}

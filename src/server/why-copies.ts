/** What was wrong with the copies of some blocks, and when they were made anew: from the rows, where of each block the last of both stands. */
import type { BlockId, SpaceId } from '#core/ids.ts';
import { allNodes } from '#meta/clusters.ts';
import { faultsAndRepairs } from '#meta/copies.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { COPY_FAULTS, type Story } from '#protocol/why.ts';

type CopiesTold = Pick<NonNullable<Story['placed']>, 'faults' | 'repairs'>;

const GROUPS_MAX = 100;

/** The latest first. Nodes that are gone keep their names. */
export async function whyCopies(
  reader: MetaReader,
  space: SpaceId,
  blocks: readonly BlockId[],
  pool: string,
): Promise<CopiesTold> {
  const rows = await faultsAndRepairs(reader, space, blocks, pool);
  if (rows.length === 0) return { faults: [], repairs: [] };
  const names = new Map((await allNodes(reader)).map(({ number, name }) => [number, name]));
  const nameOf = (node: number): string => names.get(node) ?? `number ${node}`;
  const namesOf = (nodes: readonly number[]): string[] => nodes.map(nameOf).sort();
  const faults = rows.flatMap(({ fault }) => {
    const why = COPY_FAULTS.find((one) => one === fault?.why);
    return fault && why ? [{ node: nameOf(fault.node), why, atMs: fault.atMs }] : [];
  });
  const repairs = rows.flatMap(({ repaired }) =>
    repaired ? [{ from: namesOf(repaired.from), to: namesOf(repaired.to), atMs: repaired.atMs }] : [],
  );
  return { faults: grouped(faults), repairs: grouped(repairs) };
}

/** What differs in its time alone is one, with the latest time. */
function grouped<Told extends { readonly atMs: number }>(all: readonly Told[]): (Told & { blocks: number })[] {
  const groups = new Map<string, Told & { blocks: number }>();
  for (const one of all) {
    const key = JSON.stringify({ ...one, atMs: 0 });
    const group = groups.get(key);
    groups.set(key, { ...one, atMs: Math.max(one.atMs, group?.atMs ?? 0), blocks: 1 + (group?.blocks ?? 0) });
  }
  return [...groups.values()].sort((left, right) => right.atMs - left.atMs).slice(0, GROUPS_MAX);
}

/** A node and an index with one million blocks: made in the shape of a cluster that a server and a node left when they stopped. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KIB, MIB } from '#core/limits.ts';
import { requireIdentity } from '#cli/home.ts';
import { toHex } from '#core/bytes.ts';
import type { DeviceId, SpaceId } from '#core/ids.ts';
import { forgetPeaks, memoryOf } from '../processes.ts';
import { ClusterPlace, pidOf, POOL } from './place.ts';

export const BLOCKS_PER_FILE = 10;
/** One of so many files is garbage. */
export const GARBAGE_EVERY = 20;
export const NODE = 'a';

export type FillPlan = {
  readonly serverData: string;
  readonly nodeData: string;
  readonly pool: string;
  readonly space: SpaceId;
  readonly device: DeviceId;
  /** Hexadecimal. */
  readonly keys: { readonly identity: string; readonly version: number; readonly current: string };
  readonly blocks: number;
};

export type Filled = {
  readonly place: ClusterPlace;
  readonly blocks: number;
  /** Of a node without a block: how long it took to start, and what it then had resident. */
  readonly empty: { readonly seconds: number; readonly bytes: number };
};

export function blockCount(scale: number): number {
  return Math.round(1_000_000 * scale);
}

/** Log, both indexes, and what SQLite and a log without its index need beside them. */
export function filledBytes(scale: number): number {
  return 300 * MIB + blockCount(scale) * 4 * KIB;
}

/** Neither the server nor the node runs when this resolves. */
export async function fill(root: string, scale: number): Promise<Filled> {
  const place = await ClusterPlace.start(root, { copies: 1, nodes: [NODE] });
  const { space, keys } = await place.space();
  await place.nodes.get(NODE)?.stop();
  const begun = performance.now();
  const node = await place.startNode(NODE, 0);
  const empty = { seconds: (performance.now() - begun) / 1000, bytes: memoryOf(pidOf(node)).now };
  await node.stop();
  await place.close();
  await place.server.stop();
  const blocks = blockCount(scale);
  const { version, key } = keys.current;
  const plan: FillPlan = {
    serverData: place.serverData,
    nodeData: place.nodeData(NODE),
    pool: POOL,
    space,
    device: requireIdentity(place.owner.home).device,
    keys: { identity: toHex(keys.identityKey), version, current: toHex(key) },
    blocks,
  };
  const took = performance.now();
  const script = fileURLToPath(new URL('fill.ts', import.meta.url));
  await promisify(execFile)(process.execPath, [script, JSON.stringify(plan)]);
  console.error(`  ${blocks} blocks filled in ${((performance.now() - took) / 1000).toFixed(0)} s`);
  forgetPeaks();
  return { place, blocks, empty };
}

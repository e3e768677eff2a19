/** Who a storage node is: `node.json` in its directory (normative: docs/on-disk-node.md). */
import { z } from 'zod';
import { fromHex, fromUtf8, toHex, utf8, type Bytes } from '#core/bytes.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { ClusterId, NodeId } from '#core/ids.ts';
import { clusterIdOf } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import { clusterId, count, hash, nodeId, poolName } from '#protocol/fields.ts';
import type { Disk } from '#world/disk.ts';

export const IDENTITY_FILE = 'node.json';
const VERSION = 1;

export type NodeIdentity = {
  readonly node: NodeId;
  readonly cluster: ClusterId;
  /** The cluster identity's, 32 bytes. */
  readonly publicKey: Bytes;
  readonly pool: string;
  /** How often the node was started. */
  readonly boot: number;
};

const fileSchema = z.strictObject({
  version: z.literal(VERSION),
  node: nodeId,
  cluster: clusterId,
  publicKey: hash,
  pool: poolName,
  boot: count,
});

/**
 * Makes the directory a storage node's. Again with the same node and cluster: takes the pool that is named now. Throws `wrong_cluster`
 * where the directory is another cluster's, `conflict` where it is another node's of this one; both change nothing.
 */
export async function writeNodeIdentity(
  disk: Disk,
  primitives: Primitives,
  identity: Omit<NodeIdentity, 'boot'>,
): Promise<NodeIdentity> {
  await disk.makeDirectory('');
  const known = await readNodeIdentity(disk, primitives);
  if (known && known.cluster !== identity.cluster) throw wrongCluster();
  if (known && known.node !== identity.node)
    throw new HoldfastError('conflict', 'the directory belongs to another storage node; nothing was changed');
  const written = { ...identity, boot: known?.boot ?? 0 };
  await store(disk, written);
  return written;
}

/** Null where the directory is no storage node's. Throws `newer_version`, or `integrity` where the file is damaged. */
export async function readNodeIdentity(disk: Disk, primitives: Primitives): Promise<NodeIdentity | null> {
  const bytes = await disk.read(IDENTITY_FILE);
  if (!bytes) return null;
  const json = parseJson(bytes);
  const version = typeof json === 'object' && json !== null && 'version' in json ? json.version : null;
  if (typeof version === 'number' && version > VERSION)
    throw new HoldfastError(
      'newer_version',
      `the storage node's directory was written by a newer version (${version}; this program reads ${VERSION}); nothing was changed`,
    );
  const parsed = fileSchema.safeParse(json);
  const publicKey = parsed.success ? fromHex(parsed.data.publicKey) : null;
  if (!parsed.success || !publicKey || clusterIdOf(primitives, publicKey) !== parsed.data.cluster)
    throw new HoldfastError('integrity', `${IDENTITY_FILE} of the storage node is damaged; nothing was changed`);
  const { node, cluster, pool, boot } = parsed.data;
  return { node, cluster, publicKey, pool, boot };
}

/**
 * Counts one more start, durably unless the disk is full. Throws `folder_missing` where the directory is no storage node's: its disk may not be mounted, and
 * an empty directory is no reason to begin anew.
 */
export async function countStart(disk: Disk, primitives: Primitives, cluster: ClusterId | null): Promise<NodeIdentity> {
  const known = await readNodeIdentity(disk, primitives);
  if (!known)
    throw new HoldfastError('folder_missing', 'there is no storage node in this directory: is its disk mounted?');
  if (cluster !== null && known.cluster !== cluster) throw wrongCluster();
  const started = { ...known, boot: known.boot + 1 };
  try {
    await store(disk, started);
  } catch (error) {
    // A full disk is no reason to withhold what lies on it; the next start takes the same number.
    if (!hasCode(error, 'no_space')) throw error;
  }
  return started;
}

async function store(disk: Disk, identity: NodeIdentity): Promise<void> {
  const { node, cluster, publicKey, pool, boot } = identity;
  const file = { version: VERSION, node, cluster, publicKey: toHex(publicKey), pool, boot };
  await disk.replace(IDENTITY_FILE, utf8(`${JSON.stringify(file, null, 2)}\n`));
}

function parseJson(bytes: Bytes): unknown {
  try {
    return JSON.parse(fromUtf8(bytes) ?? '');
  } catch {
    return null;
  }
}

function wrongCluster(): HoldfastError {
  return new HoldfastError('wrong_cluster', 'the directory belongs to another cluster; nothing was changed');
}

/** Storage nodes for tests, in real directories, with a cluster that signs for them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { signDeleteOrder, type DeleteOrder } from '#core/delete-order.ts';
import type { NodeId, Pin } from '#core/ids.ts';
import { clusterIdOf, signKeyList } from '#core/key-list.ts';
import { directPeer } from '#protocol/direct-peer.ts';
import type { Caller, Peer } from '#protocol/wire.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { openDiskBlockStore } from '../blocks/disk/disk-block-store.ts';
import { writeNodeIdentity } from './node-identity.ts';
import { startStorageNode, type StorageNode, type StorageNodeOptions } from './storage-node.ts';

const seed = new Uint8Array(32).fill(7);
export const publicKey = nodePrimitives.ed25519PublicKey(seed);
export const cluster = clusterIdOf(nodePrimitives, publicKey);
export const serverPin = '5'.repeat(64) as Pin;
export const testNode = 'a'.repeat(32) as NodeId;
export const identity = { node: testNode, cluster, publicKey, pool: 'others' };

export function keyList(incarnation: number, seq: number, pins: readonly Pin[] = [serverPin]): Uint8Array {
  return signKeyList(nodePrimitives, seed, { cluster, publicKey, incarnation, seq, ticketKeys: [], pins });
}

export function deleteOrder(order: Partial<DeleteOrder> & Pick<DeleteOrder, 'number' | 'blocks'>): Uint8Array {
  return signDeleteOrder(nodePrimitives, seed, { cluster, node: testNode, incarnation: 2, fence: 1, ...order });
}

const top = mkdtempSync(path.join(tmpdir(), 'holdfast-node-'));
const started: StorageNode[] = [];
after(async () => {
  for (const node of started) await node.close();
  rmSync(top, { recursive: true, force: true });
});

export function newDirectory(): string {
  return mkdtempSync(path.join(top, 'node-'));
}

export function optionsIn(directory: string): StorageNodeOptions {
  const disk = realDisk(directory);
  const log = stderrLog('silent');
  return {
    disk,
    log,
    lock: () => lockDirectory(directory),
    openBlocks: ({ node }): Promise<NodeBlockStore> =>
      openDiskBlockStore({
        disk,
        log,
        node,
        sql: sqliteOpener,
        indexPath: path.join(directory, 'index.db'),
        checksum: realChecksum,
        primitives: nodePrimitives,
      }),
    primitives: nodePrimitives,
    random: realRandom,
    version: '0.0.0-test',
  };
}

export async function startIn(directory: string): Promise<StorageNode> {
  const node = await startStorageNode(optionsIn(directory));
  started.push(node);
  return node;
}

/** In a new directory, knowing its server's key. */
export async function newNode(): Promise<StorageNode> {
  const directory = newDirectory();
  await writeNodeIdentity(realDisk(directory), nodePrimitives, identity);
  const node = await startIn(directory);
  await node.offerKeyList(keyList(1, 1));
  return node;
}

export function peerOf(node: StorageNode, caller: Caller = { kind: 'pinned', pin: serverPin, address: 'here' }): Peer {
  return directPeer(node.handler, caller);
}

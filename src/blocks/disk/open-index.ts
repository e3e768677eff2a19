import { hasCode, HoldfastError } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import type { Disk } from '#world/disk.ts';
import type { Log } from '#world/log.ts';
import type { SqlOpener } from '#world/sql.ts';
import { BlockIndex } from './block-index.ts';

export const INDEX_NAME = 'index.db';
/** Its presence says that the index was found damaged while in use. */
export const REBUILD_MARK = 'index.rebuild';

export type IndexOptions = {
  readonly disk: Disk;
  readonly sql: SqlOpener;
  /** The index by the name that `sql` knows it by. */
  readonly indexPath: string;
  readonly node: NodeId;
  readonly log: Log;
};

/** An index that is damaged, or not this node's, is thrown away: the log holds everything. Then it is empty. */
export async function openIndex({ disk, sql, indexPath, node, log }: IndexOptions): Promise<BlockIndex> {
  if (await disk.read(REBUILD_MARK)) await discard(disk, log);
  const index = attempt(sql, indexPath, node);
  if (index) return index;
  await discard(disk, log);
  const fresh = attempt(sql, indexPath, node);
  if (!fresh) throw new HoldfastError('disk_failed', 'the index of the storage node cannot be made');
  return fresh;
}

function attempt(sql: SqlOpener, indexPath: string, node: NodeId): BlockIndex | null {
  try {
    return BlockIndex.open(sql, indexPath, node);
  } catch (error) {
    if (hasCode(error, 'integrity')) return null;
    throw error;
  }
}

async function discard(disk: Disk, log: Log): Promise<void> {
  log.warn('the index of the storage node cannot be used; it is made anew from the log');
  for (const name of [`${INDEX_NAME}-wal`, `${INDEX_NAME}-shm`, INDEX_NAME, REBUILD_MARK]) {
    try {
      await disk.remove(name);
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
    }
  }
}

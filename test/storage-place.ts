/** A store of blocks in a directory, with segments small enough that tests see many of them. */
import path from 'node:path';
import type { NodeId } from '../src/core/ids.ts';
import { realChecksum } from '../src/world/real/checksum.ts';
import { realDisk } from '../src/world/real/disk.ts';
import { stderrLog } from '../src/world/real/log.ts';
import { nodePrimitives } from '../src/world/real/primitives.ts';
import { sqliteOpener } from '../src/world/real/sql.ts';
import type { DiskBlockStoreOptions } from '../src/blocks/disk/disk-block-store.ts';

export function storeOptions(directory: string): DiskBlockStoreOptions {
  return {
    disk: realDisk(directory),
    sql: sqliteOpener,
    indexPath: path.join(directory, 'index.db'),
    node: 'e'.repeat(32) as NodeId,
    log: stderrLog('silent'),
    checksum: realChecksum,
    primitives: nodePrimitives,
    segmentBytesMax: 1 << 20,
    segmentRecordsMax: 200,
  };
}

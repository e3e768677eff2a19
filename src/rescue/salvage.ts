/** What a rescue is given: directories of storage nodes, of which nothing is believed but what verifies itself. */
import type { NodeLog } from '#blocks/node-log.ts';
import type { NodeId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { Disk } from '#world/disk.ts';
import type { SqlOpener } from '#world/sql.ts';

export type NodeDirectory = {
  /** As the person named it. */
  readonly path: string;
  readonly disk: Disk;
  /** Whose it says it is: believed only where it is asked which nodes were given. */
  readonly node: NodeId | null;
  readonly log: NodeLog;
};

export type RescueTools = {
  readonly primitives: Primitives;
  readonly sql: SqlOpener;
  /** A file of the rescue's own, for as long as it takes. */
  readonly placesPath: string;
  /** An empty index, used by nobody else. Those made before are not needed any more. */
  makeStore(): Promise<MetaStore>;
  readonly signal: AbortSignal;
  /** Bytes of logs that were read since the last call. */
  onProgress(bytes: number): void;
};

/**
 * Brings back what a cluster held from nothing but its storage nodes' directories and the recovery kit: no server, no database,
 * no node's index. Reads those directories and changes nothing in them.
 */
import { must } from '#core/assert.ts';
import type { ClusterId } from '#core/ids.ts';
import type { Keyring } from '#core/keyring.ts';
import type { Manifest } from '#core/manifest.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import type { PooledEntry } from '#meta/entries.ts';
import { allSpaces, type StoredSpace } from '#meta/spaces.ts';
import { findRoots, noRoot, type FoundRoots } from './find-roots.ts';
import { FoundBlocks, type Damage } from './found-blocks.ts';
import { openMetadata, type OpenedMetadata } from './open-metadata.ts';
import type { NodeDirectory, RescueTools } from './salvage.ts';
import { allEntries, checkJournal, FolderPaths, judgeFile, openSpaceKeys, type FileState } from './survey.ts';

export type RescueSummary = {
  readonly cluster: ClusterId;
  /** Of the root that everything below comes from. */
  readonly root: { readonly incarnation: number; readonly seq: number; readonly timeMs: number };
  /** Higher roots that lead nowhere: what was changed after the one that is used is lost from this view. */
  readonly passed: readonly { readonly seq: number; readonly timeMs: number; readonly why: string }[];
  readonly refusedRoots: readonly string[];
  /** Places in logs that cannot be read. That is no loss where another copy was found. */
  readonly damage: readonly Damage[];
  /** What is wrong with spaces as a whole. */
  readonly faults: readonly { readonly space: string; readonly why: string }[];
};

export type RescuedFile = {
  readonly space: StoredSpace;
  /** Names from the space's root on. */
  readonly path: readonly string[];
  readonly entry: PooledEntry;
  readonly state: FileState;
  /** Null where the space's keys do not open. */
  readonly keyring: Keyring | null;
};

export class Rescue {
  readonly tools: RescueTools;
  readonly kit: RecoveryKit;
  readonly blocks: FoundBlocks;
  readonly metadata: OpenedMetadata;
  readonly found: FoundRoots;
  readonly spaces: readonly StoredSpace[];
  readonly summary: RescueSummary;
  #closed = false;

  /** Reads all logs. Throws `integrity` where no root can be opened. */
  static async open(tools: RescueTools, kit: RecoveryKit, directories: readonly NodeDirectory[]): Promise<Rescue> {
    const blocks = await FoundBlocks.scan(tools, directories);
    try {
      const found = await findRoots(tools.primitives, kit, directories, blocks);
      if (found.roots.length === 0) throw noRoot(found.refused);
      const metadata = await openMetadata(tools, kit, found.roots, blocks);
      const spaces = await metadata.meta.read(allSpaces);
      const faults: { space: string; why: string }[] = [];
      for (const space of spaces) {
        const listed = metadata.index.heads.find((head) => head.space === space.space);
        for (const why of await checkJournal(tools.primitives, metadata.meta, space, listed))
          faults.push({ space: space.name, why });
      }
      return new Rescue(tools, kit, blocks, metadata, found, spaces, faults);
    } catch (error) {
      blocks.close();
      throw error;
    }
  }

  private constructor(
    tools: RescueTools,
    kit: RecoveryKit,
    blocks: FoundBlocks,
    metadata: OpenedMetadata,
    found: FoundRoots,
    spaces: readonly StoredSpace[],
    faults: RescueSummary['faults'],
  ) {
    this.tools = tools;
    this.kit = kit;
    this.blocks = blocks;
    this.metadata = metadata;
    this.found = found;
    this.spaces = spaces;
    const { incarnation, seq, timeMs } = metadata.root;
    this.summary = {
      cluster: kit.cluster,
      root: { incarnation, seq, timeMs },
      passed: metadata.passed.map(({ root, why }) => ({ seq: root.seq, timeMs: root.timeMs, why })),
      refusedRoots: found.refused,
      damage: blocks.damage,
      faults,
    };
  }

  /** Every live entry of every space, folders before what lies in no particular order. */
  async *live(): AsyncGenerator<RescuedFile> {
    const { primitives, signal } = this.tools;
    const { meta } = this.metadata;
    const from = { primitives, meta, blocks: this.blocks };
    for (const space of this.spaces) {
      const keys = await meta.read((reader) => openSpaceKeys(primitives, this.kit, reader, space));
      const keyring = 'keyring' in keys ? keys.keyring : null;
      const folders = await FolderPaths.read(meta, space.space);
      for await (const entry of allEntries(meta, space.space)) {
        signal.throwIfAborted();
        const { path, live } = folders.locate(entry);
        if (!live) continue;
        const state: FileState =
          entry.kind === 'file'
            ? await judgeFile(from, space.space, keys, entry)
            : { kind: 'whole', manifest: NO_CHUNKS };
        yield { space, path, entry, state, keyring };
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.blocks.close();
    await this.metadata.meta.close();
  }
}

const NO_CHUNKS: Manifest = { size: 0, chunker: 'one', chunks: [] };

export function keyringOf(file: RescuedFile): Keyring {
  return must(file.keyring, 'a file that is whole has its keys');
}

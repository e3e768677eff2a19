/** The signed root records that this node keeps for a rescue, each a file in `roots/` (normative: docs/on-disk-node.md). */
import type { Bytes } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import { isNewer } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import { newestFirst, rootsToKeep, verifyRoot, type RootRecord } from '#core/root-record.ts';
import type { Disk } from '#world/disk.ts';
import type { Log } from '#world/log.ts';

export const ROOTS_DIRECTORY = 'roots';

/** By (incarnation, seq) in hexadecimal: names in order are roots in order. */
export function rootPath({ incarnation, seq }: Pick<RootRecord, 'incarnation' | 'seq'>): string {
  return `${ROOTS_DIRECTORY}/${incarnation.toString(16).padStart(8, '0')}-${seq.toString(16).padStart(16, '0')}`;
}

export class KeptRoots {
  readonly #disk: Disk;
  readonly #primitives: Primitives;
  readonly #cluster: ClusterId;
  #roots: readonly RootRecord[];
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, primitives: Primitives, cluster: ClusterId, roots: readonly RootRecord[]) {
    this.#disk = disk;
    this.#primitives = primitives;
    this.#cluster = cluster;
    this.#roots = roots;
  }

  /** What does not verify is left where it is, and counts for nothing: a rescue may know what to make of it. */
  static async load(disk: Disk, primitives: Primitives, cluster: ClusterId, log: Log): Promise<KeptRoots> {
    const roots: RootRecord[] = [];
    for (const name of await disk.list(ROOTS_DIRECTORY)) {
      const bytes = name.endsWith('.tmp') ? null : await disk.read(`${ROOTS_DIRECTORY}/${name}`);
      const root = bytes && verifyRoot(primitives, bytes, cluster);
      if (root) roots.push(root);
      else if (bytes) log.warn('a root record of the storage node is damaged', { name });
    }
    return new KeptRoots(disk, primitives, cluster, roots);
  }

  /** Null before the first. */
  get newest(): RootRecord | null {
    return newestFirst(this.#roots)[0] ?? null;
  }

  /**
   * Durably keeps the root where it is newer than all at hand; answers with the newest at hand afterwards. Throws `forbidden` where
   * the cluster did not sign it.
   */
  async offer(bytes: Bytes): Promise<RootRecord> {
    const root = verifyRoot(this.#primitives, bytes, this.#cluster);
    if (!root) throw new HoldfastError('forbidden', 'the root is not signed by the cluster of this storage node');
    const turn = this.#writing.then(() => this.#keep(root, bytes.slice()));
    this.#writing = turn.catch(() => undefined);
    return turn;
  }

  async #keep(root: RootRecord, bytes: Bytes): Promise<RootRecord> {
    const { newest } = this;
    if (newest && !isNewer(root, newest)) return newest;
    await this.#disk.makeDirectory(ROOTS_DIRECTORY);
    await this.#disk.replace(rootPath(root), bytes);
    const all = [...this.#roots, root];
    const kept = rootsToKeep(all);
    // Old ones go only now that the new one is durable.
    this.#roots = all.filter((one) => kept.has(one));
    for (const old of all) if (!kept.has(old)) await this.#disk.remove(rootPath(old));
    return root;
  }
}

/** Collects roots from everywhere they may lie, and tells those that the cluster signed from all else. */
import { must } from '#core/assert.ts';
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { verifyKeyList } from '#core/key-list.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { newestFirst, verifyRoot, type RootRecord } from '#core/root-record.ts';
import { deriveSealKey, openBlock } from '#core/seal.ts';
import type { Primitives } from '#core/primitives.ts';
import type { FoundBlocks } from './found-blocks.ts';
import type { NodeDirectory } from './salvage.ts';

const ROOT_BYTES_MAX = 1024;

export type FoundRoots = {
  /** Highest first. */
  readonly roots: readonly RootRecord[];
  /** Files in `roots/` that the cluster of the kit did not sign, or that are damaged. */
  readonly refused: readonly string[];
  /** The highest incarnation that any directory knows of. */
  readonly incarnation: number;
};

export async function findRoots(
  primitives: Primitives,
  kit: RecoveryKit,
  directories: readonly NodeDirectory[],
  blocks: FoundBlocks,
): Promise<FoundRoots> {
  const found = new Map<string, RootRecord>();
  const refused: string[] = [];
  let incarnation = 0;
  const add = (bytes: Uint8Array): boolean => {
    const root = verifyRoot(primitives, bytes, kit.cluster);
    if (root) found.set(toHex(bytes), root);
    return root !== null;
  };
  for (const { path, disk } of directories) {
    for (const name of await disk.list('roots')) {
      const bytes = await readOrNull(disk.read(`roots/${name}`));
      if (!bytes || !add(bytes)) refused.push(`${path}/roots/${name}`);
    }
    const keyList = await readOrNull(disk.read('key-list'));
    const list = keyList && verifyKeyList(primitives, keyList, kit.cluster);
    if (list) incarnation = Math.max(incarnation, list.incarnation);
  }
  const sealKey = deriveSealKey(primitives, kit.root.key, 'metadata');
  for (const id of blocks.rootCandidates) {
    const bytes = await blocks.read(id);
    const plain = bytes && openBlock(primitives, sealKey, bytes, ROOT_BYTES_MAX);
    if (plain) add(plain);
  }
  const roots = newestFirst([...found.values()]);
  return { roots, refused, incarnation: Math.max(incarnation, ...roots.map((root) => root.incarnation)) };
}

async function readOrNull(work: Promise<Uint8Array | null>): Promise<Uint8Array | null> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof HoldfastError) return null;
    throw error;
  }
}

/** Why nothing can be rescued, where there is no root at all. */
export function noRoot(refused: readonly string[]): HoldfastError {
  return new HoldfastError(
    'integrity',
    refused.length > 0
      ? `no root in these directories was signed by the cluster of this recovery kit (${must(refused[0], 'one at least')}): is it the right kit?`
      : 'there is no root in these directories that this recovery kit opens: is it the right kit? Without a root there are no names and no keys; add directories of other storage nodes',
  );
}

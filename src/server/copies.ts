/**
 * Which copies that were put just now may be relied on. A node may have let go of a block between the put, which found it held, and the
 * transaction that is to name it: the delete order had been decided before. Asked in that very transaction, the rows of garbage tell.
 */
import type { BlockId } from '#core/ids.ts';
import { collectionState } from '#meta/collection.ts';
import type { Presence } from '#meta/contents.ts';
import { addGarbage, copyKey, garbageOfBlocks, type Copy } from '#meta/garbage.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { QUORUM_COPIES } from './block-writer.ts';

/** What to put blocks under: read before the first is put. */
export async function currentFence(reader: MetaReader): Promise<number> {
  return (await collectionState(reader)).fence;
}

type Copies = Pick<Presence, 'block' | 'holders' | 'owed'>;

/** `rows` without the copies that may be gone; `lost`: of these too few are left, and they have to be put again. */
export async function settleCopies<Row extends Copies>(
  writer: MetaWriter,
  rows: readonly Row[],
  { fence, nowMs }: { readonly fence: number; readonly nowMs: number },
): Promise<{ readonly rows: readonly Row[]; readonly lost: readonly BlockId[] }> {
  if (rows.length === 0) return { rows, lost: [] };
  const ids = rows.map(({ block }) => block);
  if (fence < (await collectionState(writer)).forgottenFence) {
    await addGarbage(writer, copiesOf(rows), nowMs);
    return { rows: [], lost: ids };
  }
  const later = (await garbageOfBlocks(writer, ids)).filter((garbage) => garbage.fence > fence);
  const gone = new Set(later.map(copyKey));
  if (gone.size === 0) return { rows, lost: [] };
  const lost: BlockId[] = [];
  const kept = rows.flatMap((row): Row[] => {
    const { block, owed } = row;
    const holders = row.holders.filter((node) => !gone.has(copyKey({ node, block })));
    const wanted = row.holders.length + owed;
    if (holders.length >= Math.min(wanted, QUORUM_COPIES)) return [{ ...row, holders, owed: wanted - holders.length }];
    lost.push(block);
    return [];
  });
  // Perhaps they are there after all: then nothing names them.
  const isLost = new Set(lost);
  const unnamed = copiesOf(rows).filter((copy) => isLost.has(copy.block) || gone.has(copyKey(copy)));
  await addGarbage(writer, unnamed, nowMs);
  return { rows: kept, lost };
}

/** Each once. */
export function copiesOf(rows: readonly Pick<Presence, 'block' | 'holders'>[]): readonly Copy[] {
  const copies = rows.flatMap(({ block, holders }) => holders.map((node) => ({ node, block })));
  return [...new Map(copies.map((copy) => [copyKey(copy), copy])).values()];
}

/**
 * Which copies that were put just now may be relied on. A node may have let go of a block between the put, which found it held, and the
 * transaction that is to name it: the delete order had been decided before. Asked in that very transaction, the rows of garbage tell.
 */
import { QUORUM_COPIES } from '#core/copies.ts';
import type { BlockId } from '#core/ids.ts';
import { collectionState } from '#meta/collection.ts';
import type { Presence } from '#meta/contents.ts';
import { addGarbage, copyKey, garbageOfBlocks, type Copy } from '#meta/garbage.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';

/** What to put blocks under: read before the first is put. */
export async function currentFence(reader: MetaReader): Promise<number> {
  return (await collectionState(reader)).fence;
}

type Copies = Pick<Presence, 'block' | 'holders' | 'owed'>;

type At = { readonly fence: number; readonly nowMs: number };

/** `rows` without the copies that may be gone. Perhaps these are there after all: then nothing names them, and they are judged later. */
export async function withoutGone<Row extends Pick<Presence, 'block' | 'holders'>>(
  writer: MetaWriter,
  rows: readonly Row[],
  { fence, nowMs }: At,
): Promise<readonly Row[]> {
  if (rows.length === 0) return rows;
  const gone = await goneSince(
    writer,
    rows.map(({ block }) => block),
    fence,
  );
  const lost = copiesOf(rows).filter(gone);
  if (lost.length === 0) return rows;
  await addGarbage(writer, lost, nowMs);
  return rows.map((row) => ({ ...row, holders: row.holders.filter((node) => !gone({ node, block: row.block })) }));
}

/** `rows` as they may be written down; `lost`: of these too few copies are left, and they have to be put again. */
export async function settleCopies<Row extends Copies>(
  writer: MetaWriter,
  rows: readonly Row[],
  at: At,
): Promise<{ readonly rows: readonly Row[]; readonly lost: readonly BlockId[] }> {
  const left = await withoutGone(writer, rows, at);
  if (left === rows) return { rows, lost: [] };
  const kept: Row[] = [];
  const lost: Row[] = [];
  left.forEach((row, index) => {
    const before = rows[index] as Row;
    const wanted = before.holders.length + before.owed;
    if (row.holders.length >= Math.min(wanted, QUORUM_COPIES)) kept.push({ ...row, owed: wanted - row.holders.length });
    else lost.push(row);
  });
  await addGarbage(writer, copiesOf(lost), at.nowMs);
  return { rows: kept, lost: lost.map(({ block }) => block) };
}

/**
 * Of blocks that a node says it has, those that it will still have: asked under `fence`, without a put, so that no order under way may concern
 * them, whatever its fence.
 */
export async function stillHeld(
  writer: MetaWriter,
  node: number,
  blocks: readonly BlockId[],
  fence: number,
): Promise<readonly BlockId[]> {
  if (blocks.length === 0) return blocks;
  const gone = await goneSince(writer, blocks, fence);
  const ordered = new Set(
    (await garbageOfBlocks(writer, blocks)).filter(({ state }) => state === 'deleting').map(copyKey),
  );
  return blocks.filter((block) => !gone({ node, block }) && !ordered.has(copyKey({ node, block })));
}

async function goneSince(
  writer: MetaWriter,
  blocks: readonly BlockId[],
  fence: number,
): Promise<(copy: Copy) => boolean> {
  if (fence < (await collectionState(writer)).forgottenFence) return () => true;
  const later = (await garbageOfBlocks(writer, blocks)).filter((garbage) => garbage.fence > fence);
  const gone = new Set(later.map(copyKey));
  return (copy) => gone.has(copyKey(copy));
}

/** Each once. */
export function copiesOf(rows: readonly Pick<Presence, 'block' | 'holders'>[]): readonly Copy[] {
  const copies = rows.flatMap(({ block, holders }) => holders.map((node) => ({ node, block })));
  return [...new Map(copies.map((copy) => [copyKey(copy), copy])).values()];
}

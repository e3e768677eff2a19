/** What the loss of a storage node would cost: from the rows as they are, by the planner that repair uses. Reads everything, changes nothing. */
import { must } from '#core/assert.ts';
import { counting, leastCopies, planRepair, type PoolCopies, type Standing } from '#core/copies.ts';
import type { EntryId, ManifestId, SpaceId } from '#core/ids.ts';
import { makeLayout, nodesFor, type Layout } from '#core/layout.ts';
import { MIB } from '#core/limits.ts';
import { findPresence } from '#meta/contents.ts';
import { walkPresence, type PlacedPresence, type PresenceKey } from '#meta/copies.ts';
import { filesAfter } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { allSpaces } from '#meta/spaces.ts';
import { outlines } from './contents.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';
import { within } from './within-batch.ts';

const ROWS_PER_READ = 1000;
const FILES_PER_READ = 256;
/** Of the files of one read: the list of a file's blocks is as long as the file. One larger file is read alone. */
const FILE_BYTES_PER_READ = 16 * 1024 * MIB;

export type Loss = {
  /** Files that could be read now, and could not be read any more. */
  readonly filesLost: number;
  /** Files that would be left with one copy of some block. */
  readonly filesWithOneCopy: number;
  readonly blocksToCopy: number;
  readonly bytesToCopy: number;
};

export async function lossOf(context: ServerContext, node: KnownNode): Promise<Loss> {
  const { number, pool } = node.stored;
  const now = context.nodes.standing(pool);
  const standing = new Map<number, Standing>([...now.standing, [number, 'lost']]);
  const after: PoolCopies = { copies: now.copies, standing };
  const layout = layoutWithout(context, node, now.copies);
  const copying = await countCopying(context, pool, after, layout, number);
  const files = await countFilesHit(context, pool, number, now, after);
  return { ...copying, ...files };
}

function layoutWithout(context: ServerContext, node: KnownNode, copies: number): Layout | null {
  const { pool } = node.stored;
  const others = context.nodes.members(pool).filter((one) => one !== node && one.stored.standing === 'in');
  if (others.length === 0) return null;
  const members = others.map(({ stored }) => stored);
  return makeLayout(context.primitives, 1 + context.nodes.layoutNumber(pool), members, copies);
}

async function countCopying(
  { meta, nodes }: ServerContext,
  pool: string,
  left: PoolCopies,
  layout: Layout | null,
  lost: number,
): Promise<Pick<Loss, 'blocksToCopy' | 'bytesToCopy'>> {
  const total = { blocksToCopy: 0, bytesToCopy: 0 };
  for (let from: PresenceKey | null = null; ; ) {
    const after: PresenceKey | null = from;
    const rows: readonly PlacedPresence[] = await meta.read((reader) => walkPresence(reader, after, ROWS_PER_READ));
    for (const row of rows) {
      // Only what its loss makes necessary, and what can be copied at all.
      if (row.pool !== pool || !row.holders.includes(lost) || counting(row.holders, left).length === 0) continue;
      const order = layout ? nodesFor(layout, row.block).flatMap((id) => nodes.find(id)?.stored.number ?? []) : [];
      const { needed } = planRepair(row.holders, order, left);
      if (needed > 0) total.blocksToCopy++;
      total.bytesToCopy += needed * row.length;
    }
    if (rows.length < ROWS_PER_READ) return total;
    from = must(rows.at(-1), 'a full page has a last row');
  }
}

async function countFilesHit(
  { meta }: ServerContext,
  pool: string,
  lost: number,
  now: PoolCopies,
  after: PoolCopies,
): Promise<Pick<Loss, 'filesLost' | 'filesWithOneCopy'>> {
  const total = { filesLost: 0, filesWithOneCopy: 0 };
  for (const { space } of await meta.read(allSpaces))
    for (let from: EntryId | null = null; ; ) {
      const behind: EntryId | null = from;
      const { last, files }: FilePage = await meta.read((reader) => pageOfHolders(reader, space, pool, behind));
      for (const blocks of files) {
        if (!blocks.some((holders) => holders.includes(lost))) continue;
        const left = leastCopies(blocks, after);
        if (left === 0 && leastCopies(blocks, now) > 0) total.filesLost++;
        if (left === 1) total.filesWithOneCopy++;
      }
      if (last === null) break;
      from = last;
    }
  return total;
}

/** For each file of the pool, who holds each of its blocks. `last`: where the next page begins; null: this was the last. */
type FilePage = { readonly last: EntryId | null; readonly files: readonly (readonly (readonly number[])[])[] };

async function pageOfHolders(
  reader: MetaReader,
  space: SpaceId,
  pool: string,
  after: EntryId | null,
): Promise<FilePage> {
  const read = await filesAfter(reader, space, after, FILES_PER_READ);
  const page = within(read, ({ content }) => content?.size ?? 0, FILE_BYTES_PER_READ);
  const own = page.filter((file) => file.pool === pool);
  const found = await outlines(
    reader,
    space,
    own.flatMap(({ content }) => content?.manifestId ?? []),
  );
  const ids = [...found.values()].flatMap(({ blocks }) => blocks.map(({ id }) => id));
  const holders = new Map((await findPresence(reader, space, ids, pool)).map((row) => [row.block, row.holders]));
  const files = own.map(({ content }) =>
    (found.get(content?.manifestId as ManifestId)?.blocks ?? []).map(({ id }) => holders.get(id) ?? []),
  );
  const isLast = page.length === read.length && read.length < FILES_PER_READ;
  return { last: isLast ? null : must(page.at(-1), 'a page that is not the last has a row').entry, files };
}

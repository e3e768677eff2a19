/** What the loss of a storage node would cost: from the rows as they are, by the planner that repair uses. Reads everything, changes nothing. */
import { must } from '#core/assert.ts';
import { counting, leastCopies, planRepair, type PoolCopies, type Standing } from '#core/copies.ts';
import type { BlockId, EntryId, ManifestId, SpaceId } from '#core/ids.ts';
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
import { poolsBeside, racersOf } from './standing.ts';
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

/** A pool that lies on the node. `order`: where its blocks would belong, best first. */
type Struck = {
  readonly now: PoolCopies;
  readonly after: PoolCopies;
  order(block: BlockId): readonly number[];
};

export async function lossOf(context: ServerContext, node: KnownNode): Promise<Loss> {
  const { number } = node.stored;
  const struck = new Map<string, Struck>();
  for (const { pool } of await context.meta.read((reader) => poolsBeside(reader, node.stored.pool)))
    struck.set(pool, struckBy(context, node, pool));
  const copying = await countCopying(context, struck, number);
  const files = await countFilesHit(context, struck, number);
  return { ...copying, ...files };
}

function struckBy(context: ServerContext, node: KnownNode, pool: string): Struck {
  const now = context.nodes.standing(pool);
  const standing = new Map<number, Standing>([...now.standing, [node.stored.number, 'lost']]);
  const layout = layoutWithout(context, node, pool, now.copies);
  return {
    now,
    after: { copies: now.copies, standing },
    order: (block) =>
      layout ? nodesFor(layout, block).flatMap((id) => context.nodes.find(id)?.stored.number ?? []) : [],
  };
}

function layoutWithout(context: ServerContext, node: KnownNode, pool: string, copies: number): Layout | null {
  const others = context.nodes.members(pool).filter((one) => one !== node && one.stored.standing === 'in');
  if (others.length === 0) return null;
  const members = others.map(({ stored }) => stored);
  return makeLayout(context.primitives, 1 + context.nodes.layoutNumber(pool), racersOf(members), copies);
}

async function countCopying(
  { meta }: ServerContext,
  struck: ReadonlyMap<string, Struck>,
  lost: number,
): Promise<Pick<Loss, 'blocksToCopy' | 'bytesToCopy'>> {
  const total = { blocksToCopy: 0, bytesToCopy: 0 };
  for (let from: PresenceKey | null = null; ; ) {
    const after: PresenceKey | null = from;
    const rows: readonly PlacedPresence[] = await meta.read((reader) => walkPresence(reader, after, ROWS_PER_READ));
    for (const row of rows) {
      const pool = struck.get(row.pool);
      // Only what its loss makes necessary, and what can be copied at all.
      if (!pool || !row.holders.includes(lost) || counting(row.holders, pool.after).length === 0) continue;
      const { needed } = planRepair(row.holders, pool.order(row.block), pool.after);
      if (needed > 0) total.blocksToCopy++;
      total.bytesToCopy += needed * row.length;
    }
    if (rows.length < ROWS_PER_READ) return total;
    from = must(rows.at(-1), 'a full page has a last row');
  }
}

async function countFilesHit(
  { meta }: ServerContext,
  struck: ReadonlyMap<string, Struck>,
  lost: number,
): Promise<Pick<Loss, 'filesLost' | 'filesWithOneCopy'>> {
  const total = { filesLost: 0, filesWithOneCopy: 0 };
  for (const { space } of await meta.read(allSpaces))
    for (let from: EntryId | null = null; ; ) {
      const behind: EntryId | null = from;
      const { last, files }: FilePage = await meta.read((reader) => pageOfHolders(reader, space, struck, behind));
      for (const { pool, blocks } of files) {
        if (!blocks.some((holders) => holders.includes(lost))) continue;
        const left = leastCopies(blocks, pool.after);
        if (left === 0 && leastCopies(blocks, pool.now) > 0) total.filesLost++;
        if (left === 1) total.filesWithOneCopy++;
      }
      if (last === null) break;
      from = last;
    }
  return total;
}

/** For each file of these pools, who holds each of its blocks. `last`: where the next page begins; null: this was the last. */
type FilePage = {
  readonly last: EntryId | null;
  readonly files: readonly { readonly pool: Struck; readonly blocks: readonly (readonly number[])[] }[];
};

async function pageOfHolders(
  reader: MetaReader,
  space: SpaceId,
  struck: ReadonlyMap<string, Struck>,
  after: EntryId | null,
): Promise<FilePage> {
  const read = await filesAfter(reader, space, after, FILES_PER_READ);
  const page = within(read, ({ content }) => content?.size ?? 0, FILE_BYTES_PER_READ);
  const own = page.filter((file) => file.pool !== null && struck.has(file.pool));
  const found = await outlines(
    reader,
    space,
    own.flatMap(({ content }) => content?.manifestId ?? []),
  );
  const ids = [...found.values()].flatMap(({ blocks }) => blocks.map(({ id }) => id));
  const rows = await findPresence(reader, space, ids);
  const holders = new Map(rows.map((row) => [`${row.block}/${row.pool}`, row.holders]));
  const files = own.map(({ content, pool }) => ({
    pool: must(struck.get(pool as string), 'it was looked for'),
    blocks: (found.get(content?.manifestId as ManifestId)?.blocks ?? []).map(
      ({ id }) => holders.get(`${id}/${pool}`) ?? [],
    ),
  }));
  const isLast = page.length === read.length && read.length < FILES_PER_READ;
  return { last: isLast ? null : must(page.at(-1), 'a page that is not the last has a row').entry, files };
}

/** The dry run of rules: what would move if they were applied, and what would be purged, from the index alone, a page at a time. */
import { CommitTree } from '#core/commit-tree.ts';
import { HoldfastError } from '#core/errors.ts';
import type { EntryId, ManifestId, SpaceId } from '#core/ids.ts';
import type { Rule } from '#core/rules.ts';
import { findPresence } from '#meta/contents.ts';
import { entriesWithAncestors, filesAfter, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { allSpaces, type StoredSpace } from '#meta/spaces.ts';
import { entryId, seq, sizeBytes, spaceId } from '#protocol/fields.ts';
import type { rulesPurge, rulesTry } from '#protocol/cluster.ts';
import { z } from 'zod';
import { outlines } from './contents.ts';
import { pathOf } from './files.ts';
import { HistoryWalk, WALK_START } from './history-walk.ts';
import { Placement } from './placement.ts';
import type { ServerContext } from './server-context.ts';

const FILES_PER_PAGE = 500;
/** Manifests looked at together: some are large. */
const MANIFESTS_AT_ONCE = 64;

type Page = z.infer<typeof rulesTry.response>;
type Move = Page['moves'][number];
type Moving = { readonly file: PooledEntry; readonly from: string; readonly to: string };

export async function tryRules(
  context: ServerContext,
  reader: MetaReader,
  rules: readonly Rule[],
  after: { readonly space: SpaceId; readonly entry: EntryId } | null,
): Promise<Page> {
  const spaces = await allSpaces(reader);
  const from = after ? spaces.findIndex(({ space }) => space === after.space) : 0;
  const space = spaces[from];
  if (!space) return { looked: 0, moves: [], fewer: [], next: null };
  const files = await filesAfter(reader, space.space, after?.entry ?? null, FILES_PER_PAGE);
  const last = files.at(-1);
  const page = await tryFiles(context, reader, space, rules, files);
  if (last && files.length === FILES_PER_PAGE) return { ...page, next: { space: space.space, entry: last.entry } };
  const beyond = spaces[from + 1];
  // Below every entry's id that is made by chance.
  return { ...page, next: beyond ? { space: beyond.space, entry: '0'.repeat(32) as EntryId } : null };
}

async function tryFiles(
  context: ServerContext,
  reader: MetaReader,
  space: StoredSpace,
  rules: readonly Rule[],
  files: readonly PooledEntry[],
): Promise<Omit<Page, 'next'>> {
  const placement = await Placement.of(reader, rules, space, context.clock.nowMs());
  const parents = files.map(({ parent }) => parent);
  const tree = new CommitTree(await entriesWithAncestors(reader, space.space, parents), new Map());
  const moving = files.flatMap((file): Moving[] => {
    const { parent, name, content, revisedMs, pool } = file;
    if (!tree.place(parent).live || pool === null) return [];
    const to = placement.find(tree, { parent, name, size: content?.size ?? 0, revisedMs }).pool;
    return to === pool ? [] : [{ file, from: pool, to }];
  });
  const moves = new Map<string, Move>();
  for (let start = 0; start < moving.length; start += MANIFESTS_AT_ONCE)
    await addMoves(context, reader, space.space, moving.slice(start, start + MANIFESTS_AT_ONCE), moves);
  const fewer = moving.filter(({ from, to }) => context.nodes.copies(to) < context.nodes.copies(from));
  return {
    looked: files.length,
    moves: [...moves.values()],
    fewer: fewer.map(({ file: { parent, name } }) => pathOf(tree, parent, name)),
  };
}

async function addMoves(
  { nodes }: ServerContext,
  reader: MetaReader,
  space: SpaceId,
  moving: readonly Moving[],
  moves: Map<string, Move>,
): Promise<void> {
  const manifests = moving.flatMap(({ file }) => file.content?.manifestId ?? []);
  const found = await outlines(reader, space, manifests);
  const ids = [...found.values()].flatMap(({ blocks }) => blocks.map(({ id }) => id));
  const present = new Set((await findPresence(reader, space, ids)).map(({ block, pool }) => `${block}/${pool}`));
  for (const { file, from, to } of moving) {
    const blocks = found.get(file.content?.manifestId as ManifestId)?.blocks ?? [];
    const unique = [...new Map(blocks.map((block) => [block.id, block])).values()];
    const stored = sum(unique);
    const absent = sum(unique.filter(({ id }) => !present.has(`${id}/${to}`)));
    const key = `${from}/${to}`;
    const before = moves.get(key) ?? {
      from,
      to,
      files: 0,
      bytes: 0,
      storedBytes: 0,
      addedBytes: 0,
      freedBytes: 0,
      copies: { before: nodes.copies(from), after: nodes.copies(to) },
      nodes: nodes.members(to).filter(({ stored }) => stored.standing === 'in').length,
    };
    moves.set(key, {
      ...before,
      files: before.files + 1,
      bytes: before.bytes + (file.content?.size ?? 0),
      storedBytes: before.storedBytes + stored,
      addedBytes: before.addedBytes + absent * before.copies.after,
      freedBytes: before.freedBytes + stored * before.copies.before,
    });
  }
}

function sum(blocks: readonly { readonly storedLength: number }[]): number {
  return blocks.reduce((bytes, { storedLength }) => bytes + storedLength, 0);
}

const walkPlace = z.strictObject({
  space: spaceId,
  seq,
  folder: z
    .strictObject({
      entry: entryId,
      placed: seq,
      open: z.array(z.tuple([entryId, z.string().regex(/^([0-9a-f]{2})*$/)])),
      files: z.number().int().min(0),
      bytes: sizeBytes,
    })
    .nullable(),
});

/** What would be purged. `at`: null, or where the step before said to go on. */
export async function tryPurge(
  reader: MetaReader,
  rules: readonly Rule[],
  at: string | null,
  nowMs: number,
): Promise<z.infer<typeof rulesPurge.response>> {
  const spaces = await allSpaces(reader);
  const begun = at === null ? null : placeIn(at);
  const from = begun ? spaces.findIndex(({ space }) => space === begun.space) : 0;
  const space = spaces[from];
  const found = { revisions: { count: 0, bytes: 0 }, deleted: { count: 0, bytes: 0 } };
  if (!space) return { ...found, next: null };
  const walk = await HistoryWalk.of(reader, space, rules, nowMs);
  const { ended, next } = (await walk?.step(begun ?? WALK_START)) ?? { ended: [], next: null };
  for (const one of ended) {
    const sum = one.kind === 'revision' ? found.revisions : found.deleted;
    sum.count += one.kind === 'revision' ? 1 : one.files;
    sum.bytes += one.bytes;
  }
  const beyond = spaces[from + 1];
  const following = next ? { ...next, space: space.space } : beyond && { ...WALK_START, space: beyond.space };
  return { ...found, next: following ? JSON.stringify(following) : null };
}

function placeIn(at: string): z.infer<typeof walkPlace> {
  try {
    return walkPlace.parse(JSON.parse(at));
  } catch {
    throw new HoldfastError('invalid_field', 'at: it is not what a step before this one answered');
  }
}

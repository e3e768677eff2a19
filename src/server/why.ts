/** The use-case `why`: the story of one entry, from what is recorded. Long journals are read in steps, so that nobody waits behind it. */
import { must } from '#core/assert.ts';
import { fromUtf8 } from '#core/bytes.ts';
import { readConflictName } from '#core/conflict-copies.ts';
import { leastCopies } from '#core/copies.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type BlockId, type DeviceId, type EntryId, type SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { nearestNames } from '#core/nearest.ts';
import { poolOfNodes } from '#core/pool-name.ts';
import { storyOf, type EntryRow } from '#core/story.ts';
import { devicesOf } from '#meta/accounts.ts';
import { findPresence } from '#meta/contents.ts';
import type { PooledEntry } from '#meta/entries.ts';
import { holdsInSpace, heldAmong } from '#meta/holds.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { purgedAmong, purgedRoots } from '#meta/purging.ts';
import { findSpace, journalRowsAt, type StoredSpace } from '#meta/spaces.ts';
import { journalOfEntry, namesBeginning } from '#meta/stories.ts';
import { why, type Story } from '#protocol/why.ts';
import { outlines } from './contents.ts';
import { deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import { findByPath, LastPlaces } from './last-places.ts';
import { Placement } from './placement.ts';
import type { ServerContext } from './server-context.ts';
import { whyCopies } from './why-copies.ts';

const SEQS_PER_STEP = 20_000;
const EVENTS_MAX = 1000;
const NAMES_MAX = 1000;
const NEAREST_MAX = 3;

type Names = ReadonlyMap<DeviceId, string>;

export function whyRoutes(context: ServerContext) {
  return [
    deviceRoute(why, async ({ space, path }, { identity }) => ({
      response: await tell(
        context,
        identity,
        await context.meta.read((reader) => spaceFor(reader, identity, space)),
        path,
      ),
      parts: [],
    })),
  ];
}

async function tell(
  context: ServerContext,
  identity: DeviceIdentity,
  space: StoredSpace,
  path: string,
): Promise<Story> {
  const { meta } = context;
  const found = await findByPath(meta, space, path);
  if (found.entry === null) throw notFound(path, await meta.read((reader) => namesIn(reader, space, found.folder)));
  const rows = await rowsOf(context, space, found.entry);
  return meta.read(async (reader) => {
    const names: Names = new Map((await devicesOf(reader, identity.account)).map(({ device, name }) => [device, name]));
    const places = new LastPlaces(reader, space.space);
    const entry = must(await places.find(found.entry as EntryId), 'entries are never removed');
    const events = await eventsOf(reader, space.space, rows, places, names);
    const deleted = await deletedOf(reader, space, places, entry, names);
    const conflictOf = readConflictName(entry.name);
    const holds = (await holdsInSpace(reader, space.space, { state: 'open' })).map(({ hold }) => hold);
    const held: string[] = [];
    for (const hold of holds) if ((await heldAmong(reader, [hold], [entry.entry])).size > 0) held.push(hold);
    return {
      entry: entry.entry,
      kind: entry.kind,
      path: await places.pathOf(entry.parent, entry.name, entry.trashedFrom),
      deleted,
      placed: deleted?.purged ? null : await placedOf(context, reader, space, places, entry),
      events: events.slice(-EVENTS_MAX),
      more: events.length > EVENTS_MAX,
      conflictOf,
      conflicts: await conflictsOf(reader, space, entry),
      held,
    };
  });
}

async function rowsOf({ meta }: ServerContext, { space }: StoredSpace, entry: EntryId): Promise<readonly EntryRow[]> {
  const rows: EntryRow[] = [];
  const headSeq = (await meta.read((reader) => findSpace(reader, space)))?.headSeq ?? 0;
  for (let from = 0; from <= headSeq; from += SEQS_PER_STEP) {
    const some = await meta.read((reader) =>
      journalOfEntry(reader, space, entry, { from, below: from + SEQS_PER_STEP }),
    );
    for (const { row: bytes } of some) {
      const row = parseRow(bytes);
      if (row.kind === 'entry') rows.push(row);
    }
  }
  return rows;
}

function nameOf(names: Names, device: DeviceId) {
  return { device, name: names.get(device) ?? 'another device' };
}

async function eventsOf(
  reader: MetaReader,
  space: SpaceId,
  rows: readonly EntryRow[],
  places: LastPlaces,
  names: Names,
): Promise<Story['events']> {
  const events: Story['events'] = [];
  const purged = await purgedAmong(
    reader,
    space,
    rows.flatMap(({ seq, entry }) => [seq, entry.revision]),
  );
  const revisionAt = new Map(rows.map(({ seq, entry }) => [seq, entry.revision]));
  for (const { kind, seq, atMs, device, size, parent, name, before } of storyOf(rows))
    events.push({
      kind,
      seq,
      atMs,
      device: nameOf(names, device),
      size,
      path: await places.pathOf(parent, name),
      from: before && (await places.pathOf(before.parent, before.name)),
      kept: !purged.has(seq) && !purged.has(revisionAt.get(seq) ?? seq),
    });
  return events;
}

/** It, or the folder above it that was deleted with all in it. */
async function deletedOf(
  reader: MetaReader,
  { space }: StoredSpace,
  places: LastPlaces,
  entry: PooledEntry,
  names: Names,
): Promise<Story['deleted']> {
  let at: PooledEntry | null = entry;
  while (at && at.parent !== TRASH_ENTRY) at = at.parent === ROOT_ENTRY ? null : await places.find(at.parent);
  if (!at) return null;
  const [bytes] = await journalRowsAt(reader, space, [at.placed]);
  const row = bytes && parseRow(bytes.row);
  return {
    atMs: row?.atMs ?? null,
    device: nameOf(names, at.placedBy),
    with: at.entry === entry.entry ? null : await places.pathOf(at.parent, at.name, at.trashedFrom),
    purged: (await purgedRoots(reader, space, [at])).size > 0,
  };
}

async function placedOf(
  context: ServerContext,
  reader: MetaReader,
  space: StoredSpace,
  places: LastPlaces,
  entry: PooledEntry,
): Promise<Story['placed']> {
  const { content, pool, poolWanted, parent, name, revisedMs, pooled } = entry;
  if (!content || pool === null) return null;
  const placement = await Placement.load(reader, space, context.clock.nowMs());
  await places.load([entry.entry]);
  const from = entry.trashedFrom ?? parent;
  const { rule } = placement.find(places.folders, { parent: from, name, size: content.size, revisedMs });
  const outline = (await outlines(reader, space.space, [content.manifestId])).get(content.manifestId);
  const ids = [...new Set((outline?.blocks ?? []).map(({ id }) => id))];
  const copiesWanted = context.nodes.copies(pool);
  // Each once: pools may lie on the same nodes.
  const held = new Map<number, Set<BlockId>>();
  const here = new Map<BlockId, readonly number[]>(ids.map((id) => [id, []]));
  for (const row of await findPresence(reader, space.space, ids)) {
    for (const holder of row.holders) held.set(holder, (held.get(holder) ?? new Set()).add(row.block));
    if (row.pool === pool) here.set(row.block, row.holders);
  }
  const nodes = [...held].flatMap(([number, blocks]) => {
    const stored = context.nodes.byNumber(number)?.stored;
    return stored ? [{ node: stored.node, name: stored.name, pool: stored.pool, blocks: blocks.size }] : [];
  });
  return {
    size: content.size,
    pool,
    poolWanted: poolWanted ?? pool,
    rule: rule && { ...rule, extensions: [...rule.extensions] },
    moved: pooled,
    blocks: ids.length,
    storedBytes: outline?.storedBytes ?? 0,
    copies: Math.min(copiesWanted, leastCopies(here.values(), context.nodes.standing(pool))),
    copiesWanted,
    nodes: nodes.sort((left, right) =>
      left.pool === right.pool ? right.blocks - left.blocks : left.pool === poolOfNodes(pool) ? -1 : 1,
    ),
    ...(await whyCopies(reader, space.space, ids, pool)),
  };
}

/** Copies that conflicts left beside it, under the names that they were given. */
async function conflictsOf(reader: MetaReader, { space }: StoredSpace, { parent, name, entry }: PooledEntry) {
  const dot = name.lastIndexOf('.');
  const stem = dot > 0 ? name.slice(0, dot) : name;
  const beside = await namesBeginning(reader, space, parent, `${stem} (conflicted copy, `, NAMES_MAX);
  return beside.flatMap((other) => {
    const text = fromUtf8(other.name);
    return text !== null && other.entry !== entry && readConflictName(text)?.of === name ? [text] : [];
  });
}

async function namesIn(reader: MetaReader, { space }: StoredSpace, folder: EntryId): Promise<readonly string[]> {
  const names = await namesBeginning(reader, space, folder, '', NAMES_MAX);
  return names.flatMap(({ name }) => fromUtf8(name) ?? []);
}

function notFound(path: string, names: readonly string[]): HoldfastError {
  const last = path.slice(path.lastIndexOf('/') + 1);
  const nearest = nearestNames(last, names, NEAREST_MAX);
  const hint = nearest.length > 0 ? `; beside it are: ${nearest.join(', ')}` : '';
  return new HoldfastError('not_found', `there never was "${path}", as far as is recorded${hint}`, {
    facts: { nearest },
  });
}

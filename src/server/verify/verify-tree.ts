/** Every entry has its place: a way to the root or into the trash, a name that is its own, and the row of the journal that says so. */
import { equalBytes, utf8 } from '#core/bytes.ts';
import type { Entry } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { idBytes, ROOT_ENTRY, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { limits } from '#core/limits.ts';
import { judgeName } from '#core/name.ts';
import { entriesAt, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { journalRowsAt } from '#meta/spaces.ts';
import { entriesAfter, placesOf, slotsOf } from '#meta/surveying.ts';
import type { Finding } from '#protocol/safety.ts';
import type { VerifyPhase } from './verify.ts';

const ENTRIES_PER_STEP = 500;

export type Way = {
  readonly names: readonly string[];
  readonly end: 'root' | 'trash' | 'nowhere' | 'cycle' | 'no folder';
};

/** `after`: the last entry that was looked at. */
export const verifyTree: VerifyPhase = async ({ meta }, space, after) =>
  meta.read(async (reader) => {
    const entries = await entriesAfter(reader, space, after as EntryId | null, ENTRIES_PER_STEP);
    const ways = await waysOf(reader, space, entries);
    const faults = [
      ...entries.flatMap((entry) => faultOfPlace(entry, ways.get(entry.entry))),
      ...(await faultsOfNames(reader, space, entries)),
      ...(await faultsOfRows(reader, space, entries)),
    ];
    const findings = faults.map(({ entry, message }): Finding => {
      const path = pathText(ways.get(entry.entry));
      return { about: 'tree', space: '', path, code: 'integrity', message, whole: false };
    });
    const last = entries.length === ENTRIES_PER_STEP ? entries.at(-1) : undefined;
    return { findings, checked: { entries: entries.length }, after: last?.entry ?? null };
  });

type Fault = { readonly entry: PooledEntry; readonly message: string };

/** The way of each up to where it ends, level by level. */
export async function waysOf(
  reader: MetaReader,
  space: SpaceId,
  entries: readonly PooledEntry[],
): Promise<ReadonlyMap<EntryId, Way>> {
  const places = new Map<EntryId, { readonly parent: EntryId; readonly name: string; readonly kind: string }>();
  let wanted: readonly EntryId[] = entries.map(({ parent }) => parent);
  for (let level = 0; level <= limits.treeDepthMax + 1; level++) {
    wanted = [...new Set(wanted)].filter((id) => id !== ROOT_ENTRY && id !== TRASH_ENTRY && !places.has(id));
    if (wanted.length === 0) break;
    const found = await placesOf(reader, space, wanted);
    for (const [id, at] of found) places.set(id, at);
    wanted = [...found.values()].map(({ parent }) => parent);
  }
  return new Map(entries.map((entry) => [entry.entry, wayOf(entry, places)]));
}

function wayOf(
  entry: PooledEntry,
  places: ReadonlyMap<EntryId, { readonly parent: EntryId; readonly name: string; readonly kind: string }>,
): Way {
  const names = [entry.name];
  const passed = new Set<EntryId>([entry.entry]);
  for (let at = entry.parent; ; ) {
    if (at === ROOT_ENTRY) return { names, end: 'root' };
    if (at === TRASH_ENTRY) return { names, end: 'trash' };
    const place = places.get(at);
    if (passed.has(at)) return { names, end: 'cycle' };
    if (!place) return { names, end: 'nowhere' };
    if (place.kind !== 'folder') return { names, end: 'no folder' };
    passed.add(at);
    names.unshift(place.name);
    at = place.parent;
  }
}

/** What is in the trash says so. */
export function pathText(way: Way | undefined): string {
  const path = way?.names.join('/') ?? '';
  return way?.end === 'trash' ? `(in the trash)/${path}` : path;
}

function faultOfPlace(entry: PooledEntry, way: Way | undefined): readonly Fault[] {
  const message = {
    root: null,
    trash: null,
    nowhere: 'the folder that it should lie in does not exist',
    cycle: 'it lies within itself',
    'no folder': 'what it should lie in is no folder',
  }[way?.end ?? 'nowhere'];
  if (message !== null) return [{ entry, message }];
  return judgeName(entry.name) === null ? [] : [{ entry, message: 'its name is none' }];
}

async function faultsOfNames(
  reader: MetaReader,
  space: SpaceId,
  entries: readonly PooledEntry[],
): Promise<readonly Fault[]> {
  const ids = entries.map(({ entry }) => entry);
  const slots = await slotsOf(reader, space, ids);
  const live = entries.filter(({ parent }) => parent !== TRASH_ENTRY);
  const found = await entriesAt(
    reader,
    space,
    live.map(({ parent, name }) => ({ parent, name })),
  );
  const there = new Set(found.map(({ entry }) => entry));
  return entries.flatMap((entry): readonly Fault[] => {
    const isTrashed = entry.parent === TRASH_ENTRY;
    const slot = slots.get(entry.entry);
    const expected = isTrashed ? idBytes(entry.entry) : utf8(entry.name);
    if (!slot || !equalBytes(slot, expected)) return [{ entry, message: 'it is not found under its own name' }];
    return isTrashed || there.has(entry.entry) ? [] : [{ entry, message: 'another entry has its name in its folder' }];
  });
}

/** The tree is what the journal made of it. */
async function faultsOfRows(
  reader: MetaReader,
  space: SpaceId,
  entries: readonly PooledEntry[],
): Promise<readonly Fault[]> {
  const seqs = entries.map(({ seq }) => seq);
  const rows = new Map((await journalRowsAt(reader, space, seqs)).map(({ seq, row }) => [seq, row]));
  return entries.flatMap((entry): readonly Fault[] => {
    const row = rows.get(entry.seq);
    if (!row) return [{ entry, message: `the journal has no row ${entry.seq}, which made it what it is` }];
    return saysSo(row, entry) ? [] : [{ entry, message: `row ${entry.seq} of the journal says otherwise` }];
  });
}

function saysSo(bytes: Uint8Array, entry: PooledEntry): boolean {
  try {
    const row = parseRow(bytes);
    return row.kind === 'entry' && factsOf(row.entry) === factsOf(entry);
  } catch (error) {
    if (error instanceof HoldfastError) return false;
    throw error;
  }
}

function factsOf(entry: Entry): string {
  const { parent, name, kind, revision, placed, seq, content, target, exec, trashedFrom } = entry;
  return JSON.stringify([
    entry.entry,
    parent,
    name,
    kind,
    [revision, placed, seq],
    content && [content.contentId, content.manifestId, content.size],
    target,
    exec,
    trashedFrom,
  ]);
}

/** How much lies where, outside generated folders (`core/generated.ts`): the counting behind holds. None of it reads more than it must. */
import { sql, type RawBuilder } from 'kysely';
import { utf8 } from '#core/bytes.ts';
import { generatedNames, generatedPairs } from '#core/generated.ts';
import { limits } from '#core/limits.ts';
import { idBytes, ROOT_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { entryOf, SLOT_MIN, type PooledEntry } from './entries.ts';
import type { MetaReader } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';

/** Folders that are walked into: `child` of `below`. */
function isOpen(): RawBuilder<boolean> {
  const names = sql.join(generatedNames.map((name) => sql`${utf8(name)}`));
  const pairs = generatedPairs.map(
    ([outer, inner]) => sql`(below.name = ${utf8(outer)} and child.name = ${utf8(inner)})`,
  );
  return sql`not (child.kind = 'folder' and (child.name in (${names}) or ${sql.join(pairs, sql` or `)}))`;
}

/** Files and links below a folder, and those of them that were not made lately. */
export async function weighBelow(
  { db }: MetaReader,
  space: SpaceId,
  folder: { readonly entry: EntryId; readonly name: string },
  nowMs: number,
): Promise<{ readonly files: number; readonly old: number }> {
  const spaceBytes = idBytes(space);
  const { rows } = await sql<{ files: number; old: number | null }>`
    with recursive below(entry, name, kind, made_ms) as (
      select entry, name, kind, made_ms from entry where space = ${spaceBytes} and entry = ${idBytes(folder.entry)}
      union all
      select child.entry, child.name, child.kind, child.made_ms from below cross join entry child
      where below.kind = 'folder' and child.space = ${spaceBytes} and child.parent = below.entry and child.slot >= ${SLOT_MIN}
        and ${isOpen()}
    )
    select count(*) as files, sum(case when made_ms <= ${nowMs - limits.holdYoungMs} or made_ms > ${nowMs + limits.holdYoungMs} then 1 else 0 end) as old
    from below where kind <> 'folder'`.execute(db);
  return { files: Number(rows[0]?.files ?? 0), old: Number(rows[0]?.old ?? 0) };
}

/** Live files and links of the space; stops counting at `limit`. */
export async function countPopulation({ db }: MetaReader, space: SpaceId, limit: number): Promise<number> {
  const spaceBytes = idBytes(space);
  const { rows } = await sql<{ files: number }>`
    with recursive below(entry, name, kind) as (
      select child.entry, child.name, child.kind from (select ${new Uint8Array(0)} as name) below cross join entry child
      where child.space = ${spaceBytes} and child.parent = ${idBytes(ROOT_ENTRY)} and child.slot >= ${SLOT_MIN} and ${isOpen()}
      union all
      select child.entry, child.name, child.kind from below cross join entry child
      where below.kind = 'folder' and child.space = ${spaceBytes} and child.parent = below.entry and child.slot >= ${SLOT_MIN}
        and ${isOpen()}
    )
    select count(*) as files from (select 1 from below where kind <> 'folder' limit ${limit}) counted`.execute(db);
  return Number(rows[0]?.files ?? 0);
}

export type NameRange = {
  readonly parent: EntryId;
  /** Names that begin with it, a dot and at least one more byte. */
  readonly stem: string;
};

const RANGES_PER_QUERY = 100;

/** Files made after `sinceMs` whose names begin like that. */
export async function filesNamedLike(
  { db }: MetaReader,
  space: SpaceId,
  ranges: readonly NameRange[],
  sinceMs: number,
): Promise<readonly PooledEntry[]> {
  const found: PooledEntry[] = [];
  for (let start = 0; start < ranges.length; start += RANGES_PER_QUERY) {
    const wanted = ranges.slice(start, start + RANGES_PER_QUERY).map(
      // '/' follows '.', and is in no name.
      ({ parent, stem }) => sql`(${idBytes(parent)}, ${utf8(`${stem}.`)}, ${utf8(`${stem}/`)})`,
    );
    const { rows } = await sql<MetaSchema['entry']>`
      with wanted(parent, low, high) as (values ${sql.join(wanted)})
      select entry.* from wanted cross join entry
      where entry.space = ${idBytes(space)} and entry.parent = wanted.parent
        and entry.slot > wanted.low and entry.slot < wanted.high and entry.kind = 'file' and entry.made_ms > ${sinceMs}`.execute(
      db,
    );
    found.push(...rows.map(entryOf));
  }
  return found;
}

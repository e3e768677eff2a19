/** How much lies where, outside generated folders (`core/generated.ts`): the counting behind holds. None of it reads more than it must. */
import { sql } from 'kysely';
import { must } from '#core/assert.ts';
import { fromUtf8, utf8 } from '#core/bytes.ts';
import { isGenerated } from '#core/generated.ts';
import { limits } from '#core/limits.ts';
import { id16Of, idBytes, ROOT_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { entryOf, SLOT_MIN, type PooledEntry } from './entries.ts';
import type { MetaReader } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { lookupSlices } from './slices.ts';

const FOLDERS_AT_ONCE = 64;

type Folder = { readonly entry: EntryId; readonly name: string };
type Counted = { readonly files: number; readonly old: number };

/** Files and links below a folder, and those of them that were not made lately. */
export function weighBelow(reader: MetaReader, space: SpaceId, folder: Folder, nowMs: number): Promise<Counted> {
  return walk(reader, space, folder, { nowMs, limit: Number.MAX_SAFE_INTEGER });
}

/** Live files and links of the space; stops counting at `limit`. */
export async function countPopulation(reader: MetaReader, space: SpaceId, limit: number): Promise<number> {
  return (await walk(reader, space, { entry: ROOT_ENTRY, name: '' }, { nowMs: 0, limit })).files;
}

/** Some folders at a time, not in one recursive query: that would not stop before it has seen everything. */
async function walk(
  { db }: MetaReader,
  space: SpaceId,
  top: Folder,
  { nowMs, limit }: { readonly nowMs: number; readonly limit: number },
): Promise<Counted> {
  const nameOf = new Map([[top.entry, top.name]]);
  const open = [top.entry];
  let files = 0;
  let old = 0;
  while (open.length > 0 && files < limit) {
    const some = open.splice(-FOLDERS_AT_ONCE);
    const [parents = []] = lookupSlices(some.map(idBytes));
    const below = db
      .selectFrom('entry')
      .where('space', '=', idBytes(space))
      .where('parent', 'in', parents)
      .where('slot', '>=', SLOT_MIN);
    const counted = await db
      .selectFrom(
        below
          .select(['made_ms'])
          .where('kind', '<>', 'folder')
          .limit(limit - files)
          .as('seen'),
      )
      .select((eb) => [
        eb.fn.countAll<number>().as('files'),
        sql<
          number | null
        >`sum(case when made_ms <= ${nowMs - limits.holdYoungMs} or made_ms > ${nowMs + limits.holdYoungMs} then 1 else 0 end)`.as(
          'old',
        ),
      ])
      .executeTakeFirst();
    files += Number(counted?.files ?? 0);
    old += Number(counted?.old ?? 0);
    if (files >= limit) break;
    for (const row of await below.select(['entry', 'parent', 'name']).where('kind', '=', 'folder').execute()) {
      const name = must(fromUtf8(row.name), 'names are stored as UTF-8');
      if (isGenerated(name, nameOf.get(id16Of(row.parent)) ?? '')) continue;
      const entry = id16Of<EntryId>(row.entry);
      nameOf.set(entry, name);
      open.push(entry);
    }
    for (const entry of some) nameOf.delete(entry);
  }
  return { files, old };
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

/**
 * Walks through a journal and tells what of it no rule keeps any more: older revisions, and what lies in the trash. In bounded steps over the index
 * alone; it changes nothing. What it tells is of rows that are old enough, so that everything is met again on a later walk.
 *
 * A revision's time counts from the row that overtook it, that of something deleted from its delete; in days on which the server ran. The rule is the one
 * for the file as it is now, or was when it was deleted. A folder in the trash is kept whole, for as long as the one of its files that is kept longest.
 */
import { must } from '#core/assert.ts';
import { fromHex, toHex } from '#core/bytes.ts';
import { TRASH_ENTRY, type EntryId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import type { EntryRow } from '#core/story.ts';
import type { Rule } from '#core/rules.ts';
import { SLOT_MIN, type PooledEntry } from '#meta/entries.ts';
import { childrenAfter } from '#meta/folder-queues.ts';
import { seqDaysAgo } from '#meta/journal-marks.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { purgedAmong } from '#meta/purging.ts';
import { journalAfter, journalRowsAt, type StoredSpace } from '#meta/spaces.ts';
import { LastPlaces } from './last-places.ts';
import { Placement } from './placement.ts';

const ROWS_PER_STEP = 500;
/** Files and folders of one trashed folder that are looked at in one step. */
const CHILDREN_PER_STEP = 500;

/** How far a walk came: everything up to `seq`, and of the folder whose delete comes next a part. */
export type WalkPlace = { readonly seq: number; readonly folder: FolderPlace | null };
/** `files`, `bytes`: of what was looked through, all of it over. */
type FolderPlace = {
  readonly entry: EntryId;
  readonly placed: number;
  /** Folders that are still to be looked through, and the slot (hexadecimal) after which to go on. */
  readonly open: readonly (readonly [EntryId, string])[];
  readonly files: number;
  readonly bytes: number;
};

export const WALK_START: WalkPlace = { seq: 0, folder: null };

export type Ended =
  | { readonly kind: 'revision'; readonly seq: number; readonly bytes: number }
  /** `entry` lies in the trash itself. */
  | { readonly kind: 'deleted'; readonly entry: PooledEntry; readonly files: number; readonly bytes: number };

export type WalkStep = {
  readonly ended: readonly Ended[];
  /** Null: that was all. */
  readonly next: WalkPlace | null;
};

export class HistoryWalk {
  readonly #reader: MetaReader;
  readonly #space: StoredSpace;
  readonly #placement: Placement;
  readonly #places: LastPlaces;
  /** Through which seq something has to be overtaken or deleted, by the days that it is kept; none where no day lies so far back. */
  readonly #through: ReadonlyMap<number, number>;
  readonly #throughMost: number;

  /** By one state of the index; null where no rule lets anything end yet. */
  static async of(
    reader: MetaReader,
    space: StoredSpace,
    rules: readonly Rule[],
    nowMs: number,
  ): Promise<HistoryWalk | null> {
    const through = new Map<number, number>();
    for (const days of new Set(rules.flatMap(({ historyDays }) => historyDays ?? []))) {
      const seq = await seqDaysAgo(reader, space.space, days);
      if (seq !== null) through.set(days, seq);
    }
    if (through.size === 0) return null;
    return new HistoryWalk(reader, space, await Placement.of(reader, rules, space, nowMs), through);
  }

  private constructor(
    reader: MetaReader,
    space: StoredSpace,
    placement: Placement,
    through: ReadonlyMap<number, number>,
  ) {
    this.#reader = reader;
    this.#space = space;
    this.#placement = placement;
    this.#places = new LastPlaces(reader, space.space);
    this.#through = through;
    this.#throughMost = Math.max(...through.values());
  }

  /** Some hundred rows, and files of folders in the trash. */
  async step(from: WalkPlace): Promise<WalkStep> {
    const ended: Ended[] = [];
    let { seq, folder } = from;
    let left = CHILDREN_PER_STEP;
    const page = await this.#page(seq);
    const rows = page.rows.values();
    for (;;) {
      if (folder) {
        const found = await this.#lookInto(folder, left);
        if (found.kind === 'going on') return { ended, next: { seq, folder: found.folder } };
        if (found.ended) ended.push(found.ended);
        left -= found.looked;
        folder = null;
        if (left <= 0) return { ended, next: { seq, folder } };
      }
      const next = rows.next();
      if (next.done) break;
      seq = next.value.seq;
      const revision = page.overtaken.get(seq);
      if (revision) ended.push(revision);
      const deleted = page.purged.has(seq) ? null : this.#deletedBy(next.value);
      if (deleted?.kind === 'folder') folder = beginningOf(deleted);
      else if (deleted?.content && this.#isOver(this.#daysOf(deleted), seq))
        ended.push({ kind: 'deleted', entry: deleted, files: 1, bytes: deleted.content.size });
    }
    return { ended, next: page.isLast ? null : { seq: page.through, folder: null } };
  }

  async #page(after: number) {
    const { space } = this.#space;
    const stored = await journalAfter(this.#reader, space, after, ROWS_PER_STEP);
    const rows = stored.flatMap(({ seq, row: bytes }): EntryRow[] => {
      const row = parseRow(bytes);
      return seq <= this.#throughMost && row.kind === 'entry' ? [row] : [];
    });
    await this.#places.load(rows.map(({ entry }) => entry.entry));
    const through = stored.at(-1)?.seq ?? after;
    return {
      rows,
      through,
      isLast: stored.length < ROWS_PER_STEP || through >= this.#throughMost,
      overtaken: await this.#overtakenBy(rows),
      purged: await purgedAmong(
        this.#reader,
        space,
        rows.map(({ seq }) => seq),
      ),
    };
  }

  /** By the seq of the row that overtook it: each file's revision that is over and whose bytes are kept still. */
  async #overtakenBy(rows: readonly EntryRow[]): Promise<ReadonlyMap<number, Extract<Ended, { kind: 'revision' }>>> {
    const { space } = this.#space;
    const over = rows.filter(({ seq, base, entry }) => {
      const present = this.#places.known(entry.entry);
      const isUpdate = entry.kind === 'file' && entry.revision === seq && base > 0;
      return isUpdate && present !== null && base < present.revision && this.#isOver(this.#daysOf(present), seq);
    });
    const bases = over.map(({ base }) => base);
    const purged = await purgedAmong(this.#reader, space, bases);
    const before = new Map(
      (await journalRowsAt(this.#reader, space, bases)).map(({ seq, row }) => [seq, parseRow(row)]),
    );
    const found = new Map<number, Extract<Ended, { kind: 'revision' }>>();
    for (const { seq, base, entry } of over) {
      const row = before.get(base);
      if (row?.kind !== 'entry' || row.entry.entry !== entry.entry || row.entry.revision !== base) continue;
      if (!purged.has(base)) found.set(seq, { kind: 'revision', seq: base, bytes: row.entry.content?.size ?? 0 });
    }
    return found;
  }

  /** What the row put into the trash, where it still lies there. */
  #deletedBy({ seq, entry }: EntryRow): PooledEntry | null {
    const present = this.#places.known(entry.entry);
    return present?.parent === TRASH_ENTRY && present.placed === seq ? present : null;
  }

  /** Looks at no more than about `limit` files and folders. */
  async #lookInto(folder: FolderPlace, limit: number) {
    const { space } = this.#space;
    await this.#places.load([folder.entry]);
    const root = this.#places.known(folder.entry);
    // It came back meanwhile.
    if (!root || root.parent !== TRASH_ENTRY || root.placed !== folder.placed)
      return { kind: 'done', ended: null, looked: 1 } as const;
    let { files, bytes } = folder;
    const open = [...folder.open];
    for (let left = limit; ; ) {
      const [at, slot] = open.pop() ?? [];
      if (at === undefined) {
        const ended = files > 0 ? ({ kind: 'deleted', entry: root, files, bytes } as const) : null;
        return { kind: 'done', ended, looked: limit - left + 1 } as const;
      }
      if (left <= 0)
        return {
          kind: 'going on',
          folder: { ...folder, open: [...open, [at, slot ?? ''] as const], files, bytes },
        } as const;
      const after = must(fromHex(slot ?? ''), 'slots are noted in hexadecimal');
      const { children, last } = await childrenAfter(this.#reader, { space, folder: at, after }, left);
      await this.#places.load(children.map(({ entry }) => entry));
      if (last && children.length === left) open.push([at, toHex(last)]);
      left -= children.length + 1;
      for (const child of children) {
        if (child.kind === 'folder') open.push([child.entry, toHex(SLOT_MIN)]);
        if (!child.content) continue;
        if (!this.#isOver(this.#daysOf(child), folder.placed))
          return { kind: 'done', ended: null, looked: limit - left } as const;
        files++;
        bytes += child.content.size;
      }
    }
  }

  /** Null: for ever. */
  #daysOf({ parent, trashedFrom, name, content, revisedMs }: PooledEntry): number | null {
    const file = { parent: trashedFrom ?? parent, name, size: content?.size ?? 0, revisedMs };
    const folders = this.#placement.looksAtPaths ? this.#places.folders : null;
    return this.#placement.find(folders, file).rule?.historyDays ?? null;
  }

  /** What was overtaken or deleted by row `seq`. */
  #isOver(days: number | null, seq: number): boolean {
    return days !== null && seq <= (this.#through.get(days) ?? -1);
  }
}

function beginningOf({ entry, placed }: PooledEntry): FolderPlace {
  return { entry, placed, open: [[entry, toHex(SLOT_MIN)]], files: 0, bytes: 0 };
}

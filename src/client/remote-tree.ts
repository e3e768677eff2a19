/** Journal rows and listings, applied to the remote tree together with the cursor. */
import type { Cursor, Entry, JournalRow } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import { chainNext, parseRow, parseRows } from '#core/journal-row.ts';
import { dirtyAbsentBelow, dirtyUnwanted } from './absent.ts';
import type { Device } from './device.ts';
import { entryValues } from './trees.ts';

/** `relist`: rows alone do not say what a subtree that came back from the trash holds. */
export type Applied = { readonly kind: 'applied'; readonly newKeys: boolean } | { readonly kind: 'relist' };

export class RemoteTree {
  readonly #device: Device;
  #cursor: Cursor | null;

  constructor(device: Device) {
    this.#device = device;
    const kept = device.state.meta('cursor');
    this.#cursor = kept === null ? null : (JSON.parse(kept) as Cursor);
    device.trees.appliedSeq = this.#cursor?.seq ?? 0;
  }

  /** Null before the first listing. */
  get cursor(): Cursor | null {
    return this.#cursor;
  }

  /** False between a listing and the end of the rows that came while it was read: the tree may lack a parent until then. */
  get complete(): boolean {
    return this.#device.state.meta('complete') === '1';
  }

  /** A page of the journal, whole or not at all. Throws `upgrade_required` at rows of a later version, `integrity` at what is no continuation. */
  apply({
    framed,
    count,
    more,
  }: {
    readonly framed: Uint8Array;
    readonly count: number;
    readonly more: boolean;
  }): Applied {
    const { state, primitives } = this.#device;
    const rows = parseRows(framed);
    let cursor = this.#cursor;
    if (cursor === null) throw new HoldfastError('integrity', 'rows of a journal came before its listing');
    if (rows.length !== count) throw new HoldfastError('integrity', 'the journal’s rows are not as many as were told');
    const parsed: JournalRow[] = [];
    for (const bytes of rows) {
      const row = parseRow(bytes);
      if (row.space !== this.#device.space || row.epoch !== cursor.epoch || row.seq !== cursor.seq + 1)
        throw new HoldfastError('integrity', `the journal does not continue at ${cursor.seq}: it says ${row.seq}`);
      parsed.push(row);
      cursor = { epoch: row.epoch, seq: row.seq, chain: chainNext(primitives, cursor.chain, bytes) };
    }
    const to = cursor;
    let newKeys = false;
    const whole = state.transaction(() => {
      for (const row of parsed) {
        if (row.kind === 'key') newKeys = true;
        else if (!this.#applyEntry(row.entry)) return false;
      }
      this.#keepCursor(to);
      if (!more) state.setMeta('complete', '1');
      return true;
    });
    if (!whole) return { kind: 'relist' };
    return { kind: 'applied', newKeys };
  }

  /** Begins a listing at this head: what an interrupted one left is forgotten. */
  beginListing(head: Cursor): void {
    const { state } = this.#device;
    state.transaction(() => {
      state.sql.exec('DELETE FROM listing');
      state.setMeta('listing', JSON.stringify(head));
    });
  }

  addToListing(framed: Uint8Array): { readonly count: number; readonly last: EntryId | null } {
    const { state } = this.#device;
    const put = state.sql.prepare('INSERT OR REPLACE INTO listing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
    const rows = parseRows(framed);
    let last: EntryId | null = null;
    state.transaction(() => {
      for (const bytes of rows) {
        const row = parseRow(bytes);
        if (row.kind !== 'entry' || row.space !== this.#device.space)
          throw new HoldfastError('integrity', 'a listing holds something that is no entry of its space');
        put.run(...entryValues(row.entry), row.epoch);
        last = row.entry.entry;
      }
    });
    return { count: rows.length, last };
  }

  /**
   * The listing becomes the remote tree. `union`: history may have been rewritten, so nothing of what was agreed on before counts, and nothing
   * is deleted on either side; it is called to forget what the local tree has and the disk did not show. Null: the listing holds the trash as well,
   * and what it shows neither there nor live was deleted by nobody: the server has lost it, and gets it again.
   */
  finishListing(union: (() => void) | null): void {
    const { state, trees, log } = this.#device;
    const head = state.meta('listing');
    if (head === null) throw new HoldfastError('integrity', 'a listing ends that was not begun');
    state.transaction(() => {
      const unknown = union ? 0 : this.#forgetUnknown();
      if (unknown > 0) log.warn('the server knows nothing of things that it had; they go up again', { unknown });
      if (!union) this.#dropTrashed();
      const changed = state.sql
        .prepare(
          `SELECT l.entry, l.kind, l.name FROM listing l LEFT JOIN remote r ON r.entry = l.entry WHERE r.entry IS NULL OR r.seq <> l.seq
           UNION ALL SELECT r.entry, r.kind, r.name FROM remote r LEFT JOIN listing l ON l.entry = r.entry WHERE l.entry IS NULL`,
        )
        .all();
      for (const row of changed)
        this.#changed(row['entry'] as EntryId, row['kind'] as Entry['kind'], row['name'] as string);
      dirtyUnwanted(this.#device);
      if (union) {
        union();
        this.#forgetAgreements();
      }
      state.sql.exec(
        `DELETE FROM remote;
         INSERT INTO remote SELECT entry, parent, name, kind, revision, placed, seq, content, manifest, size, target, mtime_us, exec FROM listing;
         DELETE FROM listing`,
      );
      trees.appliedSeq = 0;
      this.#keepCursor(JSON.parse(head) as Cursor);
      state.setMeta('listing', null);
      state.setMeta('complete', null);
    });
    trees.forgetPaths();
  }

  /** How many there were. */
  #forgetUnknown(): number {
    const { state, dirty, trees } = this.#device;
    const unknown = state.sql
      .prepare(
        'SELECT entry, kind FROM synced WHERE NOT EXISTS (SELECT 1 FROM listing WHERE listing.entry = synced.entry)',
      )
      .all();
    for (const row of unknown) {
      trees.dropSynced(row['entry'] as EntryId);
      dirty.add(row['entry'] as EntryId, row['kind'] as Entry['kind']);
    }
    return unknown.length;
  }

  #dropTrashed(): void {
    const { sql } = this.#device.state;
    if (sql.prepare('SELECT 1 FROM listing WHERE parent = ? LIMIT 1').get(TRASH_ENTRY) === undefined) return;
    sql.exec('CREATE INDEX listing_parent ON listing (parent)');
    sql
      .prepare(
        `WITH RECURSIVE trashed(entry) AS (
           SELECT entry FROM listing WHERE parent = ?
           UNION ALL SELECT below.entry FROM trashed JOIN listing below ON below.parent = trashed.entry
         ) DELETE FROM listing WHERE entry IN (SELECT entry FROM trashed)`,
      )
      .run(TRASH_ENTRY);
    sql.exec('DROP INDEX listing_parent');
  }

  /** Everything is looked at again; of what was agreed on only that stays which is no matter of the server's history. */
  #forgetAgreements(): void {
    const { state, dirty } = this.#device;
    for (const table of ['local', 'synced', 'remote', 'listing']) {
      for (const row of state.sql.prepare(`SELECT entry, kind FROM ${table}`).all())
        dirty.add(row['entry'] as EntryId, row['kind'] as Entry['kind']);
    }
    const kept = this.#keepCommonHistory();
    // What a person chose not to have here is no agreement with the server, but with them; while it is still here it is compared anew,
    // since the server may hold less of it now than when it was let go.
    const isLeaving = `presence = 'not_selected' AND EXISTS (SELECT 1 FROM local WHERE local.entry = synced.entry)`;
    state.sql.exec(
      `DELETE FROM synced WHERE (presence NOT IN ('not_selected', 'ignored', 'placeholder') OR (${isLeaving})) AND NOT (${kept})`,
    );
    state.setMeta('reconcile', null);
    this.#device.held.forgetAll();
  }

  /**
   * Where the new epoch was begun from a backup of the one that we know, rows of the old epoch are history that both sides have. What this disk has
   * of an entry descends from them and is no conflict with them: it is newer. Only for what is on the disk: what it lacks comes back. Answers
   * with a condition for the merge bases that hold.
   */
  #keepCommonHistory(): string {
    const { state } = this.#device;
    const former = this.#cursor;
    if (former === null || state.meta('reconcile') !== null) return 'false';
    const sql = state.sql.prepare('SELECT max(seq) AS seq FROM listing WHERE epoch = ?').get(former.epoch);
    const sharedSeq = Number(sql?.['seq'] ?? 0);
    const head = JSON.parse(state.meta('listing') ?? '') as Cursor;
    // A database put back by hand kept its epoch: nobody knows which of its rows are those that we know.
    if (head.epoch === former.epoch || sharedSeq === 0) return 'false';
    const isHere = `presence = 'here' AND EXISTS (SELECT 1 FROM local WHERE local.entry = synced.entry AND local.kind = synced.kind)`;
    const isOld = `revision <= ${sharedSeq} AND placed <= ${sharedSeq}`;
    const present = `SELECT 1 FROM listing l WHERE l.entry = synced.entry AND l.kind = synced.kind`;
    state.sql
      .prepare(
        `UPDATE synced SET (parent, name, content, manifest, size, target, exec, revision, placed) =
           (SELECT parent, name, content, manifest, size, target, exec, revision, placed FROM listing l WHERE l.entry = synced.entry)
         WHERE ${isHere} AND NOT (${isOld}) AND EXISTS (${present} AND l.epoch = ? AND l.seq <= ?)`,
      )
      .run(former.epoch, former.seq);
    return `${isHere} AND ${isOld} AND EXISTS (${present})`;
  }

  #keepCursor(cursor: Cursor): void {
    const { state, trees } = this.#device;
    this.#cursor = cursor;
    // Our own rows are in the tree before they come in the journal.
    trees.appliedSeq = Math.max(trees.appliedSeq, cursor.seq);
    state.setMeta('cursor', JSON.stringify(cursor));
  }

  /** False where rows alone do not suffice. */
  #applyEntry(entry: Entry): boolean {
    const { trees } = this.#device;
    const known = trees.remote(entry.entry);
    if (known && known.seq > entry.seq) return true;
    if (entry.parent === TRASH_ENTRY) {
      if (known) this.#drop(known);
      return true;
    }
    if (!known) {
      const returned = entry.kind === 'folder' && entry.revision !== entry.seq;
      if (returned || (entry.parent !== ROOT_ENTRY && !trees.remote(entry.parent))) return false;
    }
    if (known && isSame(known, entry)) return true;
    trees.putRemote(entry);
    this.#changed(entry.entry, entry.kind, entry.name);
    if (known && known.placed !== entry.placed) dirtyAbsentBelow(this.#device, entry.entry, entry.kind);
    return true;
  }

  /** Rules of what is ignored come before whatever they may speak of. */
  #changed(entry: EntryId, kind: Entry['kind'], name: string): void {
    if (name === IGNORE_FILE) this.#device.dirty.addFirst(entry);
    else this.#device.dirty.add(entry, kind);
  }

  #drop(folder: Entry): void {
    const { trees, dirty } = this.#device;
    if (folder.kind === 'folder') {
      for (const below of Array.from(trees.remoteSubtree(folder.entry))) {
        const kind = trees.remote(below)?.kind ?? 'file';
        trees.dropRemote(below);
        dirty.add(below, kind);
      }
    }
    trees.dropRemote(folder.entry);
    dirty.add(folder.entry, folder.kind);
  }
}

/** Our own commit's row, met again. */
function isSame(left: Entry, right: Entry): boolean {
  return (
    left.seq === right.seq &&
    left.parent === right.parent &&
    left.name === right.name &&
    left.revision === right.revision &&
    left.placed === right.placed &&
    left.exec === right.exec &&
    left.target === right.target &&
    left.mtimeUs === right.mtimeUs &&
    left.content?.manifestId === right.content?.manifestId
  );
}

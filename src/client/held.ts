/**
 * Changes of this disk that the server holds until a person decides. Each is marked in the synced tree (presence `held`), so that it is
 * neither sent again nor undone; which hold it waits for, and what exactly was held, stands in a table of its own. What is done
 * otherwise by now waits no longer.
 */
import type { ContentId, EntryId } from '#core/ids.ts';
import type { Dirty } from './dirty.ts';
import type { Problems } from './problems.ts';
import { subjectOf, type Sent } from './sent.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';

/** `restore`: rejected, and its bytes are on their way to the folder's trash. */
export type HeldKind = 'delete' | 'update' | 'restore';
export type HeldRow = {
  readonly entry: EntryId;
  readonly hold: string;
  readonly kind: HeldKind;
  /** The content that was held. */
  readonly content: ContentId | null;
};

const HOLDS_ASKED_MAX = 100;

export class Held {
  readonly #state: State;
  readonly #trees: Trees;
  readonly #dirty: Dirty;
  readonly #problems: Problems;
  #holds: ReadonlySet<string>;

  constructor(parts: {
    readonly state: State;
    readonly trees: Trees;
    readonly dirty: Dirty;
    readonly problems: Problems;
  }) {
    this.#state = parts.state;
    this.#trees = parts.trees;
    this.#dirty = parts.dirty;
    this.#problems = parts.problems;
    this.#holds = this.#readHolds();
  }

  /** Holds to ask about. */
  get holds(): string[] {
    return [...this.#holds].slice(0, HOLDS_ASKED_MAX);
  }

  /** False where such a thing cannot be held. Call inside a transaction, and `tell` after the last. */
  mark(sent: Sent, hold: string): boolean {
    if (sent.kind !== 'delete' && sent.kind !== 'update') return false;
    const entry = subjectOf(sent);
    const remote = this.#trees.remote(entry);
    if (!remote) return false;
    this.#trees.putSynced(remote, 'held');
    const content = sent.kind === 'update' ? (sent.content?.contentId ?? null) : null;
    this.#state.sql.prepare('INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)').run(entry, hold, sent.kind, content);
    if (sent.kind === 'update' && sent.read && content !== null) this.#rememberBytes(entry, content, sent.read);
    return true;
  }

  /** Says what is held. Call inside a transaction. */
  tell(): void {
    const before = this.#holds;
    this.#holds = this.#readHolds();
    for (const hold of before) if (!this.#holds.has(hold)) this.#problems.clear(subjectFor(hold));
    for (const row of this.#state.sql.prepare('SELECT hold, count(*) AS n FROM held GROUP BY hold').all()) {
      const hold = row['hold'] as string;
      const count = Number(row['n']);
      const what = count === 1 ? 'one change is' : `${count} changes are`;
      this.#problems.set(subjectFor(hold), {
        path: '',
        code: 'held',
        message: `${what} held, since they look like an accident; nothing is lost, and "holdfast holds" shows them to be approved or rejected (${hold})`,
      });
    }
  }

  find(entry: EntryId): HeldRow | null {
    const row = this.#state.sql.prepare('SELECT * FROM held WHERE entry = ?').get(entry);
    return row ? rowOf(row) : null;
  }

  rowsOf(hold: string): HeldRow[] {
    return this.#state.sql.prepare('SELECT * FROM held WHERE hold = ?').all(hold).map(rowOf);
  }

  setKind(entry: EntryId, kind: HeldKind): void {
    this.#state.sql.prepare('UPDATE held SET kind = ? WHERE entry = ?').run(kind, entry);
  }

  drop(entry: EntryId): void {
    this.#state.sql.prepare('DELETE FROM held WHERE entry = ?').run(entry);
  }

  /** Nothing of what was agreed on counts any more. Call inside a transaction. */
  forgetAll(): void {
    this.#state.sql.exec('DELETE FROM held');
    this.tell();
  }

  /**
   * Before these entries are planned: what the disk no longer holds as it was held is planned like anything else, and so is what another
   * changed meanwhile. A file that was made anew where one was deleted is that one, edited.
   */
  reconsider(entries: Iterable<EntryId>, takeId: (found: EntryId, entry: EntryId) => void): void {
    if (this.#holds.size === 0) return;
    let any = false;
    this.#state.transaction(() => {
      for (const entry of entries) any = this.#goesOn(entry) || this.#isMadeAnew(entry, takeId) || any;
      if (any) this.tell();
    });
  }

  #goesOn(entry: EntryId): boolean {
    const row = this.find(entry);
    if (row?.kind !== 'update') return false;
    const local = this.#trees.local(entry);
    const remote = this.#trees.remote(entry);
    const synced = this.#trees.synced(entry);
    const asHeld = local !== null && local.contentId === row.content && remote?.revision === synced?.revision;
    if (asHeld && synced?.presence === 'held') return false;
    this.#release(entry);
    return true;
  }

  #release(entry: EntryId): void {
    this.drop(entry);
    if (this.#trees.synced(entry)?.presence === 'held') this.#trees.setPresence(entry, 'here');
  }

  #isMadeAnew(found: EntryId, takeId: (found: EntryId, entry: EntryId) => void): boolean {
    const local = this.#trees.local(found);
    if (local?.kind !== 'file' || local.parked || this.#trees.synced(found) || this.#trees.remote(found)) return false;
    const remote = this.#trees.remoteAt(local.parent, local.name);
    if (remote?.kind !== 'file' || this.#trees.local(remote.entry)) return false;
    if (this.#trees.synced(remote.entry)?.presence !== 'held') return false;
    takeId(found, remote.entry);
    this.#release(remote.entry);
    return true;
  }

  /**
   * Undone with all below it: it is planned as what this device does not have yet. Of a folder that was made anew and is agreed on again only what was in
   * it waits. Call inside a transaction.
   */
  bringBack(top: HeldRow): void {
    const open = [top.entry];
    for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
      const isTop = entry === top.entry;
      const other = isTop ? null : this.find(entry);
      if (other !== null && other.hold !== top.hold) continue;
      const synced = this.#trees.synced(entry);
      // What lies below it and was not planned yet went with it.
      const went = synced?.presence === 'here' && !isTop && this.#trees.local(entry) === null;
      const waits = synced?.presence === 'held' || went;
      if (waits || isTop) open.push(...this.#trees.syncedChildren(entry));
      if (!synced || !waits) continue;
      this.#trees.dropSynced(entry);
      this.#dirty.add(entry, synced.kind);
    }
    this.drop(top.entry);
  }

  #rememberBytes(entry: EntryId, content: ContentId, read: { readonly stat: string; readonly racy: boolean }): void {
    if (this.#trees.local(entry)?.stat === read.stat) this.#trees.setLocalContent(entry, content, read.racy);
  }

  #readHolds(): ReadonlySet<string> {
    const rows = this.#state.sql.prepare('SELECT DISTINCT hold FROM held').all();
    return new Set(rows.map((row) => row['hold'] as string));
  }
}

function subjectFor(hold: string): string {
  return `hold:${hold}`;
}

function rowOf(row: Readonly<Record<string, unknown>>): HeldRow {
  return {
    entry: row['entry'] as EntryId,
    hold: row['hold'] as string,
    kind: row['kind'] as HeldKind,
    content: row['content'] as ContentId | null,
  };
}

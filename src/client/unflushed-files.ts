/**
 * Files, folders and links that both sides agree on, or are about to, and that people's programs made: nobody has made them durable, so that a
 * power cut may still tear them, take them, or bring back what was there before. What is lost like that was not deleted or edited by anybody, and
 * is fetched again. Written down with its bytes' time, before it is sent; forgotten once the disk was told to keep it.
 */
import type { Entry } from '#core/entry.ts';
import type { ContentId, EntryId } from '#core/ids.ts';
import type { Clock } from '#world/clock.ts';
import type { Folder } from '#world/folder.ts';
import type { SqlStatement } from '#world/sql.ts';
import { failureOfOne } from './device.ts';
import { isOutage } from './line.ts';
import type { ReadFrom, Sent } from './sent.ts';
import { inodeText, mtimeUsOf, parseStat } from './stat-text.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';

/** So long a file that goes on being written to is left alone: telling the disk each time would cost more than it saves. */
const REST_MS = 5000;
const FAILED_REST_MS = 60_000;
const PATHS_PER_LOOK = 500;

/** A state in which an entry may be found on the disk, in the order in which they came. */
export type Unflushed = {
  readonly n: number;
  readonly entry: EntryId;
  readonly content: ContentId | null;
  readonly mtimeUs: number;
  /** Of the very file that had these bytes, or the link that led there, where it is known. */
  readonly stat: string | null;
  /** Of a link. */
  readonly target: string | null;
};

type Missed = { readonly entries: ReadonlySet<EntryId>; readonly unreadable: boolean };

export class UnflushedFiles {
  readonly #state: State;
  readonly #trees: Trees;
  readonly #folder: Folder;
  readonly #clock: Clock;
  readonly #add: SqlStatement;
  readonly #isKnown: SqlStatement;
  readonly #all: SqlStatement;
  readonly #forget: SqlStatement;
  readonly #follow: SqlStatement;
  #dueMs: number | null;

  constructor(state: State, trees: Trees, folder: Folder, clock: Clock) {
    this.#state = state;
    this.#trees = trees;
    this.#folder = folder;
    this.#clock = clock;
    this.#add = state.sql.prepare(
      'INSERT INTO unflushed (entry, content, mtime_us, stat, target) VALUES (?, ?, ?, ?, ?)',
    );
    this.#isKnown = state.sql.prepare('SELECT 1 FROM unflushed WHERE entry = ? LIMIT 1');
    this.#all = state.sql.prepare('SELECT * FROM unflushed ORDER BY n');
    this.#follow = state.sql.prepare('UPDATE unflushed SET entry = ? WHERE entry = ?');
    this.#forget = state.sql.prepare('DELETE FROM unflushed WHERE entry = ? AND n <= ?');
    this.#dueMs = this.rows().length > 0 ? clock.monotonicMs() + REST_MS : null;
  }

  /** What both sides have, as it turned out. Call in the transaction that agrees on it. */
  note(entry: EntryId): void {
    const row = this.#trees.local(entry);
    if (!row) return;
    const { contentId: content, stat, target } = row;
    this.#put({ entry, content, mtimeUs: row.kind === 'file' ? mtimeUsOf(parseStat(stat)) : 0, stat, target });
  }

  /** What was one entry is another from now on. Call in that transaction. */
  follow(from: EntryId, to: EntryId): void {
    this.#follow.run(to, from);
  }

  /** Call in the transaction that writes the commit down. The first time, with what the entry was before: that may come back. */
  noteSent(sent: readonly Sent[]): void {
    for (const one of sent) {
      if (one.kind === 'create' || one.kind === 'copy') this.#putSent(one.entry, one.read);
      else if (one.kind === 'update' && (one.content || one.target !== null)) {
        const before = this.#trees.remote(one.entry);
        if (before && (before.content || before.target !== null) && !this.#isKnown.get(one.entry))
          this.#putSent(before, null, null);
        this.#putSent(one, one.read);
      }
    }
  }

  #putSent(
    sent: Pick<Entry, 'entry' | 'content' | 'target' | 'mtimeUs'>,
    read: ReadFrom | null,
    stat: string | null = read?.stat ?? this.#statOfLink(sent),
  ): void {
    const { entry, content, target, mtimeUs } = sent;
    this.#put({ entry, content: content?.contentId ?? null, mtimeUs, stat, target });
  }

  /** Nothing is read of a link but where it leads. */
  #statOfLink({ entry, target }: Pick<Entry, 'entry' | 'target'>): string | null {
    const row = target === null ? null : this.#trees.local(entry);
    return row?.target === target ? row.stat : null;
  }

  rows(): Unflushed[] {
    return this.#all.all().map((row) => ({
      n: row['n'] as number,
      entry: row['entry'] as EntryId,
      content: row['content'] as ContentId | null,
      mtimeUs: row['mtime_us'] as number,
      stat: row['stat'] as string | null,
      target: row['target'] as string | null,
    }));
  }

  nextDueMs(): number {
    return this.#dueMs ?? Number.POSITIVE_INFINITY;
  }

  /** Makes durable what is due. A disk that fails at it has said nothing: the files stay noted. */
  async flushDue(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#dueMs === null || nowMs < this.#dueMs) return;
    this.#dueMs = null;
    const rows = this.rows();
    const paths = new Map<EntryId, string | null>();
    for (const { entry } of rows) paths.set(entry, this.#trees.localPath(entry));
    let missed: Missed;
    try {
      await this.#folder.flush([...paths.values()].filter((path) => path !== null));
      missed = await this.#missed(paths);
    } catch (error) {
      if (!failureOfOne(error) || isOutage(error)) throw error;
      this.#dueMs = nowMs + FAILED_REST_MS;
      return;
    }
    const last = rows.at(-1)?.n ?? 0;
    this.#state.transaction(() => {
      for (const entry of paths.keys()) if (!missed.entries.has(entry)) this.#forget.run(entry, last);
    });
    if (missed.entries.size > 0) this.#dueMs = nowMs + (missed.unreadable ? FAILED_REST_MS : REST_MS);
  }

  /** What was moved away in the meantime: the disk was told to keep whatever lay there, if anything. */
  async #missed(paths: ReadonlyMap<EntryId, string | null>): Promise<Missed> {
    const entries = new Set<EntryId>();
    let unreadable = false;
    const asked = [...paths].filter((pair): pair is [EntryId, string] => pair[1] !== null);
    for (let at = 0; at < asked.length; at += PATHS_PER_LOOK) {
      const some = asked.slice(at, at + PATHS_PER_LOOK);
      const seen = await this.#folder.look(some.map(([, path]) => path));
      some.forEach(([entry], index) => {
        const found = seen[index] ?? null;
        const inode = found !== null && 'stat' in found ? inodeText(found.stat) : null;
        const local = this.#trees.local(entry);
        if (found !== null && 'kind' in found) unreadable = true;
        if (local !== null && local.inode !== inode) entries.add(entry);
      });
    }
    return { entries, unreadable };
  }

  #put({ entry, content, mtimeUs, stat, target }: Omit<Unflushed, 'n'>): void {
    this.#add.run(entry, content, mtimeUs, stat, target);
    this.#dueMs ??= this.#clock.monotonicMs() + REST_MS;
  }
}

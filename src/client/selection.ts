/**
 * What the person wants on this device (`core/selection.ts`), kept in the state. Another process may write down a choice at any moment (`choose`):
 * it is one small durable transaction, and the client does the rest when it hears of it.
 */
import type { EntryKind } from '#core/entry.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import {
  applyChoices,
  chosenIn,
  deselect,
  isSelected,
  keep,
  select,
  type Choice,
  type ChoiceChange,
} from '#core/selection.ts';
import type { SqlStatement } from '#world/sql.ts';
import type { Dirty } from './dirty.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';

export class Selection {
  readonly #state: State;
  readonly #trees: Trees;
  readonly #dirty: Dirty;
  readonly #version: SqlStatement;
  #seenVersion: unknown = null;
  #choices = new Map<EntryId, Choice>();

  constructor(state: State, trees: Trees, dirty: Dirty) {
    this.#state = state;
    this.#trees = trees;
    this.#dirty = dirty;
    this.#version = state.sql.prepare('PRAGMA data_version');
    this.#choices = readChoices(state);
  }

  isWanted(entry: EntryId): boolean {
    return isSelected(this.#choices, entry, this.#parentOf);
  }

  /** Nobody chose anything: everything is wanted. */
  get isEmpty(): boolean {
    return this.#choices.size === 0;
  }

  /** What another process has chosen since: everything that it concerns becomes dirty. True where there was something. */
  take(): boolean {
    const version = this.#version.get()?.['data_version'];
    if (version === this.#seenVersion) return false;
    const fresh = this.#state.sql.prepare('SELECT entry, wanted FROM choosing ORDER BY n').all();
    if (fresh.length > 0) {
      this.#state.transaction(() => {
        this.#choices = readChoices(this.#state);
        for (const row of fresh) this.#spread(row['entry'] as EntryId, row['wanted'] === 1);
        this.#dirtyChosen();
        this.#state.sql.exec('DELETE FROM choosing');
      });
    }
    this.#seenVersion = version;
    return fresh.length > 0;
  }

  /**
   * For what was made or put here by the person where nothing is selected: it stays. `below`: with all in it. One that was let go before it
   * had reached the server goes all the same: it is dirty then. Call inside a transaction.
   */
  keepMade(entry: EntryId, kind: EntryKind): void {
    if (this.isEmpty || this.isWanted(entry)) return;
    if (this.#choices.has(entry)) this.#dirty.add(entry, kind);
    else this.#put(keep(this.#choices, entry, this.#parentOf, true));
  }

  /** The thing found here is one that was not wanted here: it is now, and what others have in it still is not. Call inside a transaction. */
  keepFound(entry: EntryId): void {
    if (!this.isEmpty) this.#put(keep(this.#choices, entry, this.#parentOf, false));
  }

  #put(changes: readonly ChoiceChange[]): void {
    writeChoices(this.#state, changes);
    applyChoices(this.#choices, changes);
    for (const [entry] of changes) this.#dirty.add(entry, 'folder');
    this.#spreadChosen(changes.flatMap(([entry, choice]) => (choice?.self ? [entry] : [])));
  }

  /**
   * Others may have moved what was chosen into a folder that was not here: it comes back with that. A folder that arrives has all in it looked at; one that
   * was found here has not.
   */
  #spreadChosen(wanted: readonly EntryId[]): void {
    const trees = this.#trees;
    const folders = new Set(wanted.filter((entry) => trees.remote(entry)?.kind === 'folder'));
    for (const chosen of chosenIn(folders, this.#choices, this.#parentOf))
      for (const entry of [chosen, ...trees.remoteSubtree(chosen)])
        if (trees.synced(entry)?.presence === 'not_selected')
          this.#dirty.add(entry, trees.remote(entry)?.kind ?? 'file');
  }

  /** Folders that are wanted for the sake of something that lay in them when it was chosen: others may have taken that away since. */
  #dirtyChosen(): void {
    for (const [entry, { self }] of this.#choices) {
      const absent = self ? this.#trees.synced(entry) : null;
      if (absent?.presence === 'not_selected') this.#dirty.add(entry, absent.kind);
    }
  }

  /** The choice reaches all below. What has yet to go up, and would be kept as made here, is told apart from what is made from now on. */
  #spread(entry: EntryId, wanted: boolean): void {
    const trees = this.#trees;
    this.#dirty.add(entry, trees.remote(entry)?.kind ?? 'file');
    for (const below of trees.remoteSubtree(entry)) this.#dirty.add(below, trees.remote(below)?.kind ?? 'file');
    for (let at = trees.remote(entry)?.parent; at !== undefined && at !== ROOT_ENTRY; at = trees.remote(at)?.parent)
      this.#dirty.add(at, 'folder');
    if (wanted) return;
    const waiting: ChoiceChange[] = [];
    for (const row of trees.localSubtree(entry)) {
      const [there, agreed] = [trees.remote(row.entry), trees.synced(row.entry)];
      if (there?.parent === row.parent && there.name === row.name) continue;
      // Others moved it away, and it has yet to follow: nobody chose about the place where they want it.
      if (there && agreed?.parent === row.parent && agreed.name === row.name) continue;
      waiting.push([row.entry, { self: false, below: false }]);
      this.#dirty.add(row.entry, row.kind);
    }
    this.#put(waiting);
  }

  readonly #parentOf = (entry: EntryId): EntryId | null =>
    this.#trees.remote(entry)?.parent ?? this.#trees.local(entry)?.parent ?? null;
}

/** A person's choice, from whatever process. It is durable when this returns, and nothing was removed before. */
export function choose(state: State, entry: EntryId, wanted: boolean): void {
  const parents = state.sql.prepare('SELECT parent FROM remote WHERE entry = ?');
  const parentOf = (at: EntryId) => (parents.get(at)?.['parent'] ?? null) as EntryId | null;
  state.durably(() => {
    const choices = readChoices(state);
    writeChoices(state, (wanted ? select : deselect)(choices, entry, parentOf));
    state.sql.prepare('INSERT INTO choosing (entry, wanted) VALUES (?, ?)').run(entry, wanted ? 1 : 0);
  });
}

export function readChoices(state: State): Map<EntryId, Choice> {
  const rows = state.sql.prepare('SELECT * FROM selection').all();
  return new Map(
    rows.map((row) => [row['entry'] as EntryId, { self: row['self'] === 1, below: row['below'] === 1 }] as const),
  );
}

function writeChoices(state: State, changes: readonly ChoiceChange[]): void {
  const put = state.sql.prepare('INSERT OR REPLACE INTO selection VALUES (?, ?, ?)');
  const drop = state.sql.prepare('DELETE FROM selection WHERE entry = ?');
  for (const [entry, choice] of changes) {
    if (choice) put.run(entry, choice.self ? 1 : 0, choice.below ? 1 : 0);
    else drop.run(entry);
  }
}

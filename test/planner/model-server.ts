/** A space's journal in memory, with the rules that a commit is judged by. Small and slow on purpose: tests compare the planner against it. */
import assert from 'node:assert/strict';
import type { Entry } from '#core/entry.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type ContentId, type EntryId, type ManifestId } from '#core/ids.ts';
import type { EntryKind } from '#core/entry.ts';

export type ModelState = {
  readonly kind: EntryKind;
  readonly content: string | null;
  readonly target: string | null;
  readonly exec: boolean;
};
export type ModelOperation =
  | {
      readonly kind: 'create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly state: ModelState;
    }
  | { readonly kind: 'update'; readonly entry: EntryId; readonly base: number; readonly state: ModelState }
  | {
      readonly kind: 'move';
      readonly entry: EntryId;
      readonly base: number;
      readonly parent: EntryId;
      readonly name: string;
    }
  | { readonly kind: 'delete'; readonly entry: EntryId; readonly basis: number };
export type ModelRow = { readonly device: string; readonly entry: Entry };

class Refused extends Error {
  static {
    // Refusals are common and nobody reads where they came from.
    Refused.prototype.stack = '';
  }
}

/** What devices see of a server: its journal, and what is said to a group of operations. */
export abstract class ModelJournal {
  entries = new Map<EntryId, Entry>();
  rows: ModelRow[] = [];

  get head(): number {
    return this.rows.length;
  }

  /** Null where it was applied, else why not. A group applies wholly or not at all; names are judged at its end. */
  abstract commit(device: string, group: readonly ModelOperation[]): string | null;

  abstract copy(): ModelJournal;

  isLive(entry: EntryId): boolean {
    for (let at: EntryId = entry; at !== ROOT_ENTRY; ) {
      const row = this.entries.get(at);
      if (!row || row.parent === TRASH_ENTRY) return false;
      at = row.parent;
    }
    return true;
  }

  live(): Entry[] {
    return [...this.entries.values()].filter((entry) => this.isLive(entry.entry));
  }

  children(parent: EntryId): Entry[] {
    return [...this.entries.values()].filter((entry) => entry.parent === parent);
  }

  /** `path -> what is there`, the same text for the same tree. */
  picture(isWanted: (entry: EntryId) => boolean = () => true): Map<string, string> {
    const picture = new Map<string, string>();
    const walk = (parent: EntryId, path: string): void => {
      for (const entry of this.children(parent)) {
        const at = `${path}/${entry.name}`;
        assert.ok(!picture.has(at), `two entries at ${at}`);
        if (!isWanted(entry.entry)) continue;
        picture.set(at, describe(entry.kind, entry.content?.contentId ?? null, entry.target, entry.exec));
        walk(entry.entry, at);
      }
    };
    walk(ROOT_ENTRY, '');
    return picture;
  }
}

/** The rules in their simplest form, written apart from `core/commit.ts`. */
export class ModelServer extends ModelJournal {
  override commit(device: string, group: readonly ModelOperation[]): string | null {
    const entries = new Map(this.entries);
    const { head } = this;
    try {
      for (const operation of group) this.#apply(device, operation);
      this.#checkNames();
      return null;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.entries = entries;
      this.rows.length = head;
      return error.message;
    }
  }

  override copy(): ModelServer {
    const copy = new ModelServer();
    copy.entries = new Map(this.entries);
    copy.rows = [...this.rows];
    return copy;
  }

  #apply(device: string, operation: ModelOperation): void {
    const seq = this.head + 1;
    const now = this.entries.get(operation.entry);
    if (operation.kind === 'create') {
      if (now) throw new Refused('exists');
      this.#checkParent(operation.parent);
      const placed = { parent: operation.parent, name: operation.name, trashedFrom: null };
      this.#write(device, {
        entry: operation.entry,
        ...placed,
        ...stateOf(operation.state),
        revision: seq,
        placed: seq,
        seq,
        mtimeUs: 0,
      });
      return;
    }
    if (!now || !this.isLive(now.entry)) {
      if (operation.kind === 'delete' && now) return;
      throw new Refused('gone');
    }
    if (operation.kind === 'update') {
      if (operation.base !== now.revision) throw new Refused('changed');
      this.#write(device, { ...now, ...stateOf(operation.state), revision: seq, seq });
    } else if (operation.kind === 'move') {
      if (operation.base !== now.placed) throw new Refused('changed');
      this.#checkParent(operation.parent);
      for (let at = operation.parent; at !== ROOT_ENTRY; at = this.entries.get(at)!.parent)
        if (at === now.entry) throw new Refused('cycle');
      this.#write(device, { ...now, parent: operation.parent, name: operation.name, placed: seq, seq });
    } else this.#delete(device, now, operation.basis);
  }

  #delete(device: string, entry: Entry, basis: number): void {
    const spares = (row: Entry) => row.seq > basis;
    const keeps = (row: Entry): boolean => spares(row) || this.children(row.entry).some(keeps);
    const trash = (row: Entry): void => {
      if (!keeps(row)) {
        const seq = this.head + 1;
        this.#write(device, { ...row, parent: TRASH_ENTRY, trashedFrom: row.parent, placed: seq, seq });
      } else if (!(spares(row) && row.placed > basis)) this.children(row.entry).forEach(trash);
    };
    trash(entry);
  }

  #write(device: string, entry: Entry): void {
    this.entries.set(entry.entry, entry);
    this.rows.push({ device, entry });
  }

  #checkParent(parent: EntryId): void {
    if (parent === ROOT_ENTRY) return;
    if (!this.isLive(parent) || this.entries.get(parent)?.kind !== 'folder') throw new Refused('parent_gone');
  }

  #checkNames(): void {
    const seen = new Set<string>();
    for (const entry of this.live()) {
      const key = `${entry.parent}/${entry.name}`;
      if (seen.has(key)) throw new Refused('name_taken');
      seen.add(key);
    }
  }
}

export function describe(kind: EntryKind, content: string | null, target: string | null, exec: boolean): string {
  return kind === 'folder' ? 'folder' : `${kind} ${content ?? target}${exec ? ' exec' : ''}`;
}

function stateOf(state: ModelState) {
  const content =
    state.content === null
      ? null
      : {
          contentId: state.content as ContentId,
          manifestId: state.content as string as ManifestId,
          size: state.content.length,
        };
  return { kind: state.kind, content, target: state.target, exec: state.exec };
}

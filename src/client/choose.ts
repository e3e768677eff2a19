/** What a person chooses to have on a device, from another process than the client's: while that runs or not. */
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import type { SqlOpener } from '#world/sql.ts';
import { choose, readChoices } from './selection.ts';
import { openState, type State } from './state.ts';
import { Trees } from './trees.ts';
import { nameOf } from './path.ts';

/** `none`: neither it nor anything in it is wanted here; `part`: the folder is here, and of what is in it only what was chosen or made here. */
export type NotSelected = { readonly path: string; readonly kind: string; readonly selected: 'none' | 'part' };

/** In the order of their paths. */
export function readNotSelected(sql: SqlOpener, statePath: string): readonly NotSelected[] {
  const state = openState(sql, statePath, { readOnly: true });
  try {
    const trees = new Trees(state);
    const found: NotSelected[] = [];
    for (const [entry, { self, below }] of readChoices(state)) {
      const remote = trees.remote(entry);
      if (!remote || (self && (below || remote.kind !== 'folder'))) continue;
      found.push({ path: remotePath(trees, entry), kind: remote.kind, selected: self ? 'part' : 'none' });
    }
    return found.sort((left, right) => (left.path < right.path ? -1 : 1));
  } finally {
    state.close();
  }
}

/**
 * Chooses what lies at `path` in the space, by what this device has heard of it. Durable when it returns; the disk changes when the client
 * has taken it up. Throws `not_found`.
 */
export function chooseAt(sql: SqlOpener, statePath: string, path: string, wanted: boolean): void {
  // Without them everything that they ignore would go up.
  if (!wanted && nameOf(path) === IGNORE_FILE)
    throw new HoldfastError('invalid_usage', `${IGNORE_FILE} is kept on every device: it says what is ignored there`);
  const state = openState(sql, statePath);
  try {
    choose(state, entryAt(state, path), wanted);
  } finally {
    state.close();
  }
}

function entryAt(state: State, path: string): EntryId {
  const trees = new Trees(state);
  let at: EntryId = ROOT_ENTRY;
  for (const name of path.split('/')) {
    const found = trees.remoteAt(at, name);
    if (!found)
      throw new HoldfastError('not_found', `this device knows of nothing at ${JSON.stringify(path)} in the space`);
    at = found.entry;
  }
  return at;
}

function remotePath(trees: Trees, entry: EntryId): string {
  const names: string[] = [];
  for (let at = entry; at !== ROOT_ENTRY; ) {
    const row = trees.remote(at);
    if (!row) break;
    names.unshift(row.name);
    at = row.parent;
  }
  return names.join('/');
}

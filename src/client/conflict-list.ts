/** The copies that conflicts left in the space, for people: found by their names, so that deleting or renaming one takes it off the list. */
import { readConflictName } from '#core/conflict-copies.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import type { State } from './state.ts';

/** `of`: the path that it is a copy of. `date`: YYYY-MM-DD, by the clock of the device that made it. */
export type Conflict = { readonly path: string; readonly of: string; readonly device: string; readonly date: string };

/** More than these nobody reads; what they hide is told of once some are gone. */
const TOLD_MAX = 1000;
const DEPTH_MAX = 300;

/** In order of their paths. */
export function listConflicts({ sql }: State): Conflict[] {
  const place = sql.prepare('SELECT parent, name FROM remote WHERE entry = ?');
  const pathOf = (parent: string): string => {
    const names: string[] = [];
    for (let at = parent; at !== ROOT_ENTRY && names.length < DEPTH_MAX; ) {
      const row = place.get(at);
      if (!row) break;
      names.unshift(`${row['name'] as string}/`);
      at = row['parent'] as string;
    }
    return names.join('');
  };
  const conflicts: Conflict[] = [];
  for (const row of sql.prepare(`SELECT parent, name FROM remote WHERE name LIKE '% (conflicted copy, %'`).iterate()) {
    const name = row['name'] as string;
    const copy = readConflictName(name);
    if (!copy) continue;
    const folder = pathOf(row['parent'] as string);
    conflicts.push({ path: folder + name, of: folder + copy.of, device: copy.device, date: copy.date });
    if (conflicts.length === TOLD_MAX) break;
  }
  return conflicts.sort((left, right) => (left.path < right.path ? -1 : 1));
}

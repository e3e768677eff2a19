/** How much is about to be deleted, in all that was observed: what a commit says of its whole batch. */
import { isGenerated } from '#core/generated.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';

/** Files and links that are in the space, were here and are not any more, outside generated folders. */
export function going({ state, trees }: Pick<Device, 'state' | 'trees'>): number {
  const rows = state.sql
    .prepare(
      `SELECT r.parent AS parent, count(*) AS n FROM dirty d
       JOIN synced s ON s.entry = d.entry AND s.presence = 'here'
       JOIN remote r ON r.entry = d.entry AND r.kind <> 'folder'
       LEFT JOIN local l ON l.entry = d.entry
       WHERE l.entry IS NULL GROUP BY r.parent`,
    )
    .all();
  const known = new Map<EntryId, boolean>([[ROOT_ENTRY, false]]);
  const isWithinGenerated = (folder: EntryId): boolean => {
    const found = known.get(folder);
    if (found !== undefined) return found;
    const row = trees.remote(folder);
    const within =
      row !== null && (isGenerated(row.name, trees.remote(row.parent)?.name ?? '') || isWithinGenerated(row.parent));
    known.set(folder, within);
    return within;
  };
  let sum = 0;
  for (const row of rows) if (!isWithinGenerated(row['parent'] as EntryId)) sum += Number(row['n']);
  return sum;
}

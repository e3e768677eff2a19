/** What happened to one entry, read from its rows in the journal. */
import type { JournalRow } from './entry.ts';
import { TRASH_ENTRY, type DeviceId, type EntryId } from './ids.ts';

export type EntryRow = Extract<JournalRow, { kind: 'entry' }>;

export type StoryEvent = {
  /** `known`: the oldest row that is kept, where it is not the one that made the entry. */
  readonly kind: 'created' | 'known' | 'changed' | 'renamed' | 'moved' | 'deleted' | 'restored';
  readonly seq: number;
  readonly atMs: number;
  readonly device: DeviceId;
  /** Bytes that a file had from then on. */
  readonly size: number | null;
  /** Place from then on; of what was deleted, the one that it had. */
  readonly parent: EntryId;
  readonly name: string;
  /** The place before, where it is another. */
  readonly before: { readonly parent: EntryId; readonly name: string } | null;
};

/** `rows` in order of seq. Rows that were overtaken may be missing: what lies between two rows is told as one step. */
export function storyOf(rows: readonly EntryRow[]): readonly StoryEvent[] {
  return rows.flatMap((row, index) => eventsOf(row, rows[index - 1] ?? null));
}

function eventsOf(row: EntryRow, previous: EntryRow | null): readonly StoryEvent[] {
  const { entry, seq, atMs, device } = row;
  const place = placeOf(row);
  const common = { seq, atMs, device, size: entry.content?.size ?? null, ...place, before: null };
  const wasTrashed = previous?.entry.parent === TRASH_ENTRY;
  const isTrashed = entry.parent === TRASH_ENTRY;
  if (!previous) {
    const first = { ...common, kind: entry.revision === seq && entry.placed === seq ? 'created' : 'known' } as const;
    return isTrashed ? [{ ...common, kind: 'deleted' }] : [first];
  }
  const events: StoryEvent[] = [];
  if (entry.revision !== previous.entry.revision) events.push({ ...common, kind: 'changed' });
  const old = placeOf(previous);
  const before = old.parent === place.parent && old.name === place.name ? null : old;
  if (isTrashed && !wasTrashed) events.push({ ...common, kind: 'deleted' });
  else if (wasTrashed && !isTrashed) events.push({ ...common, kind: 'restored', before });
  else if (before && !isTrashed)
    events.push({ ...common, kind: old.parent === place.parent ? 'renamed' : 'moved', before });
  return events;
}

function placeOf({ entry }: EntryRow): { readonly parent: EntryId; readonly name: string } {
  return { parent: entry.trashedFrom ?? entry.parent, name: entry.name };
}

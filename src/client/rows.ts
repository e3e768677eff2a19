/** Rows of the state's tables as the trees' types. */
import type { Entry, EntryKind } from '#core/entry.ts';
import type { ContentId, EntryId, ManifestId } from '#core/ids.ts';
import type { Absence, LocalEntry, SyncedEntry } from '#core/plan.ts';
import type { SqlRow } from '#world/sql.ts';

export type LocalRow = LocalEntry & {
  /** `stat-text.ts`. */
  readonly stat: string;
  /** Empty where its disk may have counted anew since it was seen. */
  readonly inode: string;
  /** The bytes behind `contentId` may have changed within the resolution of the stat's times. */
  readonly racy: boolean;
  /** Where it was parked. */
  readonly slot: string | null;
};

export type SyncedRow = SyncedEntry & { readonly manifestId: ManifestId | null; readonly size: number };

export function entryOf(row: SqlRow): Entry {
  const content = row['content'] as ContentId | null;
  return {
    entry: row['entry'] as EntryId,
    parent: row['parent'] as EntryId,
    name: row['name'] as string,
    kind: row['kind'] as EntryKind,
    revision: row['revision'] as number,
    placed: row['placed'] as number,
    seq: row['seq'] as number,
    content:
      content === null
        ? null
        : { contentId: content, manifestId: row['manifest'] as ManifestId, size: row['size'] as number },
    target: row['target'] as string | null,
    mtimeUs: row['mtime_us'] as number,
    exec: row['exec'] === 1,
    trashedFrom: null,
  };
}

export function localOf(row: SqlRow): LocalRow {
  return {
    entry: row['entry'] as EntryId,
    parent: row['parent'] as EntryId,
    name: row['name'] as string,
    alias: row['alias'] as string | null,
    kind: row['kind'] as EntryKind,
    contentId: row['content'] as ContentId | null,
    target: row['target'] as string | null,
    exec: row['exec'] === 1,
    parked: row['slot'] !== null,
    slot: row['slot'] as string | null,
    stat: row['stat'] as string,
    inode: row['inode'] as string,
    racy: row['racy'] === 1,
  };
}

export function syncedOf(row: SqlRow): SyncedRow {
  return {
    entry: row['entry'] as EntryId,
    parent: row['parent'] as EntryId,
    name: row['name'] as string,
    kind: row['kind'] as EntryKind,
    contentId: row['content'] as ContentId | null,
    manifestId: row['manifest'] as ManifestId | null,
    size: row['size'] as number,
    target: row['target'] as string | null,
    exec: row['exec'] === 1,
    revision: row['revision'] as number,
    placed: row['placed'] as number,
    presence: row['presence'] as 'here' | Absence,
  };
}

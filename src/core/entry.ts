/** The states that a space's journal is made of. Byte layout of a row: `journal-row.ts`. */
import type { Chain, ContentId, DeviceId, EntryId, Epoch, ManifestId, SpaceId } from './ids.ts';

export type EntryKind = 'file' | 'folder' | 'symlink' | 'mount';

/** What a file's bytes are, and the manifest that says where. */
export type FileContent = {
  readonly contentId: ContentId;
  readonly manifestId: ManifestId;
  /** Plain bytes. */
  readonly size: number;
};

/** An entry as it is at one point of its space's journal. The whole of it: rows are post-images. */
export type Entry = {
  readonly entry: EntryId;
  /** `TRASH_ENTRY` where it was deleted; what lies below a deleted folder is deleted with it. */
  readonly parent: EntryId;
  /** Unique among the live entries of a parent, byte for byte. */
  readonly name: string;
  readonly kind: EntryKind;
  /** Seq of the commit that made the present content (of a folder: that created it). */
  readonly revision: number;
  /** Seq of the commit that last gave it its parent and name. */
  readonly placed: number;
  /** Seq of the last commit that touched it at all: max(revision, placed). */
  readonly seq: number;
  /** Files only. */
  readonly content: FileContent | null;
  /** Symlinks only: the link's text, never followed. */
  readonly target: string | null;
  /** Files only: microseconds since 1970 as the device saw them. For display and for the copy's own time, never for decisions. */
  readonly mtimeUs: number;
  /** Files only: the owner's execute bit. */
  readonly exec: boolean;
  /** Where it was deleted: the parent it had, for restore. */
  readonly trashedFrom: EntryId | null;
};

/** One row of a journal. `kind: 'key'` says that the space has a new key version from here on. */
export type JournalRow =
  | {
      readonly kind: 'entry';
      readonly space: SpaceId;
      readonly epoch: Epoch;
      readonly seq: number;
      /** Revision that this one was made from, 0 for none. */
      readonly base: number;
      readonly device: DeviceId;
      /** Server's clock at the commit, milliseconds since 1970; for display. */
      readonly atMs: number;
      readonly entry: Entry;
    }
  | {
      readonly kind: 'key';
      readonly space: SpaceId;
      readonly epoch: Epoch;
      readonly seq: number;
      readonly device: DeviceId;
      readonly atMs: number;
      readonly keyVersion: number;
    };

/** A place in a space's journal that a device has applied everything up to. */
export type Cursor = {
  readonly epoch: Epoch;
  readonly seq: number;
  readonly chain: Chain;
};

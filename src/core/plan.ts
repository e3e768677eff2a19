/**
 * The three trees that a device keeps for a space, and what the planner may ask for. Stored are observations, never
 * intentions: a plan is made afresh from the trees, its actions are carried out and their results observed, until it is empty.
 */
import type { Entry, EntryKind } from './entry.ts';
import type { ContentId, EntryId } from './ids.ts';

/** Why an entry is not on this disk although it is in the space. Never read as deleted. */
export type Absence =
  | 'not_selected'
  | 'ignored'
  | 'placeholder'
  | 'name_impossible'
  | 'case_clash'
  | 'link_unsupported'
  | 'disk_full'
  | 'held';

/** The disk as last observed. A thing seen for the first time gets a fresh random entry id at once and keeps it when it is committed. */
export type LocalEntry = {
  readonly entry: EntryId;
  readonly parent: EntryId;
  readonly name: string;
  readonly kind: EntryKind;
  /** Files: null while the bytes behind the present stat were not read. */
  readonly contentId: ContentId | null;
  readonly target: string | null;
  readonly exec: boolean;
  /** Parked out of its place by an `exchange` that is under way (`parent` and `name` are then its old place, which is free). */
  readonly parked: boolean;
};

/** The merge base: what this device and the server last agreed on. */
export type SyncedEntry = {
  readonly entry: EntryId;
  readonly parent: EntryId;
  readonly name: string;
  readonly kind: EntryKind;
  readonly contentId: ContentId | null;
  readonly target: string | null;
  readonly exec: boolean;
  readonly revision: number;
  readonly placed: number;
  /** `here`, or why not. */
  readonly presence: 'here' | Absence;
};

/** Read access to the trees. All live: trashed entries are not in `remote`. `ROOT_ENTRY` is in none of them and always exists. */
export interface TreesView {
  remote(entry: EntryId): Entry | null;
  local(entry: EntryId): LocalEntry | null;
  synced(entry: EntryId): SyncedEntry | null;
  remoteAt(parent: EntryId, name: string): Entry | null;
  localAt(parent: EntryId, name: string): LocalEntry | null;
  remoteChildren(parent: EntryId): readonly EntryId[];
  localChildren(parent: EntryId): readonly EntryId[];
  syncedChildren(parent: EntryId): readonly EntryId[];
  /** Seq that the remote tree was applied through. */
  readonly appliedSeq: number;
}

/** Operations for the server. An executor adds bytes; a group applies wholly or not at all. */
export type UpAction =
  | {
      readonly kind: 'up_create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly entryKind: EntryKind;
    }
  /** Content, link target or exec bit. `base`: synced revision. */
  | { readonly kind: 'up_update'; readonly entry: EntryId; readonly base: number }
  | {
      readonly kind: 'up_move';
      readonly entry: EntryId;
      readonly base: number;
      readonly parent: EntryId;
      readonly name: string;
    }
  | { readonly kind: 'up_delete'; readonly entry: EntryId; readonly basis: number };

/** Changes of this disk. Each is carried out only against the observed state that the plan was made from. */
export type DownAction =
  | {
      readonly kind: 'down_create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly entryKind: EntryKind;
    }
  /** New bytes, target or exec bit over what is there. */
  | { readonly kind: 'down_update'; readonly entry: EntryId }
  | { readonly kind: 'down_move'; readonly entry: EntryId; readonly parent: EntryId; readonly name: string }
  | { readonly kind: 'down_remove'; readonly entry: EntryId }
  /** Moves it out of its place under a private name, so that the names of a cycle can change places. */
  | { readonly kind: 'down_park'; readonly entry: EntryId };

/** Changes of the trees alone. */
export type TreeAction =
  /** Both sides hold the same: synced := remote (and, where both are gone, forgotten). */
  | { readonly kind: 'agree'; readonly entry: EntryId }
  /** What was found on the disk as `found` is the remote entry `entry` (a first link, or the same thing made on two devices). */
  | { readonly kind: 'adopt'; readonly entry: EntryId; readonly found: EntryId }
  /** The entry was deleted by another while it changed here: what is here lives on under a new id (bytes stay where they are). */
  | { readonly kind: 'renew'; readonly entry: EntryId }
  /** The device cannot hold it now: synced with this presence, nothing on the disk. */
  | { readonly kind: 'absent'; readonly entry: EntryId; readonly why: Absence };

/**
 * Two versions: the local one becomes a new entry `copyName` beside it, in this order: committed as a create whose bytes are read from the
 * old path; linked to its new name; only then does the remote version replace the old path. Of what is not a file: moved to `copyName`.
 */
export type ConflictAction = {
  readonly kind: 'conflict';
  readonly entry: EntryId;
  readonly parent: EntryId;
  readonly copyName: string;
};

/** The local bytes must be read before anything can be decided about this entry. */
export type ReadAction = { readonly kind: 'read'; readonly entry: EntryId };

export type Plan = {
  readonly reads: readonly ReadAction[];
  readonly tree: readonly TreeAction[];
  readonly conflicts: readonly ConflictAction[];
  /** In an order in which each can be applied after those before it. */
  readonly up: readonly (readonly UpAction[])[];
  readonly down: readonly DownAction[];
  /** Dirty entries that wait for something of this very plan: plan them again after it. */
  readonly waiting: readonly EntryId[];
};

export type PlanOptions = {
  /** For conflict names: `name (conflicted copy, <device>, <date>).ext`. */
  readonly deviceName: string;
  /** YYYY-MM-DD. */
  readonly date: string;
};

/**
 * The three trees that a device keeps for a space, and what the planner may ask for. Stored are observations, never
 * intentions: a plan is made afresh from the trees, its actions are carried out and their results observed, until it is empty.
 *
 * What the planner relies on:
 * - Every entry in which the trees differ is dirty. Who changes a row of a tree marks its entry; who changes an id (`adopt`, `renew`) marks
 *   both ids and the children. After a plan an entry leaves the dirty set where all its actions succeeded and it is not in `waiting`.
 *   Any part of the dirty set may be planned at a time: what else a decision needs, the planner looks at by itself.
 * - What is wanted of an entry depends on the folders above it: who moves a folder in remote, or changes what is wanted, marks what is absent
 *   below it, and for the latter also what is here.
 * - What others put into a folder that is not on this disk may have to stay where it is here, with nothing to be done about it. Whoever puts that
 *   folder on the disk, or finds it there, marks what lies elsewhere and belongs into it.
 * - The remote tree is whole: every parent in it is in it as well (a listing is applied in one piece).
 * - Names on a disk are the device's own matter. A local row's `name` is what the entry is called as far as this device has a say; its
 *   `alias`, where there is one, is what the disk calls it: another spelling of that name, or another name because the disk cannot hold
 *   this one, or not beside its neighbour. Whoever frees a place on the disk marks the entries that wait for it
 *   under an alias.
 * - Order: `tree`, then `reads` and `conflicts`, then `up`, then `down`; `up` and `down` do not depend on each other.
 * - What succeeded becomes the merge base, aspect by aspect, even where the disk has moved on since: an applied `up_` action puts what was *sent*
 *   into synced (so that the next change is one more change, not a conflict with oneself), a `down_` action what was placed. Where there
 *   is no synced row yet, only `up_create`, `down_create`, `agree` and `conflict` make one.
 */
import type { Entry, EntryKind } from './entry.ts';
import type { ContentId, EntryId } from './ids.ts';
import type { NameProfile } from './name-profile.ts';

/** What the person wants kept from this device, by choice (`selection.ts`) or by rule (`ignore.ts`). */
export type Unwanted = 'not_selected' | 'ignored';

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
  /** What it is called in the space, for all that was done here: a person who renames it gives it another. */
  readonly name: string;
  /** What it is called on this disk, where that is not `name`. */
  readonly alias: string | null;
  readonly kind: EntryKind;
  /** Files: null while the bytes behind the present stat were not read. */
  readonly contentId: ContentId | null;
  readonly target: string | null;
  readonly exec: boolean;
  /** Taken out of its place by `down_park` (`parent` and `name` are then its old place, which is free: `localAt` does not show it). The
   * row outlives that parent, which counts as empty without it. */
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
  /**
   * `here`, or why not. An absent entry is tried again where others changed it and the cause was its name, kind or size; to try it
   * again for another reason, forget its synced row and those below it and mark them dirty. What was unwanted is tried again when it is
   * wanted (`TreesView.unwanted`) and dirty. `held` is left alone.
   *
   * With a local row: `not_selected` is on its way out of this disk, and this row is its merge base until it is gone; `ignored` is a folder that
   * should be gone and stays for what is ignored in it.
   */
  readonly presence: 'here' | Absence;
};

/**
 * Read access to the trees. All live: trashed entries are not in `remote`. `ROOT_ENTRY` is in none of them and always exists. What is ignored on
 * the disk is not in `local`: who stops looking at a thing says so in synced, in one step with dropping its row.
 */
export interface TreesView {
  remote(entry: EntryId): Entry | null;
  local(entry: EntryId): LocalEntry | null;
  synced(entry: EntryId): SyncedEntry | null;
  remoteAt(parent: EntryId, name: string): Entry | null;
  /** What the disk has at this name, or at one that it does not tell from it. */
  localAt(parent: EntryId, name: string): LocalEntry | null;
  remoteChildren(parent: EntryId): readonly EntryId[];
  localChildren(parent: EntryId): readonly EntryId[];
  syncedChildren(parent: EntryId): readonly EntryId[];
  /** Why this remote entry is not to be on this disk, by itself; what lies in a folder that is not to be here is not asked for. */
  unwanted(entry: Entry): Unwanted | null;
  /** Seq that the remote tree was applied through. */
  readonly appliedSeq: number;
  /** What this disk makes of names. */
  readonly names: NameProfile;
  /** True where this disk cannot hold that name in that place, whatever else it holds: so its profile says, or it refused it before. */
  refuses(parent: EntryId, name: string): boolean;
}

/** Operations for the server. An executor adds bytes; a group applies wholly or not at all. */
export type UpAction =
  /**
   * Answered with `conflict: exists` (so a conflict's copy, too), the id lies in the trash (a link whose merge base was lost met a deleted entry): what is here takes
   * a fresh id, as by `renew`. So nothing that a union finds is lost, and nothing comes back out of the trash by itself.
   */
  | {
      readonly kind: 'up_create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly entryKind: EntryKind;
    }
  /**
   * Content, link target or exec bit. `base`: the remote revision that the local change was merged with. Where the local bytes are unread,
   * the executor reads them first, and sends nothing where they are what synced says.
   */
  | { readonly kind: 'up_update'; readonly entry: EntryId; readonly base: number }
  | {
      readonly kind: 'up_move';
      readonly entry: EntryId;
      /** The remote entry's `placed`. */
      readonly base: number;
      readonly parent: EntryId;
      readonly name: string;
    }
  /** The whole subtree, of which this device had everything on its disk as it was at `basis`. */
  | { readonly kind: 'up_delete'; readonly entry: EntryId; readonly basis: number };

/**
 * Changes of this disk. Each is carried out only against the observed state that the plan was made from. `alias`: what the disk is to
 * call it, where that is not `name`.
 */
export type DownAction =
  | {
      readonly kind: 'down_create';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly alias: string | null;
      readonly entryKind: EntryKind;
    }
  /** New bytes, target or exec bit over what is there. */
  | { readonly kind: 'down_update'; readonly entry: EntryId }
  /**
   * To the place that the remote tree gives it; or, where something else must stand in its place, beside it under a conflict name, from
   * which it then goes up as a change made here. A parked entry is brought back by it. Where only the name changes, and not what the
   * disk calls it, nothing is to be done on the disk.
   */
  | {
      readonly kind: 'down_move';
      readonly entry: EntryId;
      readonly parent: EntryId;
      readonly name: string;
      readonly alias: string | null;
    }
  /** A folder only where it is empty by then: what the planner knew in it was removed or moved out before. */
  | { readonly kind: 'down_remove'; readonly entry: EntryId }
  /** Moves it out of its place under a private name, so that the names of a cycle can change places. */
  | { readonly kind: 'down_park'; readonly entry: EntryId };

/** Changes of the trees alone. */
export type TreeAction =
  /** synced := remote (forgotten where remote has nothing): what differs from it on the disk, if anything, was changed here alone. */
  | { readonly kind: 'agree'; readonly entry: EntryId }
  /**
   * What was found on the disk as `found` is the remote entry `entry` (a first link, or the same thing made on two devices): the local
   * row takes that id and name, and its children with it. An `agree` follows where both are equal in everything.
   */
  | { readonly kind: 'adopt'; readonly entry: EntryId; readonly found: EntryId }
  /**
   * What is here lives on under a fresh id, its local children below it, and the synced row of the old id is forgotten; bytes stay where
   * they are. For what another deleted while it changed here, and for what cannot be two things at once (a symlink with two targets).
   */
  | { readonly kind: 'renew'; readonly entry: EntryId }
  /** The device cannot hold it now: synced := remote with this presence, nothing on the disk. */
  | { readonly kind: 'absent'; readonly entry: EntryId; readonly why: Absence }
  /**
   * Not wanted here any more, and everything here is on the server: only synced's presence becomes `not_selected`; where there is no row, one
   * comes to be that is remote's at the local place. Durable before anything of it leaves the disk: so what is half gone after a crash is never taken for deleted.
   */
  | { readonly kind: 'withdraw'; readonly entry: EntryId }
  /** The synced row goes: what was deleted here comes back, since another moved a folder above it meanwhile; or a folder can be here now, and what lies in it. */
  | { readonly kind: 'forget'; readonly entry: EntryId };

/**
 * Two versions of a file at one place, which the remote entry `entry` keeps. `found` is the local row's id there: `entry` itself where both sides
 * edited it, another where both made a file. The local bytes become an entry of their own at (`parent`, `copyName`), in this order: committed
 * as a create whose bytes are read from the old path (id: `found`, or a fresh one where `found` is `entry`); linked to the new name. Then
 * the trees: the copy is in all three; the local row at the old path has the id and name of `entry`; the content and exec bit in synced(`entry`) are
 * those that the copy saved (no row yet: remote's, with these). So the next plan sees a file that only others changed, and replaces it by an
 * ordinary `down_update`, which re-checks the bytes that the copy saved. Only files; other things that meet are moved aside by `down_move`.
 */
export type ConflictAction = {
  readonly kind: 'conflict';
  readonly entry: EntryId;
  readonly found: EntryId;
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
  /**
   * Entries that wait for something of this very plan: plan them again after it. Never without an action elsewhere in the plan, but where
   * others' folders lie in each other: they wait for the rest of the journal.
   */
  readonly waiting: readonly EntryId[];
};

export type PlanOptions = {
  /** For conflict names: `name (conflicted copy, <device>, <date>).ext`. */
  readonly deviceName: string;
  /** YYYY-MM-DD. */
  readonly date: string;
};

/** What the disk calls it. */
export function nameHere({ name, alias }: { readonly name: string; readonly alias: string | null }): string {
  return alias ?? name;
}

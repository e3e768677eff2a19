/**
 * What is to become of each entry, seen by itself and by what lies above and below it. Places and names of others come later: a fate
 * says where an entry should be, not whether the way is free.
 */
import { editedSince, contentMove, isBehind, samePlace, unchangedSince } from './plan-entry.ts';
import { PlanMoves } from './plan-moves.ts';
import { walked, type PlanView } from './plan-view.ts';
import type { Entry } from './entry.ts';
import type { EntryId } from './ids.ts';
import { nameHere, type Absence, type LocalEntry, type SyncedEntry } from './plan.ts';

export type Fate =
  /** Left alone: in no tree, absent and unchanged, held. */
  | { readonly kind: 'nothing' }
  /** On neither side any more. */
  | { readonly kind: 'forgotten' }
  /**
   * On both sides. `place`: whose place it takes; `stuck`: remote's, in a folder that is not on this disk or cannot hold it, so it stays
   * where it is.
   */
  | { readonly kind: 'stays'; readonly place: 'same' | 'local' | 'remote' | 'stuck' }
  /** Only here. */
  | { readonly kind: 'new' }
  | { readonly kind: 'renew' }
  /** Deleted by another; whether it was edited here is not known before it was read. `undecided`: so of something in it. */
  | { readonly kind: 'unread' }
  | { readonly kind: 'undecided' }
  /** Parked, by a plan that was not carried out to its end: it comes back to a place before anything else is decided. */
  | { readonly kind: 'unpark' }
  /** Deleted by another, and nothing in it to keep. */
  | { readonly kind: 'remove' }
  /** To be gone from this disk, which keeps it for what is ignored in it; nothing else is in it. */
  | { readonly kind: 'remnant' }
  /** Not wanted on this disk any more, and all of it safe on the server. `marked`: the trees say so durably, so that it may go. */
  | { readonly kind: 'withdraw'; readonly marked: boolean }
  /** Only in remote, to be here. `whole`: with all that was in it, whatever was deleted here. */
  | { readonly kind: 'arrive'; readonly whole: boolean }
  | { readonly kind: 'absent'; readonly why: Absence }
  /** Deleted here, with all that is in it but what was moved out here, which goes first. */
  | { readonly kind: 'delete' };

const NOTHING: Fate = { kind: 'nothing' };
const ARRIVE: Fate = { kind: 'arrive', whole: false };
const chosen: ReadonlySet<Absence> = new Set<Absence>(['not_selected', 'ignored']);

export function isMovedDown(fate: Fate): boolean {
  return fate.kind === 'stays' && fate.place === 'remote';
}

export class Fates {
  readonly moves: PlanMoves;
  readonly #view: PlanView;
  readonly #known = new Map<EntryId, Fate>();
  readonly #kept = new Map<EntryId, boolean>();
  readonly #returns = new Map<EntryId, boolean>();

  constructor(view: PlanView) {
    this.#view = view;
    this.moves = new PlanMoves(view);
  }

  of(entry: EntryId): Fate {
    return walked(this.#known, entry, NOTHING, () => this.#judge(entry));
  }

  #judge(entry: EntryId): Fate {
    const remote = this.#view.remote(entry);
    const local = this.#view.local(entry);
    const synced = this.#view.synced(entry);
    if (remote && local) return this.#onBoth(remote, local, synced);
    if (remote) return this.#onlyRemote(remote, synced);
    if (local) return this.#onlyLocal(local, synced);
    return synced ? { kind: 'forgotten' } : NOTHING;
  }

  #onBoth(remote: Entry, local: LocalEntry, synced: SyncedEntry | null): Fate {
    if (synced?.presence === 'held' && unchangedSince(synced, remote)) return NOTHING;
    if (local.parked) return { kind: 'unpark' };
    if (remote.kind !== local.kind) return { kind: 'renew' };
    const base = this.#view.base(remote.entry);
    if (remote.kind === 'symlink' && contentMove(remote, local, base) === 'clash') return { kind: 'renew' };
    if (this.#view.isLeaving(remote.entry)) {
      if (synced?.presence === 'ignored') return { kind: 'remnant' };
      if (this.#mayLeave(remote, local, base)) return { kind: 'withdraw', marked: base?.presence === 'not_selected' };
    }
    if (samePlace(remote, local)) return { kind: 'stays', place: 'same' };
    if (this.moves.isLocal(remote.entry)) return { kind: 'stays', place: 'local' };
    return { kind: 'stays', place: this.#mayCome(remote, local) ? 'remote' : 'stuck' };
  }

  /** Under its own name, or under the one that it has here. */
  #mayCome(remote: Entry, local: LocalEntry): boolean {
    if (this.#absenceOf(remote.parent) !== null) return false;
    return !this.#view.refuses(remote) || !this.#view.refuses({ parent: remote.parent, name: nameHere(local) });
  }

  /** Everything in it that is not safe on the server yet goes there first, and stays until then. */
  #mayLeave(remote: Entry, local: LocalEntry, base: SyncedEntry | null): boolean {
    if (this.moves.isLocal(remote.entry)) return false;
    const content = contentMove(remote, local, base);
    if (content !== 'none' && content !== 'down') return false;
    return this.#view.localChildren(remote.entry).every((child) => {
      const fate = this.of(child);
      return isMovedDown(fate) || fate.kind === 'remove' || fate.kind === 'withdraw' || fate.kind === 'remnant';
    });
  }

  #onlyLocal(local: LocalEntry, synced: SyncedEntry | null): Fate {
    if (synced?.presence === 'held') return NOTHING;
    if (local.parked) return { kind: 'unpark' };
    if (!synced) return { kind: 'new' };
    if (synced.presence === 'ignored' && local.kind === 'folder') return this.#emptied(local.entry, 'remnant');
    const base = this.#view.base(local.entry);
    if (!base) return { kind: 'renew' };
    const edited = editedSince(base, local);
    if (edited === null) return { kind: 'unread' };
    if (edited) return { kind: 'renew' };
    return local.kind === 'folder' ? this.#emptied(local.entry, 'remove') : { kind: 'remove' };
  }

  /** A folder that another deleted lives on for the sake of anything in it that does. */
  #emptied(folder: EntryId, nothing: 'remove' | 'remnant'): Fate {
    let undecided = false;
    let stuck = false;
    for (const child of this.#view.localChildren(folder)) {
      const fate = this.of(child);
      if (fate.kind === 'remove' || fate.kind === 'remnant' || fate.kind === 'withdraw') continue;
      if (isMovedDown(fate)) continue;
      if (fate.kind === 'stays' && fate.place === 'stuck') stuck = true;
      else if (fate.kind === 'unread' || fate.kind === 'undecided' || fate.kind === 'unpark') undecided = true;
      else return { kind: 'renew' };
    }
    if (undecided) return { kind: 'undecided' };
    return stuck ? NOTHING : { kind: nothing };
  }

  #onlyRemote(remote: Entry, synced: SyncedEntry | null): Fate {
    const above =
      remote.kind === 'mount' ? 'not_selected' : (this.#absenceOf(remote.parent) ?? this.#view.unwanted(remote.entry));
    if (above !== null) return absentAs(above, remote, synced);
    const fate = this.#comesOrGoes(remote, synced);
    return fate.kind === 'arrive' && this.#view.refuses(remote) ? absentAs('name_impossible', remote, synced) : fate;
  }

  #comesOrGoes(remote: Entry, synced: SyncedEntry | null): Fate {
    if (!synced) return ARRIVE;
    if (synced.presence !== 'here') {
      // What was not wanted is wanted again.
      if (chosen.has(synced.presence)) return ARRIVE;
      const stays = synced.presence === 'placeholder' || unchangedSince(synced, remote);
      return stays ? absentAs(synced.presence, remote, synced) : ARRIVE;
    }
    // Also what is as it was, by its state alone: others changed it and back, or deleted it and brought it back.
    if (remote.kind === 'folder' && isReplaced(remote, synced)) return { kind: 'arrive', whole: true };
    if (isBehind(synced, remote) || this.#returnsWith(remote.parent)) return ARRIVE;
    return remote.kind === 'folder' && this.#isKept(remote.entry) ? ARRIVE : { kind: 'delete' };
  }

  /** Why a folder of the remote tree is not on this disk, and will not be; null where it is, or will be. */
  #absenceOf(folder: EntryId): Absence | null {
    if (this.#view.local(folder) || !this.#view.remote(folder)) return null;
    const fate = this.of(folder);
    if (fate.kind === 'absent') return fate.why;
    const presence = this.#view.synced(folder)?.presence ?? 'here';
    return fate.kind === 'nothing' && presence !== 'here' ? presence : null;
  }

  /** True in what was deleted here under a folder that another moved or brought back meanwhile: it comes back whole. */
  #returnsWith(folder: EntryId): boolean {
    return walked(this.#returns, folder, false, () => {
      const remote = this.#view.remote(folder);
      const base = this.#view.base(folder);
      const deleted = remote !== null && base !== null && this.#view.local(folder) === null;
      return deleted && (isReplaced(remote, base) || this.#returnsWith(remote.parent));
    });
  }

  /** Whether something in a folder that was deleted here keeps it: what this device did not know of, or did not delete with it. */
  #isKept(folder: EntryId): boolean {
    return walked(this.#kept, folder, true, () =>
      this.#view.remoteChildren(folder).some((child) => this.#keeps(child)),
    );
  }

  #keeps(entry: EntryId): boolean {
    const remote = this.#view.remote(entry);
    const base = this.#view.base(entry);
    if (!remote || !base) return true;
    if (this.#view.local(entry)) return !this.moves.isLocal(entry);
    return isBehind(base, remote) || (remote.kind === 'folder' && this.#isKept(entry));
  }
}

/** Another gave it its place since, be it the same one. */
function isReplaced(remote: Entry, base: SyncedEntry): boolean {
  return remote.placed !== base.placed || !samePlace(remote, base);
}

function absentAs(why: Absence, remote: Entry, synced: SyncedEntry | null): Fate {
  return synced?.presence === why && !isBehind(synced, remote) ? NOTHING : { kind: 'absent', why };
}

/** A plan in the making: looks at one entry after the other, and at whatever each of them needs, then puts the actions in order. */
import { must } from './assert.ts';
import type { Entry } from './entry.ts';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { spotOf } from './name-profile.ts';
import { contentMove, isBehind, leftBehind, mayAgree, type Place } from './plan-entry.ts';
import { Fates, isMovedDown, type Fate } from './plan-fate.ts';
import { PlanNames } from './plan-names.ts';
import { orderGroups, orderSteps, type Need, type PlanNode } from './plan-order.ts';
import { Places } from './plan-places.ts';
import { PlanView } from './plan-view.ts';
import {
  nameHere,
  type ConflictAction,
  type DownAction,
  type LocalEntry,
  type Plan,
  type PlanOptions,
  type ReadAction,
  type TreeAction,
  type TreesView,
  type UpAction,
} from './plan.ts';

/** How two different things that belong at one place get on. `aside`: the local one is moved. `one`: they become one. `waits`: not known yet. */
type Meeting = 'aside' | 'one' | 'waits';
/** A place on the disk. `free`: it can be had in this plan. */
type Standing = { readonly free: boolean; readonly alias: string | null };

export class PlanDraft {
  readonly #view: PlanView;
  readonly #fates: Fates;
  readonly #names: PlanNames;
  readonly #places: Places;
  /** Looked at, or about to be: grows while it is walked. */
  readonly #entries = new Set<EntryId>();
  readonly #reads = new Map<EntryId, ReadAction>();
  readonly #tree: TreeAction[] = [];
  /** Absent until now: forgotten, or found here. */
  readonly #comes = new Set<EntryId>();
  readonly #conflicts: ConflictAction[] = [];
  readonly #up = new Map<EntryId, PlanNode<UpAction>>();
  readonly #down = new Map<EntryId, PlanNode<DownAction>>();
  readonly #upUpdates: UpAction[] = [];
  readonly #downUpdates: DownAction[] = [];
  readonly #waiting = new Set<EntryId>();
  readonly #meetings = new Map<EntryId, Meeting>();
  /** Remote entries that are here already, as what was found. */
  readonly #found = new Set<EntryId>();
  /** What comes back from being parked goes first, and what needs it waits: its place may not be the last, and lie in what is to move into it. */
  readonly #unparked = new Map<EntryId, PlanNode<DownAction>>();
  /** Where that is. */
  readonly #givenBack = new Set<string>();

  constructor(trees: TreesView, options: PlanOptions) {
    this.#view = new PlanView(trees);
    this.#fates = new Fates(this.#view);
    this.#names = new PlanNames(this.#view);
    this.#places = new Places(this.#view, this.#fates, this.#names, options);
  }

  look(entry: EntryId): void {
    this.#entries.add(entry);
  }

  finish(): Plan {
    for (const entry of this.#entries) this.#consider(entry, this.#fates.of(entry));
    this.#giveWay();
    for (const entry of this.#found) this.#isHere(entry);
    const up = orderGroups(this.#up);
    const mayPark = (entry: EntryId): boolean => isMovedDown(this.#fates.of(entry));
    const isInside = (inner: EntryId, outer: EntryId): boolean => this.#view.isInside(inner, outer);
    const park = (entry: EntryId): DownAction => ({ kind: 'down_park', entry });
    const back = orderSteps(this.#unparked, mayPark, isInside, park);
    const down = orderSteps(this.#down, mayPark, isInside, park);
    for (const entry of [...up.waiting, ...down.waiting]) this.#waiting.add(entry);
    return {
      reads: [...this.#reads.values()],
      // What is tried again is not absent, whichever of the two was found first.
      tree: this.#tree.filter(({ kind, entry }) => kind !== 'absent' || !this.#comes.has(entry)),
      conflicts: this.#conflicts,
      up: [...up.steps, ...this.#upUpdates.map((action) => [action])],
      down: [...back.steps, ...down.steps, ...this.#downUpdates],
      waiting: [...this.#waiting].sort(),
    };
  }

  #consider(entry: EntryId, fate: Fate): void {
    switch (fate.kind) {
      case 'nothing':
      case 'remnant':
        return;
      case 'forgotten':
        this.#tree.push({ kind: 'agree', entry });
        return;
      case 'absent':
        this.#tree.push({ kind: 'absent', entry, why: fate.why });
        this.#lookAbove(entry);
        return;
      case 'renew':
        this.#tree.push({ kind: 'renew', entry });
        this.#block(entry);
        return;
      case 'unread':
        this.#read(entry);
        this.#block(entry);
        return;
      case 'undecided':
        for (const child of this.#view.localChildren(entry)) this.look(child);
        this.#waiting.add(entry);
        this.#block(entry);
        return;
      case 'unpark':
        this.#unpark(this.#localOf(entry));
        return;
      case 'new':
        this.#create(this.#localOf(entry));
        return;
      case 'arrive':
        this.#arrive(this.#remoteOf(entry), fate.whole);
        return;
      case 'remove':
        this.#remove(this.#localOf(entry));
        return;
      case 'withdraw':
        this.#withdraw(this.#localOf(entry), fate.marked);
        return;
      case 'delete':
        this.#delete(this.#remoteOf(entry));
        return;
      case 'stays':
        this.#keep(this.#remoteOf(entry), this.#localOf(entry), fate.place);
        return;
    }
  }

  // ---- What there is on both sides ----

  #keep(remote: Entry, local: LocalEntry, place: 'same' | 'local' | 'remote' | 'stuck'): void {
    const { entry } = remote;
    if (place === 'local') this.#moveUp(remote, local);
    if (place === 'remote') this.#moveDown(remote, local);
    const base = this.#view.base(entry);
    const content = contentMove(remote, local, base);
    const reachable = this.#isReachable(entry);
    if (content === 'read') this.#read(entry);
    else if (content !== 'none' && !reachable) this.#waiting.add(entry);
    else if (content === 'up') this.#upUpdates.push({ kind: 'up_update', entry, base: remote.revision });
    else if (content === 'down') this.#downUpdates.push({ kind: 'down_update', entry });
    // What is moved has its copy in the next plan, beside its new place.
    else if (content === 'clash' && (place === 'same' || place === 'stuck')) this.#conflict(remote, local);
    const acts = content !== 'none' || place === 'local' || place === 'remote';
    if (acts) this.#waitToLeave(entry);
    // What must be read or copied first is planned again after that.
    if ((place === 'same' || place === 'local') && content !== 'read' && content !== 'clash') this.#returnToName(local);
    // A folder that stays for the sake of something in it keeps nothing else here.
    if (this.#view.isLeaving(entry)) for (const child of this.#view.localChildren(entry)) this.look(child);
    if (base?.presence === 'here' && !isBehind(base, remote)) return;
    if (mayAgree(remote, local, base)) {
      this.#tree.push({ kind: 'agree', entry });
      this.#waitToLeave(entry);
    } else {
      const settles = { place: place === 'local' || place === 'remote', state: content === 'up' || content === 'down' };
      const isMarked = base !== null && base.presence !== 'here' && acts;
      if (isMarked || leftBehind(remote, base, settles)) this.#waiting.add(entry);
    }
  }

  #moveUp(remote: Entry, local: LocalEntry): void {
    const { entry } = remote;
    const needs: Need[] = [];
    const free = this.#freeUp(local, needs);
    this.#needParentUp(local.parent, local.kind === 'folder', needs);
    const action = { kind: 'up_move', entry, base: remote.placed, parent: local.parent, name: local.name } as const;
    this.#up.set(entry, { entry, action: free ? action : null, needs });
    // The folder that it left may have stayed for its sake.
    this.#lookAbove(entry);
  }

  #moveDown(remote: Entry, local: LocalEntry): void {
    const { entry } = remote;
    const needs: Need[] = [];
    const { free, alias } = this.#standAt(remote, local, needs);
    this.#needParentDown(remote.parent, needs);
    this.#needPath(local, needs);
    const action = { kind: 'down_move', entry, parent: remote.parent, name: remote.name, alias } as const;
    this.#down.set(entry, { entry, action: free ? action : null, needs });
    // A folder that another deleted, or that is to leave, may have stayed for its sake.
    if (!this.#view.remote(local.parent)) this.look(local.parent);
    this.#lookAbove(entry);
  }

  /** What had to take another name on this disk takes its own where that is free by now. */
  #returnToName(local: LocalEntry): void {
    const { entry, parent, name, alias } = local;
    const { names } = this.#view;
    if (alias === null || spotOf(names, alias) === spotOf(names, name) || this.#view.refuses(local)) return;
    if (!this.#names.isFree(local, entry)) {
      // What it was given to may not come after all.
      if (this.#names.isClashing(local)) this.#waiting.add(entry);
      return;
    }
    // Until its folder is known by the id that it keeps.
    if (parent !== ROOT_ENTRY && this.#fates.of(parent).kind !== 'stays') {
      this.look(parent);
      this.#waiting.add(entry);
      return;
    }
    this.#names.give(local);
    const needs: Need[] = [];
    this.#needParentDown(parent, needs);
    this.#needPath(local, needs);
    this.#down.set(entry, { entry, action: { kind: 'down_move', entry, parent, name, alias: null }, needs });
  }

  // ---- What there is on one side only ----

  #create(local: LocalEntry): void {
    const { entry, parent, name } = local;
    const needs: Need[] = [];
    const reachable = this.#isReachable(entry);
    if (!reachable) this.#waiting.add(entry);
    const free = this.#freeUp(local, needs) && reachable;
    this.#needParentUp(parent, local.kind === 'folder', needs);
    const action = { kind: 'up_create', entry, parent, name, entryKind: local.kind } as const;
    this.#up.set(entry, { entry, action: free ? action : null, needs });
    if (free) this.#returnToName(local);
  }

  #arrive(remote: Entry, whole: boolean): void {
    const { entry, parent, name } = remote;
    if (whole) this.#forgetBelow(entry);
    if (this.#view.synced(entry)?.presence === 'name_impossible') this.#comeBelow(entry);
    // What is in it was kept away with it.
    if (this.#view.synced(entry) && !this.#view.base(entry))
      for (const child of this.#view.remoteChildren(entry)) this.look(child);
    this.look(parent);
    const needs: Need[] = [];
    const { free, alias } = this.#standAt(remote, null, needs);
    this.#needParentDown(parent, needs);
    const action = { kind: 'down_create', entry, parent, name, alias, entryKind: remote.kind } as const;
    this.#down.set(entry, { entry, action: free ? action : null, needs });
  }

  /** Whole subtrees: the server is asked once for the topmost folder. */
  #delete(remote: Entry): void {
    const { entry, parent } = remote;
    // Deleted here alone until the journal says otherwise: the delete may fail, and spares folders for what others put into them.
    this.#waiting.add(entry);
    if (this.#fates.of(parent).kind === 'delete') {
      this.look(parent);
      this.#block(entry);
      return;
    }
    const needs: Need[] = [];
    this.#needLeavers(entry, needs);
    const action = { kind: 'up_delete', entry, basis: this.#view.appliedSeq } as const;
    this.#up.set(entry, { entry, action, needs, isBound: true });
  }

  #remove(local: LocalEntry): void {
    const { entry } = local;
    const needs: Need[] = [];
    for (const child of local.kind === 'folder' ? this.#view.localChildren(entry) : []) {
      this.look(child);
      needs.push({ on: child, what: 'gone' });
    }
    this.#needPath(local, needs);
    this.#down.set(entry, { entry, action: { kind: 'down_remove', entry }, needs });
    // A folder that another deleted may have stayed for its sake.
    if (!this.#view.remote(local.parent)) this.look(local.parent);
  }

  /** The mark in the trees first: what leaves the disk after it is never taken for deleted. */
  #withdraw(local: LocalEntry, marked: boolean): void {
    const { entry } = local;
    this.#waiting.add(entry);
    this.#lookAbove(entry);
    if (marked) return this.#remove(local);
    this.#tree.push({ kind: 'withdraw', entry });
    for (const child of this.#view.localChildren(entry)) this.look(child);
    this.#block(entry);
  }

  /** A folder that is to leave this disk does when the last thing in it has. */
  #lookAbove(entry: EntryId): void {
    for (const place of [this.#view.local(entry), this.#view.synced(entry)]) {
      const isThere = place !== null && this.#view.local(place.parent) !== null;
      if (isThere && this.#view.isLeaving(place.parent)) this.look(place.parent);
    }
  }

  /** What this plan sends or settles is what it needs before it may leave this disk. */
  #waitToLeave(entry: EntryId): void {
    if (this.#view.isLeaving(entry)) this.#waiting.add(entry);
  }

  /**
   * To its remote place where that is free at once, else back to its old one, else beside that: it must not wait for anything that may
   * lie in it.
   */
  #unpark(local: LocalEntry): void {
    const { entry } = local;
    const remote = this.#view.remote(entry);
    const needs: Need[] = [];
    this.#block(entry);
    this.#waiting.add(entry);
    const place = remote && this.#isFreeNow(remote) ? { ...remote, alias: null } : this.#oldPlace(local);
    const { parent, name, alias } = place;
    // The folder has another id from this plan on, which is not known yet.
    if (this.#fates.of(parent).kind === 'renew') return;
    const spot = { parent, name: nameHere(place) };
    this.#names.give(spot);
    this.#givenBack.add(this.#view.spot(spot));
    const above = this.#view.parkedAbove(parent);
    if (above !== null) this.#need(above, 'placed', needs);
    this.#unparked.set(entry, { entry, action: { kind: 'down_move', entry, parent, name, alias }, needs });
  }

  /** Found under an alias, while its own name is another's, it is not to be made a second time. */
  #isHere(entry: EntryId): void {
    const made = this.#down.get(entry);
    if (made?.action?.kind === 'down_create') this.#down.set(entry, { ...made, action: null });
  }

  /** Such a place is free, and so looks free to what belongs there; that waits. */
  #giveWay(): void {
    for (const [entry, { action }] of this.#down) {
      if (action?.kind !== 'down_create' && action?.kind !== 'down_move') continue;
      if (!this.#givenBack.has(this.#view.spot({ parent: action.parent, name: nameHere(action) }))) continue;
      this.#down.set(entry, { entry, action: null, needs: [] });
      this.#waiting.add(entry);
    }
  }

  #isFreeNow(place: Place): boolean {
    const { parent, name } = place;
    const isThere = parent === ROOT_ENTRY || this.#view.local(parent) !== null;
    if (!isThere || this.#view.parkedAbove(parent) !== null || this.#view.refuses(place)) return false;
    if (this.#view.localAt(parent, name) !== null || this.#givenBack.has(this.#view.spot(place))) return false;
    return !this.#names.isClashing(place);
  }

  #oldPlace(local: LocalEntry): Place & { readonly alias: string | null } {
    const { parent, name, alias } = local;
    const here = nameHere(local);
    const isThere = parent === ROOT_ENTRY || this.#view.local(parent) !== null;
    if (!isThere) return { parent: ROOT_ENTRY, name: this.#places.copyName(ROOT_ENTRY, here), alias: null };
    const place = { parent, name: here };
    const isTaken =
      this.#view.localAt(parent, here) !== null ||
      this.#givenBack.has(this.#view.spot(place)) ||
      this.#names.isClashing(place);
    return isTaken ? { parent, name: this.#places.copyName(parent, here), alias: null } : { parent, name, alias };
  }

  /** A folder can be here at last, and so can what lies in it, each thing by its own name: in the next plan, where it lies deeper. */
  #comeBelow(folder: EntryId): void {
    const open = [folder];
    for (let above = open.pop(); above !== undefined; above = open.pop()) {
      for (const entry of this.#view.remoteChildren(above)) {
        if (!this.#isImpossible(entry) || this.#comes.has(entry)) continue;
        this.#comes.add(entry);
        this.#tree.push({ kind: 'forget', entry });
        open.push(entry);
      }
    }
  }

  /** Also what is new, in a folder that is absent in this plan still. */
  #isImpossible(entry: EntryId): boolean {
    const fate = this.#fates.of(entry);
    if (fate.kind === 'absent') return fate.why === 'name_impossible';
    return this.#view.synced(entry)?.presence === 'name_impossible';
  }

  #forgetBelow(folder: EntryId): void {
    const open = [folder];
    for (let above = open.pop(); above !== undefined; above = open.pop()) {
      for (const entry of this.#view.remoteChildren(above)) {
        if (this.#view.local(entry) || !this.#view.base(entry) || this.#comes.has(entry)) continue;
        this.#comes.add(entry);
        this.#tree.push({ kind: 'forget', entry });
        this.look(entry);
        open.push(entry);
      }
    }
  }

  /** What was moved out of it here: deleted with it on the server, it would be taken for deleted by another. */
  #needLeavers(folder: EntryId, needs: Need[]): void {
    const open = [folder];
    for (let above = open.pop(); above !== undefined; above = open.pop()) {
      for (const entry of this.#view.remoteChildren(above)) {
        if (this.#view.local(entry)) this.#need(entry, 'placed', needs);
        else open.push(entry);
      }
    }
  }

  // ---- Places: who is there, and what lies above ----

  /** False where the remote place that a local entry asks for cannot be had in this plan. */
  #freeUp(local: LocalEntry, needs: Need[]): boolean {
    const there = this.#view.remoteAt(local.parent, local.name) ?? this.#foundAs(local);
    if (!there) return true;
    const fate = this.#fates.of(there.entry);
    if (fate.kind === 'delete' || (fate.kind === 'stays' && fate.place === 'local')) {
      this.#need(there.entry, 'gone', needs);
      return true;
    }
    if (fate.kind === 'renew') {
      this.#need(there.entry, 'gone', needs);
      this.#waiting.add(local.entry);
    } else this.#meet(there, local);
    return false;
  }

  /** What is new here is a remote thing that is not here yet, whose name this disk spells in another of Unicode's forms. */
  #foundAs(local: LocalEntry): Entry | null {
    const { parent, name } = local;
    if (this.#view.names.forms === 'distinct' || this.#view.remoteAt(parent, name)) return null;
    for (const form of ['NFC', 'NFD']) {
      const there = this.#view.remoteAt(parent, name.normalize(form));
      if (there && this.#isFoundAs(local, there)) return there;
    }
    return null;
  }

  #isFoundAs(local: LocalEntry, remote: Entry): boolean {
    return (
      this.#fates.of(local.entry).kind === 'new' &&
      this.#fates.of(remote.entry).kind === 'arrive' &&
      this.#view.spot(remote) === this.#view.spot({ parent: local.parent, name: nameHere(local) })
    );
  }

  /** Where on the disk a remote entry can be at its place. `local`: where it is now. */
  #standAt(remote: Entry, local: LocalEntry | null, needs: Need[]): Standing {
    const { entry, parent, name } = remote;
    if (local && this.#view.refuses(remote)) return { free: true, alias: this.#names.keep(remote, local) };
    const found = this.#view.localAt(parent, name);
    const there = found?.entry === entry ? null : found;
    const isMet = there !== null && (there.name === name || this.#foundAs(there)?.entry === entry);
    const clashes = there !== null && !this.#leavesSpot(there) && !(isMet && !isMovedDown(this.#fates.of(there.entry)));
    if (clashes || this.#names.isClashing(remote)) {
      // Looked at again when it is there: whatever was in its way may not have come.
      this.#waiting.add(entry);
      return { free: true, alias: this.#names.clash(remote, entry) };
    }
    const free = there === null || this.#freeDown(remote, there, needs);
    if (free) this.#names.give(remote);
    return { free, alias: null };
  }

  /** False where the local place that a remote entry asks for, and another local thing of that name has, cannot be had in this plan. */
  #freeDown(remote: Entry, there: LocalEntry, needs: Need[]): boolean {
    const fate = this.#fates.of(there.entry);
    const undecided =
      fate.kind === 'renew' || fate.kind === 'unread' || fate.kind === 'undecided' || fate.kind === 'withdraw';
    this.#need(there.entry, 'gone', needs);
    if (this.#leavesSpot(there)) return true;
    const meeting = undecided ? 'waits' : this.#meet(remote, there);
    if (meeting === 'waits') this.#waiting.add(remote.entry);
    return meeting === 'aside';
  }

  /** By what others did it goes away, or so far that something else can have its place. */
  #leavesSpot(there: LocalEntry): boolean {
    const fate = this.#fates.of(there.entry);
    if (fate.kind === 'remove' || (fate.kind === 'withdraw' && fate.marked)) return true;
    const remote = this.#view.remote(there.entry);
    if (!remote || !isMovedDown(fate)) return false;
    const { parent } = there;
    const name = this.#view.refuses(remote) ? nameHere(there) : remote.name;
    return this.#view.spot({ parent: remote.parent, name }) !== this.#view.spot({ parent, name: nameHere(there) });
  }

  /** Two things that belong at one place: `remote` by what others did, `local` by what was done here. Either of them may be looked at first. */
  #meet(remote: Entry, local: LocalEntry): Meeting {
    const known = this.#meetings.get(local.entry);
    if (known) return known;
    if (this.#found.has(remote.entry)) {
      // Another thing of this name is that one, or may be: this disk calls one of the two otherwise.
      this.#waiting.add(local.entry);
      return 'waits';
    }
    const meeting = this.#judgeMeeting(remote, local);
    this.#meetings.set(local.entry, meeting);
    if (meeting !== 'aside') this.#found.add(remote.entry);
    if (meeting === 'waits') this.#waiting.add(local.entry);
    return meeting;
  }

  #judgeMeeting(remote: Entry, local: LocalEntry): Meeting {
    const { kind } = this.#fates.of(local.entry);
    const isFound = (kind === 'new' || kind === 'remnant') && this.#view.local(remote.entry) === null;
    if (!isFound || remote.kind !== local.kind) return this.#moveAside(local);
    if (!this.#isReachable(local.entry)) return 'waits';
    if (local.kind === 'symlink' && local.target !== remote.target) return this.#moveAside(local);
    if (local.kind === 'file') {
      if (local.contentId === null) {
        this.#read(local.entry);
        return 'waits';
      }
      if (local.contentId !== remote.content?.contentId) {
        this.#conflict(remote, local);
        return 'one';
      }
    }
    this.#tree.push({ kind: 'adopt', entry: remote.entry, found: local.entry });
    // What was kept away with it comes now, also where this disk goes on to call it otherwise.
    this.look(remote.entry);
    if (this.#isImpossible(remote.entry)) this.#comeBelow(remote.entry);
    this.#comes.add(remote.entry);
    if (local.exec === remote.exec) this.#tree.push({ kind: 'agree', entry: remote.entry });
    else {
      this.#downUpdates.push({ kind: 'down_update', entry: remote.entry });
      this.#waiting.add(remote.entry);
    }
    return 'one';
  }

  #moveAside(local: LocalEntry): Meeting {
    const { entry, parent } = local;
    const needs: Need[] = [];
    this.#needPath(local, needs);
    const name = this.#places.copyName(parent, this.#view.refuses(local) ? nameHere(local) : local.name);
    const action = { kind: 'down_move', entry, parent, name, alias: null } as const;
    this.#down.set(entry, { entry, action, needs });
    this.#waiting.add(entry);
    return 'aside';
  }

  /** The remote version replaces the old path in the next plan, when the bytes here are safe. */
  #conflict(remote: Entry, local: LocalEntry): void {
    const copyName = this.#places.copyName(local.parent, local.name);
    this.#conflicts.push({ kind: 'conflict', entry: remote.entry, found: local.entry, parent: local.parent, copyName });
    this.#waiting.add(remote.entry).add(local.entry);
  }

  /** Files do not wait for a folder above that is on its way. */
  #needParentUp(parent: EntryId, isFolder: boolean, needs: Need[]): void {
    if (isFolder || !this.#view.remote(parent)) this.#need(this.#places.actsUpAt(parent), 'placed', needs);
  }

  #needParentDown(parent: EntryId, needs: Need[]): void {
    this.#need(this.#places.actsDownAt(parent), 'placed', needs);
  }

  /** False in a parked folder: nothing in it can be read or placed before that is back. */
  #isReachable(entry: EntryId): boolean {
    const above = this.#view.parkedAbove(entry);
    if (above !== null) this.look(above);
    return above === null;
  }

  /** The same for what must have a path to be moved or removed. */
  #needPath(local: LocalEntry, needs: Need[]): void {
    const above = local.parked ? null : this.#view.parkedAbove(local.parent);
    if (above !== null) this.#need(above, 'placed', needs);
  }

  #need(on: EntryId, what: Need['what'], needs: Need[]): void {
    this.look(on);
    needs.push({ on, what });
  }

  // ---- Waiting ----

  #read(entry: EntryId): void {
    this.#reads.set(entry, { kind: 'read', entry });
    this.#waiting.add(entry);
  }

  /** Whatever needs it waits. */
  #block(entry: EntryId): void {
    const node = { entry, action: null, needs: [] };
    if (!this.#up.has(entry)) this.#up.set(entry, node);
    if (!this.#down.has(entry)) this.#down.set(entry, node);
  }

  #remoteOf(entry: EntryId): Entry {
    return must(this.#view.remote(entry), 'its fate says that it is in remote');
  }

  #localOf(entry: EntryId): LocalEntry {
    return must(this.#view.local(entry), 'its fate says that it is in local');
  }
}

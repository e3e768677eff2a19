/** A device in memory: its disk, its trees, and an executor that carries plans out exactly as `core/plan.ts` words them. */
import assert from 'node:assert/strict';
import type { Entry, EntryKind } from '#core/entry.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type ContentId, type EntryId } from '#core/ids.ts';
import { must } from '#core/assert.ts';
import { EXACT_NAMES, nameFound, spotOf, type NameProfile } from '#core/name-profile.ts';
import {
  nameHere,
  type ConflictAction,
  type DownAction,
  type LocalEntry,
  type Plan,
  type SyncedEntry,
  type TreeAction,
  type TreesView,
  type UpAction,
} from '#core/plan.ts';
import { plan } from '#core/planner.ts';
import { applyChoices, deselect, isSelected, keep, select, type Choice, type ChoiceChange } from '#core/selection.ts';
import { MemoryTrees } from '#core/trees.ts';
import { describe, type ModelJournal, type ModelOperation, type ModelState } from './model-server.ts';

/** What chance decides while a plan is carried out. `fails` stands for a lost connection, a locked file, a full disk. */
export type Chance = {
  readonly fails: () => boolean;
  /** Out of `items`, to plan now. */
  readonly some: (items: readonly EntryId[]) => readonly EntryId[];
  readonly downFirst: () => boolean;
  /** It was done, and this device comes to know only later: the answer of a commit by settling, a change of its disk by looking again. */
  readonly unheard?: () => boolean;
  /** The same plan with independent actions in another order. */
  readonly reorder?: (made: Plan, trees: TreesView) => Plan;
};
export const CERTAIN: Chance = { fails: () => false, some: (items) => items, downFirst: () => false };

export type Made = {
  readonly kind: EntryKind;
  readonly content?: string;
  readonly target?: string;
  readonly exec?: boolean;
};

/** Where a case that failed is told, change by change and plan by plan. */
export const story: { tell: ((line: string) => void) | null } = { tell: null };

/** `unheard`: done, and not known here yet. */
type Outcome = 'done' | 'failed' | 'unheard' | 'refused';

/** Holds a plan to its word while it is carried out, until something in it was not done. */
class Side {
  readonly #client: ModelClient;
  #isWhole: boolean;

  constructor(client: ModelClient, isWhole: boolean) {
    this.#client = client;
    this.#isWhole = isWhole;
  }

  miss(outcome: Outcome): void {
    const why = this.#client.refusals.at(-1);
    // Only the server knows what lies in the trash.
    const isForeseen = outcome !== 'refused' || why?.startsWith('exists');
    assert.ok(isForeseen || !this.#isWhole, `an action is possible when its turn comes: ${why}`);
    this.#isWhole = false;
  }
}

export class ModelClient {
  readonly name: string;
  readonly trees: MemoryTrees;
  dirty = new Set<EntryId>();
  /** Bytes on the disk; `contentId` in the local tree is null where they were not read. */
  readonly bytes = new Map<EntryId, string>();
  readonly #server: ModelJournal;
  readonly #newId: () => EntryId;
  readonly #aliased = new Set<EntryId>();
  refusals: string[] = [];
  plans = 0;
  readonly #choices = new Map<EntryId, Choice>();
  /** Contents that people put on this disk, and those that they overwrote or deleted there, seeing them. */
  readonly written = new Set<string>();
  readonly destroyed = new Set<string>();
  /** What answers that were not heard will say when this device asks again. */
  #unheard: (() => void)[] = [];

  constructor(name: string, server: ModelJournal, newId: () => EntryId, names: NameProfile = EXACT_NAMES) {
    this.name = name;
    this.trees = new MemoryTrees(names);
    this.#server = server;
    this.#newId = newId;
    this.trees.wish = ({ entry }) => (this.isWanted(entry) ? null : 'not_selected');
  }

  // ---- What a person does ----

  make(parent: EntryId, name: string, made: Made, isRead = true): EntryId {
    assert.equal(this.trees.localAt(parent, name), null);
    const entry = this.#newId();
    this.#tell(
      `makes ${entry}: ${made.kind} ${made.content ?? made.target ?? ''} ${isRead ? '' : 'unread '}in ${parent} as ${name}`,
    );
    if (made.content !== undefined) this.#write(entry, made.content);
    this.#putLocal({
      entry,
      parent,
      ...this.#called(name),
      kind: made.kind,
      target: made.target ?? null,
      exec: made.exec ?? false,
      parked: false,
      contentId: made.content !== undefined && isRead ? (made.content as ContentId) : null,
    });
    this.dirty.add(entry);
    return entry;
  }

  edit(entry: EntryId, content: string, isRead = true): void {
    this.#tell(`edits ${entry}: ${content}${isRead ? '' : ' unread'}`);
    this.#destroy(entry);
    this.#write(entry, content);
    this.#putLocal({ ...this.#local(entry), contentId: isRead ? (content as ContentId) : null });
    this.dirty.add(entry);
  }

  touch(entry: EntryId): void {
    this.#tell(`touches ${entry}`);
    this.#putLocal({ ...this.#local(entry), contentId: null });
    this.dirty.add(entry);
  }

  change(entry: EntryId, change: { readonly exec?: boolean; readonly target?: string }): void {
    this.#tell(`changes ${entry}: ${JSON.stringify(change)}`);
    this.#putLocal({ ...this.#local(entry), ...change });
    this.dirty.add(entry);
  }

  move(entry: EntryId, parent: EntryId, name: string): void {
    this.#tell(`moves ${entry} to ${parent} as ${name}`);
    const there = this.trees.localAt(parent, name);
    assert.ok(!there || there.entry === entry, `${name} is taken`);
    this.#putLocal({ ...this.#local(entry), parent, ...this.#called(name) });
    this.dirty.add(entry);
  }

  /** To another folder, as it is called here. */
  drag(entry: EntryId, parent: EntryId): void {
    const row = this.#local(entry);
    assert.equal(this.trees.localAt(parent, nameHere(row)), null);
    this.#putLocal({ ...row, parent });
    this.dirty.add(entry);
  }

  /** What is called so on the disk, and what the disk shows of it. */
  #called(name: string): { readonly name: string; readonly alias: string | null } {
    const { names } = this.trees;
    const listed = names.forms === 'changed' ? name.normalize('NFD') : name;
    const found = nameFound(names, listed);
    return { name: found, alias: found === listed ? null : listed };
  }

  remove(entry: EntryId): void {
    this.#tell(`removes ${entry}`);
    for (const child of this.trees.localChildren(entry)) this.remove(child);
    this.#dropLocal(entry);
    this.#destroy(entry);
    this.bytes.delete(entry);
    this.dirty.add(entry);
  }

  /** Whether the person wants it on this device. */
  isWanted(entry: EntryId): boolean {
    return isSelected(this.#choices, entry, (at) => this.#parentOf(at));
  }

  deselect(entry: EntryId): void {
    this.#choose(deselect(this.#choices, entry, (at) => this.#parentOf(at)));
    this.#dirtyTree(entry);
    // What is new in it, or was moved to where it is, goes up, and then away with the rest.
    const walk = (folder: EntryId): void => {
      for (const child of this.trees.localChildren(folder)) {
        const local = this.#local(child);
        const remote = this.trees.remote(child);
        if (remote?.parent !== local.parent || remote.name !== local.name)
          this.#choose([[child, { self: false, below: false }]]);
        walk(child);
      }
    };
    walk(entry);
  }

  select(entry: EntryId): void {
    this.#choose(select(this.#choices, entry, (at) => this.#parentOf(at)));
    this.#dirtyTree(entry);
  }

  selectAll(): void {
    this.#choices.clear();
    this.dirtyAll();
  }

  #choose(changes: readonly ChoiceChange[]): void {
    applyChoices(this.#choices, changes);
    for (const [entry] of changes) this.dirty.add(entry);
  }

  /** Made or put here by the person, where nothing is selected: it stays. */
  #keep(entry: EntryId, below: boolean, isMade = false): void {
    if (isMade && this.#choices.has(entry)) return;
    this.#choose(keep(this.#choices, entry, (at) => this.#parentOf(at), below));
  }

  #parentOf(entry: EntryId): EntryId | null {
    return this.trees.remote(entry)?.parent ?? this.trees.local(entry)?.parent ?? null;
  }

  #goesRound(folder: EntryId, parent: EntryId): boolean {
    const passed = new Set([folder]);
    for (let at: EntryId | undefined = parent; at !== undefined; at = this.trees.remote(at)?.parent) {
      if (passed.has(at)) return true;
      passed.add(at);
    }
    return false;
  }

  #dirtyTree(entry: EntryId): void {
    for (const one of this.#remoteTree(entry)) this.dirty.add(one);
  }

  #dirtyAbsent(entry: EntryId): void {
    for (const one of this.#remoteTree(entry)) if (!this.trees.local(one)) this.dirty.add(one);
  }

  /** It may go round between two rows of one group. */
  #remoteTree(entry: EntryId, found = new Set<EntryId>()): ReadonlySet<EntryId> {
    if (found.has(entry)) return found;
    found.add(entry);
    for (const child of this.trees.remoteChildren(entry)) this.#remoteTree(child, found);
    return found;
  }

  #tell(line: string): void {
    story.tell?.(`${this.name} ${line}`);
  }

  #write(entry: EntryId, content: string): void {
    this.bytes.set(entry, content);
    this.written.add(content);
  }

  #destroy(entry: EntryId): void {
    const bytes = this.bytes.get(entry);
    if (bytes !== undefined) this.destroyed.add(bytes);
  }

  forgetEverything(): void {
    this.#tell('forgets its merge base');
    for (const { entry } of Array.from(this.trees.syncedRows.values())) this.trees.syncedRows.drop(entry);
    this.dirtyAll();
  }

  dirtyAll(): void {
    const { remoteRows, localRows, syncedRows } = this.trees;
    for (const tree of [remoteRows, localRows, syncedRows]) for (const row of tree.values()) this.dirty.add(row.entry);
  }

  // ---- One step of the engine ----

  pull(): void {
    this.#tell('pulls');
    this.#settle();
    const rows = this.#server.rows.slice(this.trees.appliedSeq);
    if (!rows.every(({ entry }) => this.#applyRow(entry))) this.#list();
    this.trees.appliedSeq = this.#server.head;
  }

  get isAtHead(): boolean {
    return this.trees.appliedSeq === this.#server.head && this.#unheard.length === 0;
  }

  /** Asks what became of commits whose answer was lost, before anything else. Rows come after it: the answer tells how far. */
  #settle(): void {
    for (const hear of this.#unheard.splice(0)) hear();
  }

  makePlan(dirty: Iterable<EntryId> = this.dirty): Plan {
    return plan(this.trees, dirty, { deviceName: this.name, date: '2030-01-02' });
  }

  /** False where nothing was to do. Rows that others made since the last pull stay unseen; own ones are applied at once. */
  step(chance: Chance = CERTAIN): boolean {
    if (this.#unheard.length > 0) this.pull();
    const taken = chance.some([...this.dirty]);
    if (taken.length === 0) return false;
    const made = this.makePlan(taken);
    if (taken.length > 1) {
      const other = this.makePlan([...taken].reverse());
      if (!isSamePlan(other, made)) assert.deepEqual(other, made, 'the same plan in whatever order the set is told');
    }
    this.plans++;
    for (const entry of taken) this.dirty.delete(entry);
    const acts = [made.reads, made.tree, made.conflicts, made.up, made.down].some((actions) => actions.length > 0);
    assert.ok(acts || made.waiting.length === 0, `waits for nothing: ${made.waiting}`);
    for (const entry of made.waiting) this.dirty.add(entry);
    this.#carryOut(chance.reorder ? chance.reorder(made, this.trees) : made, chance);
    return acts;
  }

  #carryOut(made: Plan, chance: Chance): void {
    const seen = new Map([...this.trees.localRows.values()].map((row) => [row.entry, row]));
    // Where all before it on its side was done, an action is possible in the trees that the plan was made from; up, where they are still
    // what the server has.
    const up = new Side(this, this.isAtHead);
    const down = new Side(this, true);
    const attempt = (entries: readonly EntryId[], sides: readonly Side[], act: () => Outcome): void => {
      const outcome = chance.fails() ? 'failed' : act();
      if (outcome !== 'done') this.#tell(`${outcome}: ${entries}`);
      if (outcome === 'done') return;
      for (const entry of entries) this.dirty.add(entry);
      for (const side of sides) side.miss(outcome);
    };
    if (story.tell) this.#tell(`plans at ${this.trees.appliedSeq} ${JSON.stringify(made, null, 1)}`);
    for (const action of made.tree) this.#onTrees(action);
    for (const { entry } of made.reads) {
      if (!chance.fails()) this.#read(entry);
      this.dirty.add(entry);
    }
    for (const action of made.conflicts) attempt([action.entry], [up, down], () => this.#conflict(action, chance));
    const { head } = this.#server;
    const goUp = () => {
      for (const group of made.up)
        attempt(
          group.map(({ entry }) => entry),
          [up],
          () => this.#send(group, chance),
        );
    };
    const goDown = () => {
      for (const action of made.down) attempt([action.entry], [down], () => this.#onDisk(action, seen, chance));
    };
    const steps = chance.downFirst() ? [goDown, goUp] : [goUp, goDown];
    for (const step of steps) step();
    // Rows up to the head that a commit answered with are applied before the next plan: what was sent stands in remote without what others
    // did before it.
    if (this.#server.head > head && this.#unheard.length === 0) this.pull();
  }

  // ---- Trees ----

  /** False where rows alone do not suffice: what came back from the trash says nothing of what is in it. */
  #applyRow(row: Entry): boolean {
    const known = this.trees.remote(row.entry);
    if (known && known.seq > row.seq) return true;
    if (row.parent === TRASH_ENTRY) this.#dropRemote(row.entry);
    else if (!known || !isSameRow(known, row)) {
      const isBack = !known && row.kind === 'folder' && row.revision !== row.seq;
      if (isBack || (!known && row.parent !== ROOT_ENTRY && !this.trees.remote(row.parent))) return false;
      this.trees.remoteRows.put(row);
      this.dirty.add(row.entry);
      if (known && known.placed !== row.placed) this.#dirtyAbsent(row.entry);
    }
    return true;
  }

  #list(): void {
    const live = new Map(this.#server.live().map((row) => [row.entry, row]));
    for (const row of Array.from(this.trees.remoteRows.values()))
      if (!live.has(row.entry)) {
        this.trees.remoteRows.drop(row.entry);
        this.dirty.add(row.entry);
      }
    for (const row of live.values()) {
      const known = this.trees.remote(row.entry);
      if (known?.seq !== row.seq) this.dirty.add(row.entry);
      this.trees.remoteRows.put(row);
    }
  }

  #dropRemote(entry: EntryId): void {
    for (const one of this.#remoteTree(entry)) {
      this.trees.remoteRows.drop(one);
      this.dirty.add(one);
    }
  }

  #onTrees(action: TreeAction): void {
    const { remoteRows, syncedRows } = this.trees;
    switch (action.kind) {
      case 'agree': {
        const remote = remoteRows.get(action.entry);
        if (remote) syncedRows.put(baseOf(remote));
        else syncedRows.drop(action.entry);
        return;
      }
      case 'adopt':
        this.#becomes(action.found, action.entry);
        this.#keep(action.entry, false);
        return;
      case 'renew':
        syncedRows.drop(action.entry);
        this.#relabel(action.entry, this.#newId());
        return;
      case 'absent':
        syncedRows.put({ ...baseOf(remoteRows.get(action.entry)!), presence: action.why });
        return;
      case 'withdraw': {
        const { parent, name } = this.#local(action.entry);
        const base = syncedRows.get(action.entry) ?? { ...baseOf(remoteRows.get(action.entry)!), parent, name };
        syncedRows.put({ ...base, presence: 'not_selected' });
        return;
      }
      case 'forget':
        syncedRows.drop(action.entry);
        this.dirty.add(action.entry);
        return;
    }
  }

  /** What was found is an entry of the space: its name is that entry's, whatever the disk shows of it. */
  #becomes(found: EntryId, entry: EntryId): void {
    this.#relabel(found, entry);
    const { name } = this.trees.remote(entry)!;
    const row = this.#local(entry);
    if (row.name === name) return;
    const here = nameHere(row);
    // Renamed meanwhile: that is for the next plan.
    if (spotOf(this.trees.names, here) !== spotOf(this.trees.names, name)) return;
    this.#putLocal({ ...row, name, alias: here === name ? null : here });
  }

  #relabel(from: EntryId, to: EntryId): void {
    const row = this.#local(from);
    assert.equal(this.trees.local(to), null, 'an id is on the disk once');
    this.#dropLocal(from);
    this.#putLocal({ ...row, entry: to });
    for (const child of this.trees.localChildren(from)) {
      this.#putLocal({ ...this.#local(child), parent: to });
      this.dirty.add(child);
    }
    const bytes = this.bytes.get(from);
    if (bytes !== undefined) this.bytes.set(to, bytes);
    this.bytes.delete(from);
    this.dirty.add(from).add(to);
  }

  #read(entry: EntryId): void {
    this.#putLocal({ ...this.#local(entry), contentId: this.bytes.get(entry)! as ContentId });
  }

  // ---- Up ----

  #send(group: readonly UpAction[], chance: Chance): Outcome {
    const operations = group.flatMap((action) => this.#operation(action) ?? []);
    if (operations.length === 0) return 'done';
    const why = this.#server.commit(this.name, operations);
    if (why !== null) {
      this.refusals.push(`${why}: ${JSON.stringify(group)}`);
      for (const { kind, entry } of why === 'exists' ? group : [])
        if (kind === 'up_create') this.#relabel(entry, this.#newId());
      return 'refused';
    }
    if (!chance.unheard?.()) for (const action of group) this.#sent(action);
    else {
      // What is heard late is what the server had then, whatever it has by now.
      const rows = group.map(({ entry }) => must(this.#server.entries.get(entry), 'a row was made'));
      this.#unheard.push(() => group.forEach((action, index) => this.#sent(action, rows[index])));
      return 'unheard';
    }
    return 'done';
  }

  #operation(action: UpAction): ModelOperation | null {
    const { entry } = action;
    switch (action.kind) {
      case 'up_create': {
        const { parent, name } = action;
        return { kind: 'create', entry, parent, name, state: this.#stateHere(entry) };
      }
      case 'up_update': {
        const state = this.#stateHere(entry);
        const base = this.trees.synced(entry);
        const isSame =
          base && base.contentId === state.content && base.exec === state.exec && base.target === state.target;
        if (isSame) this.dirty.add(entry);
        return isSame ? null : { kind: 'update', entry, base: action.base, state };
      }
      case 'up_move':
        return { kind: 'move', entry, base: action.base, parent: action.parent, name: action.name };
      case 'up_delete':
        return { kind: 'delete', entry, basis: action.basis };
    }
  }

  #stateHere(entry: EntryId): ModelState {
    if (this.#local(entry).kind === 'file') this.#read(entry);
    const { kind, contentId, target, exec } = this.#local(entry);
    return { kind, content: contentId, target, exec };
  }

  /** What was sent is the base now, in the aspect that was sent; where there was none, in all. A delete is heard of from the journal. */
  #sent(action: UpAction, row = this.#server.entries.get(action.entry)!): void {
    const { entry } = action;
    const { remoteRows, syncedRows } = this.trees;
    const { parent, name, placed, content, target, exec, revision, seq } = row;
    const remote = remoteRows.get(entry);
    const base = syncedRows.get(entry);
    if (action.kind === 'up_create') {
      remoteRows.put(row);
      syncedRows.put(baseOf(row));
      this.#keep(entry, true, true);
      if (!this.isWanted(entry)) this.dirty.add(entry);
    } else if (action.kind === 'up_move') {
      // Others' rows made room for it, and are yet to come.
      if (this.#goesRound(entry, parent)) return;
      if (remote) remoteRows.put({ ...remote, parent, name, placed, seq });
      if (base) syncedRows.put({ ...base, parent, name, placed });
      this.#keep(entry, true, true);
      this.#dirtyAbsent(entry);
    } else if (action.kind === 'up_update') {
      if (remote) remoteRows.put({ ...remote, content, target, exec, revision, seq });
      if (base)
        syncedRows.put({ ...base, target, exec, revision, contentId: content?.contentId ?? null, presence: 'here' });
    }
  }

  #conflict({ entry, found, parent, copyName }: ConflictAction, chance: Chance): Outcome {
    const copy = found === entry ? this.#newId() : found;
    const local = this.#local(found);
    const why = this.#server.commit(this.name, [
      { kind: 'create', entry: copy, parent, name: copyName, state: this.#stateHere(found) },
    ]);
    if (why !== null) {
      this.refusals.push(`${why}: conflict`);
      if (why === 'exists') this.#relabel(found, this.#newId());
      return 'refused';
    }
    const row = this.#server.entries.get(copy)!;
    if (chance.unheard?.()) {
      this.#unheard.push(() => this.#copied(entry, found, row));
      return 'unheard';
    }
    this.#copied(entry, found, row);
    // Its second name, so that no bytes cross the network again. Where that fails it comes down like any other file.
    if (this.trees.localAt(parent, copyName) !== null) return 'done';
    this.#putLocal({ ...local, entry: copy, ...this.#called(copyName), name: copyName });
    this.bytes.set(copy, local.contentId!);
    this.trees.syncedRows.put(baseOf(row));
    this.#keep(copy, true, true);
    return 'done';
  }

  /** The copy is safe on the server: the old path may be replaced, where it still holds the bytes that were copied. */
  #copied(entry: EntryId, found: EntryId, row: Entry): void {
    const { contentId } = row.content!;
    if (this.trees.local(found) && found !== entry) this.#becomes(found, entry);
    this.trees.remoteRows.put(row);
    this.dirty.add(row.entry).add(entry);
    const remote = this.trees.remote(entry);
    const base = this.trees.synced(entry) ?? (remote && baseOf(remote));
    if (base) this.trees.syncedRows.put({ ...base, contentId, exec: row.exec, presence: 'here' });
    if (found !== entry) this.#keep(entry, false);
  }

  // ---- Down ----

  #onDisk(action: DownAction, seen: ReadonlyMap<EntryId, LocalEntry>, chance: Chance): Outcome {
    const { entry } = action;
    const unheard = () => action.kind !== 'down_park' && chance.unheard?.() === true;
    const stale = (why: string): Outcome => {
      this.refusals.push(`${why}: ${JSON.stringify(action)}`);
      return 'refused';
    };
    if (action.kind === 'down_create' || action.kind === 'down_move') {
      if (!this.#isReachable(action.parent)) return stale('no such folder');
      const there = this.trees.localAt(action.parent, nameHere(action));
      if (there && (action.kind === 'down_create' || there.entry !== entry)) return stale('not free');
      assert.ok(!this.trees.refuses(action.parent, nameHere(action)), `${nameHere(action)} cannot be made here`);
    }
    if (action.kind === 'down_create') {
      if (this.trees.local(entry)) return stale('is there');
      const remote = this.trees.remote(entry);
      if (!remote) return stale('is gone');
      if (unheard()) return this.#found(remote, action);
      this.#place(remote, action);
      this.trees.syncedRows.put(baseOf(remote));
      return 'done';
    }
    const local = this.trees.local(entry);
    if (!local) return stale('not there');
    const was = seen.get(entry);
    const isRead = was?.contentId === null || was?.contentId === local.contentId;
    if (was && (!isRead || was.exec !== local.exec)) return stale('not as it was');
    if (!local.parked && !this.#isReachable(local.parent)) return stale('not reachable');
    const base = this.trees.synced(entry);
    const outcome = this.#change(action, local, stale);
    if (outcome !== 'done' || !unheard()) return outcome;
    // The disk is as it became, as a scan finds it; the merge base is what it was.
    if (base) this.trees.syncedRows.put(base);
    if (action.kind === 'down_update') this.touch(entry);
    return 'unheard';
  }

  /** Placed before a crash and not written down: a scan finds something new there. */
  #found(remote: Entry, action: Extract<DownAction, { kind: 'down_create' }>): Outcome {
    const { kind, target, exec, content } = remote;
    const entry = this.#newId();
    if (content) this.bytes.set(entry, content.contentId);
    const { parent } = action;
    const called = this.#called(nameHere(action));
    this.#putLocal({ entry, parent, ...called, kind, contentId: null, target, exec, parked: false });
    this.dirty.add(entry);
    return 'unheard';
  }

  #change(
    action: Exclude<DownAction, { kind: 'down_create' }>,
    local: LocalEntry,
    stale: (why: string) => Outcome,
  ): Outcome {
    const { entry } = action;
    const remote = this.trees.remote(entry);
    const base = this.trees.synced(entry);
    switch (action.kind) {
      case 'down_park':
        this.#putLocal({ ...local, parked: true });
        return 'done';
      case 'down_move': {
        for (let at = action.parent; at !== ROOT_ENTRY; at = this.#local(at).parent)
          if (at === entry) return stale('into itself');
        this.#putLocal({ ...local, ...this.#shown(action), parent: action.parent, parked: false });
        const isRemote = remote?.parent === action.parent && remote.name === action.name;
        if (base && remote && isRemote)
          this.trees.syncedRows.put({ ...base, parent: remote.parent, name: remote.name, placed: remote.placed });
        return 'done';
      }
      case 'down_update':
        if (!remote) return stale('is gone');
        if (local.parked) return stale('parked');
        this.#place(remote, local);
        if (base)
          this.trees.syncedRows.put({ ...baseOf(remote), parent: base.parent, name: base.name, placed: base.placed });
        return 'done';
      case 'down_remove':
        if (this.trees.localChildren(entry).some((child) => !this.#local(child).parked)) return stale('not empty');
        if (local.parked) return stale('parked');
        this.#dropLocal(entry);
        this.bytes.delete(entry);
        if (!remote) this.trees.syncedRows.drop(entry);
        return 'done';
    }
  }

  #place(remote: Entry, place: Pick<LocalEntry, 'parent' | 'name' | 'alias'>): void {
    const { entry, kind, target, exec } = remote;
    const contentId = remote.content?.contentId ?? null;
    if (contentId !== null) this.bytes.set(entry, contentId);
    this.#putLocal({
      entry,
      parent: place.parent,
      ...this.#shown(place),
      kind,
      contentId,
      target,
      exec,
      parked: false,
    });
  }

  /** The name of what was put there, and what the disk shows of it. */
  #shown(place: Pick<LocalEntry, 'name' | 'alias'>): Pick<LocalEntry, 'name' | 'alias'> {
    const here = nameHere(place);
    const listed = this.trees.names.forms === 'changed' ? here.normalize('NFD') : here;
    return { name: place.name, alias: listed === place.name ? null : listed };
  }

  /** Whether a person sees it: nothing that is parked, nor in what is. */
  isSeen(row: LocalEntry): boolean {
    return !row.parked && this.#isReachable(row.parent);
  }

  #isReachable(folder: EntryId): boolean {
    if (folder === ROOT_ENTRY) return true;
    const row = this.trees.local(folder);
    return row !== null && row.kind === 'folder' && !row.parked && this.#isReachable(row.parent);
  }

  #local(entry: EntryId): LocalEntry {
    const row = this.trees.local(entry);
    assert.ok(row, `${entry} is on the disk`);
    return row;
  }

  #putLocal(row: LocalEntry): void {
    const before = this.trees.local(row.entry);
    this.trees.localRows.put(row);
    if (row.alias !== null) this.#aliased.add(row.entry);
    else this.#aliased.delete(row.entry);
    if (before) this.#freed(before);
    else if (row.kind === 'folder') this.#came(row.entry);
  }

  #dropLocal(entry: EntryId): void {
    const before = this.#local(entry);
    this.trees.localRows.drop(entry);
    this.#aliased.delete(entry);
    this.#freed(before);
  }

  /** Whoever has an alias for the sake of what was there can have its name. */
  #freed({ parent, name, alias }: LocalEntry): void {
    const { names } = this.trees;
    const spot = spotOf(names, alias ?? name);
    for (const entry of this.#aliased) {
      const row = this.#local(entry);
      if (row.parent === parent && spotOf(names, row.name) === spot) this.dirty.add(entry);
    }
  }

  /** What belongs into it and is here stayed elsewhere. */
  #came(folder: EntryId): void {
    for (const child of this.trees.remoteChildren(folder)) {
      const row = this.trees.local(child);
      if (row && row.parent !== folder) this.dirty.add(child);
    }
  }

  /** The same device on another journal: its disk and its trees, for a case to begin with. */
  copy(server: ModelJournal, newId: () => EntryId): ModelClient {
    const copy = new ModelClient(this.name, server, newId, this.trees.names);
    for (const row of this.trees.remoteRows.values()) copy.trees.remoteRows.put(row);
    for (const row of this.trees.localRows.values()) copy.trees.localRows.put(row);
    for (const row of this.trees.syncedRows.values()) copy.trees.syncedRows.put(row);
    copy.trees.appliedSeq = this.trees.appliedSeq;
    for (const entry of this.dirty) copy.dirty.add(entry);
    for (const [entry, bytes] of this.bytes) copy.bytes.set(entry, bytes);
    for (const content of this.written) copy.written.add(content);
    for (const content of this.destroyed) copy.destroyed.add(content);
    return copy;
  }

  /**
   * `path -> what is there` by the names of the space. `(taken)`: somebody gave it a name that another thing has, and that is free on this
   * disk only because that thing is here under an alias.
   */
  picture(shows: (entry: EntryId) => boolean = () => true): Map<string, string> {
    this.#checkDisk();
    const picture = new Map<string, string>();
    const walk = (parent: EntryId, path: string): void => {
      for (const child of this.trees.localChildren(parent)) {
        if (!shows(child)) continue;
        const row = this.#local(child);
        const named = `${path}/${row.name}`;
        const at = row.parked ? `${named} ${child} (parked)` : picture.has(named) ? `${named} ${child} (taken)` : named;
        picture.set(at, describe(row.kind, this.bytes.get(child) ?? null, row.target, row.exec));
        walk(child, at);
      }
    };
    walk(ROOT_ENTRY, '');
    return picture;
  }

  /** No two things have one spot. */
  #checkDisk(): void {
    const spots = new Set<string>();
    for (const row of this.trees.localRows.values()) {
      if (row.parked) continue;
      const spot = `${row.parent}/${spotOf(this.trees.names, nameHere(row))}`;
      assert.ok(!spots.has(spot), `two things at ${nameHere(row)}`);
      spots.add(spot);
    }
  }

  /** Entries of the space that this disk cannot hold. */
  absent(): EntryId[] {
    return [...this.trees.syncedRows.values()]
      .filter((row) => row.presence === 'name_impossible')
      .map((row) => row.entry);
  }

  /** What each thing is called on this disk. */
  shown(): string[] {
    const path = (entry: EntryId): string =>
      entry === ROOT_ENTRY ? '' : `${path(this.#local(entry).parent)}/${nameHere(this.#local(entry))}`;
    return [...this.trees.localRows.values()].map(({ entry }) => path(entry)).sort();
  }

  at(path: string): EntryId {
    return path
      .split('/')
      .filter((name) => name !== '')
      .reduce((parent: EntryId, name) => {
        const row = this.trees.localAt(parent, name);
        assert.ok(row, `nothing at ${path}`);
        return row.entry;
      }, ROOT_ENTRY);
  }
}

function isSamePlan(left: Plan, right: Plan): boolean {
  return (
    isSameList(left.tree, right.tree, isSameAction) &&
    isSameList(left.reads, right.reads, isSameAction) &&
    isSameList(left.conflicts, right.conflicts, isSameAction) &&
    isSameList(left.up, right.up, (one, other) => isSameList(one, other, isSameAction)) &&
    isSameList(left.down, right.down, isSameAction) &&
    isSameList(left.waiting, right.waiting, Object.is)
  );
}

function isSameList<Item>(
  left: readonly Item[],
  right: readonly Item[],
  isSame: (one: Item, other: Item) => boolean,
): boolean {
  return left.length === right.length && left.every((item, index) => isSame(item, right[index] as Item));
}

/** Actions are flat: names and values in one order, as the planner makes them. */
function isSameAction(one: object, other: object): boolean {
  const values = new Map<string, unknown>(Object.entries(other));
  const entries = Object.entries(one);
  return entries.length === values.size && entries.every(([key, value]) => values.get(key) === value);
}

function isSameRow(left: Entry, right: Entry): boolean {
  return (
    left.seq === right.seq &&
    left.revision === right.revision &&
    left.placed === right.placed &&
    left.parent === right.parent &&
    left.name === right.name &&
    left.content?.contentId === right.content?.contentId &&
    left.target === right.target &&
    left.exec === right.exec
  );
}

function baseOf(remote: Entry): SyncedEntry {
  const { entry, parent, name, kind, target, exec, revision, placed } = remote;
  return {
    entry,
    parent,
    name,
    kind,
    target,
    exec,
    revision,
    placed,
    contentId: remote.content?.contentId ?? null,
    presence: 'here',
  };
}

/**
 * Carries out what a plan has for this disk. Every step is judged by the folder's door against the stat that the plan was made from;
 * what is there instead is looked at and planned afresh. Before files are placed it is durably written down which, so that after a power
 * cut torn bytes of ours are never taken for somebody's edit; only what was flushed becomes a merge base.
 */
import type { Entry } from '#core/entry.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { nameHere, type DownAction } from '#core/plan.ts';
import type { FolderStep, Stat, StepOutcome } from '#world/folder.ts';
import type { Device } from './device.ts';
import { FetchAhead } from './fetch-ahead.ts';
import { forgetLocal } from './gone.ts';
import type { LargeDownloads } from './large-downloads.ts';
import type { Fetched } from './manifests.ts';
import type { Observer } from './observer.ts';
import { SMALL_BYTES_MAX } from './reader.ts';
import { directoryOf } from './path.ts';
import { placedText } from './take-placed.ts';
import { isRacyPlaced, parseStat } from './stat-text.ts';
import type { Called } from './trees.ts';
import type { UnsureFiles } from './unsure-files.ts';

const STEPS_MAX = 1000;

/** `name`: what the disk calls it, or is to. */
type Place = { readonly parent: EntryId; readonly name: string };

/** A step on the disk, and what it means to the trees once it is done. `place`: what it asks for, where it makes something. */
type Step = {
  readonly entry: EntryId;
  readonly path: string;
  readonly place?: Place;
  readonly step: FolderStep;
  readonly done: (stat: Stat | null) => void;
};

export class Downloader {
  readonly #device: Device;
  readonly #observer: Observer;
  readonly #large: LargeDownloads;
  readonly #unsure: UnsureFiles;

  constructor(device: Device, observer: Observer, large: LargeDownloads, unsure: UnsureFiles) {
    this.#device = device;
    this.#observer = observer;
    this.#large = large;
    this.#unsure = unsure;
  }

  /** `again`: entries of which some step was not done. Rejects with outages; what was done until then is in the trees. */
  async carryOut(actions: readonly DownAction[], again: Set<EntryId>): Promise<void> {
    const run = new DownRun(this.#device, this.#observer, this.#large, again);
    await run.carryOut(await this.#unsure.leaveOut(actions, again));
  }
}

class DownRun {
  readonly #device: Device;
  readonly #observer: Observer;
  readonly #large: LargeDownloads;
  readonly #again: Set<EntryId>;
  #steps: Step[] = [];
  readonly #inSteps = new Set<EntryId>();
  /** Paths of folders that the waiting steps will make. */
  readonly #newPaths = new Map<EntryId, string>();
  /** What both sides agree on once the disk has it for good. */
  #agreed: (() => void)[] = [];
  /** Written down as being placed. */
  #placing: { readonly path: string; readonly entry: EntryId }[] = [];
  /** Nobody heard what the disk made of their steps. */
  readonly #unheard = new Set<EntryId>();
  /** Folders that could not be removed because something is in them. */
  #leftovers: { readonly entry: EntryId; readonly path: string }[] = [];
  /** Places that something has which may be in no tree. */
  #taken: { readonly path: string; readonly place: Place }[] = [];

  constructor(device: Device, observer: Observer, large: LargeDownloads, again: Set<EntryId>) {
    this.#device = device;
    this.#observer = observer;
    this.#large = large;
    this.#again = again;
  }

  async carryOut(actions: readonly DownAction[]): Promise<void> {
    const { line, space, signal } = this.#device;
    const small = new Map<DownAction, Entry>();
    for (const action of actions) {
      const remote = this.#smallContent(action);
      if (remote) small.set(action, remote);
    }
    const ahead = new FetchAhead(line, space, [...small.values()], signal);
    this.#writeDownPlaces(actions);
    const fetched = new Map<string, Fetched>();
    let chunk = 0;
    let left = 0;
    try {
      for (const action of actions) {
        if (small.has(action)) {
          if (left === 0) {
            await this.#apply();
            fetched.clear();
            for (const [id, one] of await ahead.take(chunk)) fetched.set(id, one);
            left = ahead.chunks[chunk]?.length ?? 0;
            chunk++;
          }
          left--;
        }
        if (this.#inSteps.has(action.entry) || this.#steps.length >= STEPS_MAX) await this.#apply();
        await this.#add(action, fetched);
      }
      await this.#apply();
    } catch (error) {
      await this.#settle();
      throw error;
    }
    await this.#settle();
  }

  /** The remote state of what this action brings as a small file's bytes. */
  #smallContent(action: DownAction): Entry | null {
    if (action.kind !== 'down_create' && action.kind !== 'down_update') return null;
    const remote = this.#device.trees.remote(action.entry);
    if (remote?.kind !== 'file' || !remote.content || remote.content.size > SMALL_BYTES_MAX) return null;
    if (action.kind === 'down_update' && this.#onlyExec(remote)) return null;
    return remote;
  }

  #onlyExec(remote: Entry): boolean {
    return this.#device.trees.local(remote.entry)?.contentId === remote.content?.contentId;
  }

  #writeDownPlaces(actions: readonly DownAction[]): void {
    const { state, trees } = this.#device;
    const placing = state.sql.prepare('INSERT OR REPLACE INTO placing VALUES (?, ?, ?, ?, ?)');
    const rows: (readonly [string, EntryId, string, number, string])[] = [];
    const places = new Map<EntryId, Place>();
    const names = new Map<EntryId, string>();
    for (const action of actions) {
      if (!('parent' in action)) continue;
      places.set(action.entry, { parent: action.parent, name: nameHere(action) });
      names.set(action.entry, action.name);
    }
    // What is placed, or a folder above, may move first, or fail to: where all goes well comes last, and has the last word.
    const after = this.#pathsOnce((entry) => places.get(entry) ?? this.#placeNow(entry));
    const before = this.#pathsOnce((entry) => this.#placeNow(entry) ?? places.get(entry) ?? null);
    for (const action of actions) {
      if (action.kind !== 'down_create' && action.kind !== 'down_update') continue;
      const remote = trees.remote(action.entry);
      const placed = remote && placedText(remote);
      if (!placed) continue;
      const { entry, mtimeUs } = remote;
      const nameNow = trees.local(entry)?.name ?? remote.name;
      const nameThen = names.get(entry) ?? nameNow;
      const [then, now] = [after(entry), before(entry)];
      if (then !== null) rows.push([then, entry, placed, mtimeUs, nameThen]);
      if (now !== null && now !== then) rows.unshift([now, entry, placed, mtimeUs, nameNow]);
    }
    if (rows.length === 0) return;
    state.durably(() => {
      for (const row of rows) placing.run(...row);
    });
    this.#placing = rows.map(([path, entry]) => ({ path, entry }));
  }

  #placeNow(entry: EntryId): Place | null {
    const local = this.#device.trees.local(entry);
    return local && { parent: local.parent, name: nameHere(local) };
  }

  /** Paths as they are where everything lies at its `placeOf`. */
  #pathsOnce(placeOf: (entry: EntryId) => Place | null): (entry: EntryId) => string | null {
    const folders = new Map<EntryId, string | null>([[ROOT_ENTRY, '']]);
    const path = (entry: EntryId, depth: number): string | null => {
      const place = depth > limits.treeDepthMax ? null : placeOf(entry);
      if (!place) return null;
      const known = folders.get(place.parent);
      const above = known === undefined ? path(place.parent, depth + 1) : known;
      folders.set(place.parent, above);
      if (above === null) return null;
      return above === '' ? place.name : `${above}/${place.name}`;
    };
    return (entry) => path(entry, 0);
  }

  #childPath(parent: EntryId, name: string, paths: ReadonlyMap<EntryId, string>): string | null {
    const above = paths.get(parent) ?? this.#device.trees.localPath(parent);
    if (above === null) return null;
    return above === '' ? name : `${above}/${name}`;
  }

  async #add(action: DownAction, fetched: ReadonlyMap<string, Fetched>): Promise<void> {
    const { trees } = this.#device;
    const remote = trees.remote(action.entry);
    const local = trees.local(action.entry);
    if (action.kind === 'down_create') {
      const path = this.#childPath(action.parent, nameHere(action), this.#newPaths);
      if (!remote || path === null) this.#again.add(action.entry);
      else this.#addCreate(action, path, remote, fetched);
      return;
    }
    const path = trees.localPath(action.entry);
    if (!local || (path === null && !local.parked)) {
      this.#again.add(action.entry);
      return;
    }
    const expect = parseStat(local.stat);
    switch (action.kind) {
      case 'down_update':
        if (remote && path !== null)
          this.#addUpdate({ path, place: { parent: local.parent, name: nameHere(local) } }, remote, expect, fetched);
        else this.#again.add(action.entry);
        return;
      case 'down_move':
        return await this.#addMove(action, path, expect);
      case 'down_remove':
        if (path !== null) this.#addRemove(action.entry, path, expect);
        return;
      default:
        return await this.#park(action.entry, path ?? '', expect);
    }
  }

  #addCreate(
    action: Extract<DownAction, { kind: 'down_create' }>,
    path: string,
    remote: Entry,
    fetched: ReadonlyMap<string, Fetched>,
  ): void {
    const { trees } = this.#device;
    const { parent, name, alias } = action;
    const { entry, kind, target } = remote;
    const place = { parent, name: nameHere(action) };
    const made = (stat: Stat | null, contentId: Entry['content'] = null) => {
      if (!stat) return;
      const exec = trees.isExec(stat, remote.exec);
      const bytes = contentId?.contentId ?? null;
      const row = { entry, parent, name, alias, kind, contentId: bytes, target, exec };
      trees.putLocal(row, stat, isRacyPlaced(stat));
      this.#agreed.push(() => this.#agree(remote));
    };
    if (kind === 'folder') {
      this.#newPaths.set(entry, path);
      const done = (stat: Stat | null) => {
        made(stat);
        this.#observer.list(path);
      };
      this.#push({ entry, path, place, step: { kind: 'make_folder', path }, done });
    } else if (kind === 'symlink' && target !== null)
      this.#push({ entry, path, place, step: { kind: 'make_symlink', path, target }, done: made });
    else if (kind === 'file')
      this.#addPlace({ path, place }, remote, null, fetched, (stat) => made(stat, remote.content));
    else this.#again.add(entry);
  }

  #addUpdate(
    at: { readonly path: string; readonly place: Place },
    remote: Entry,
    expect: Stat,
    fetched: ReadonlyMap<string, Fetched>,
  ): void {
    const { trees } = this.#device;
    const { entry, target } = remote;
    const { path } = at;
    const updated = (stat: Stat | null) => {
      const row = trees.local(entry);
      if (!row || !stat) return;
      const contentId = remote.content?.contentId ?? null;
      const exec = trees.isExec(stat, remote.exec);
      trees.putLocal({ ...row, contentId, target, exec }, stat, isRacyPlaced(stat));
      this.#agreed.push(() => this.#agree(remote));
    };
    if (remote.kind === 'symlink' && target !== null) {
      this.#push({ entry, path, step: { kind: 'remove', path, expect }, done: () => {} });
      this.#push({ entry, ...at, step: { kind: 'make_symlink', path, target }, done: updated });
    } else if (this.#onlyExec(remote)) {
      this.#push({ entry, path, step: { kind: 'set_exec', path, expect, exec: remote.exec }, done: updated });
    } else this.#addPlace({ path }, remote, expect, fetched, updated);
  }

  #addPlace(
    at: Pick<Step, 'path' | 'place'>,
    remote: Entry,
    expect: Stat | null,
    fetched: ReadonlyMap<string, Fetched>,
    done: (stat: Stat | null) => void,
  ): void {
    const { deferrals, trees } = this.#device;
    const { path } = at;
    const { entry, content, mtimeUs, exec } = remote;
    if (!content) return;
    const place = (manifest: Uint8Array, bytes: Extract<FolderStep, { kind: 'place' }>['bytes']) =>
      this.#push({
        ...at,
        entry,
        step: { kind: 'place', path, expect, manifest, contentId: content.contentId, bytes, mtimeUs, exec },
        done,
      });
    if (content.size > SMALL_BYTES_MAX) {
      const staged = this.#large.staged(entry, content.manifestId);
      if (staged) return place(staged.manifest, { staged: staged.stage });
      this.#again.add(entry);
      this.#large.begin(remote);
      return;
    }
    const got = fetched.get(content.manifestId);
    if (got?.kind === 'found' && got.blocks) return place(got.manifest, got.blocks);
    this.#again.add(entry);
    if (got?.kind === 'failed') deferrals.failed(entry, trees.pathForPeople(entry), got.error.code, got.error.message);
    else deferrals.retry(entry);
  }

  async #addMove(action: Extract<DownAction, { kind: 'down_move' }>, path: string | null, expect: Stat): Promise<void> {
    const { trees, state, ignoring } = this.#device;
    const { entry, parent, name } = action;
    const place = { parent, name: nameHere(action) };
    const slot = trees.local(entry)?.slot ?? null;
    if (this.#newPaths.has(parent)) await this.#apply();
    const to = trees.pathIn(parent, place.name);
    if (to === null) {
      this.#again.add(entry);
      return;
    }
    if (to === path && slot === null) return await this.#rename(entry, action);
    const done = (stat: Stat | null) => {
      trees.moveLocal(entry, parent, action);
      if (stat) trees.setLocalStat(entry, stat);
      if (slot !== null) state.sql.prepare('DELETE FROM parking WHERE slot = ?').run(slot);
      const remote = trees.remote(entry);
      const isPlace = remote?.parent === parent && remote.name === name;
      if (remote && isPlace) this.#agreed.push(() => trees.moveSynced(entry, parent, name, remote.placed));
      if (expect.kind === 'folder') this.#observer.folderMoved(path ?? to, to);
      // Ignored under its new name it is let go.
      if (ignoring.isIgnored('local', { parent, name }, expect.kind === 'folder')) this.#observer.lookAt(to);
    };
    const step: FolderStep =
      slot !== null ? { kind: 'unpark', slot, path: to } : { kind: 'move', from: path ?? '', expect, to };
    this.#push({ entry, path: to, place, step, done });
    // Paths below a folder, and of whoever takes the free place, are those of the trees: they must know of it first.
    if (expect.kind === 'folder') await this.#apply();
  }

  /** What the space calls otherwise, and the disk still calls as it did. */
  async #rename(entry: EntryId, called: Called): Promise<void> {
    const { trees, state } = this.#device;
    await this.#apply();
    const local = trees.local(entry);
    const remote = trees.remote(entry);
    if (!local || remote?.parent !== local.parent || remote.name !== called.name) {
      this.#again.add(entry);
      return;
    }
    state.transaction(() => trees.moveLocal(entry, local.parent, called));
    this.#agreed.push(() => trees.moveSynced(entry, remote.parent, remote.name, remote.placed));
  }

  #addRemove(entry: EntryId, path: string, expect: Stat): void {
    const { trees } = this.#device;
    const done = () => {
      const row = trees.local(entry);
      // What the tree still has in a folder that was empty by now, somebody took out of it a moment ago.
      if (row) forgetLocal(this.#device, row);
      this.#agreed.push(() => {
        if (!trees.remote(entry)) trees.dropSynced(entry);
      });
      if (expect.kind === 'folder') this.#observer.folderMoved(path, null);
    };
    this.#push({ entry, path, step: { kind: 'remove', path, expect }, done });
  }

  /** Written down first: what lies in a slot that nothing tells of would look deleted. */
  async #park(entry: EntryId, path: string, expect: Stat): Promise<void> {
    const { trees, state } = this.#device;
    await this.#apply();
    const slot = `parked-${entry}`;
    state.durably(() => {
      state.sql.prepare('INSERT OR REPLACE INTO parking VALUES (?, ?, ?)').run(slot, entry, path);
    });
    const done = (stat: Stat | null) => {
      if (stat) trees.setLocalStat(entry, stat);
      trees.parkLocal(entry, slot);
      this.#observer.folderMoved(path, null);
    };
    this.#push({ entry, path, step: { kind: 'park', path, expect, slot }, done });
    await this.#apply();
  }

  #push(step: Step): void {
    this.#steps.push(step);
    this.#inSteps.add(step.entry);
  }

  async #apply(): Promise<void> {
    const steps = this.#steps;
    if (steps.length === 0) return;
    this.#steps = [];
    this.#inSteps.clear();
    const { folder, keys, state } = this.#device;
    for (const { entry } of steps) this.#unheard.add(entry);
    const outcomes = await folder.apply(this.#withFolders(steps), keys());
    this.#unheard.clear();
    state.transaction(() => {
      steps.forEach((step, index) => {
        const outcome = outcomes[index];
        if (outcome) this.#judge(step, outcome);
      });
    });
    this.#newPaths.clear();
    await this.#judgeLeftovers();
    await this.#judgeTaken();
  }

  /** Each with the folder that it is to make something in. Of those that these very steps make the tree knows nothing yet; the door knows what it made. */
  #withFolders(steps: readonly Step[]): FolderStep[] {
    const stats = new Map<EntryId, Stat | undefined>();
    return steps.map(({ step, place }) => {
      if (!place) return step;
      if (!stats.has(place.parent)) stats.set(place.parent, this.#device.trees.folderStat(place.parent));
      return { ...step, within: stats.get(place.parent) };
    });
  }

  /** What nobody syncs is in no tree, and so in the way of what should come there: the next plan asks for another name, or leaves it out. */
  async #judgeTaken(): Promise<void> {
    const { folder, trees } = this.#device;
    const taken = this.#taken;
    if (taken.length === 0) return;
    this.#taken = [];
    const seen = await folder.look(taken.map(({ path }) => path));
    taken.forEach(({ place }, index) => {
      const there = seen[index] ?? null;
      if (there === null || 'kind' in there || !this.#observer.isLeftAlone(place.parent, there)) return;
      trees.refuse(place.parent, place.name);
    });
  }

  /** A folder that holds nothing but what nobody syncs stays, and is in no other tree from now on. */
  async #judgeLeftovers(): Promise<void> {
    const { folder, state, trees, dirty, deferrals } = this.#device;
    const leftovers = this.#leftovers;
    if (leftovers.length === 0) return;
    this.#leftovers = [];
    const listings = await folder.list(leftovers.map(({ path }) => path));
    state.transaction(() => {
      leftovers.forEach(({ entry, path }, index) => {
        const listing = listings[index];
        const isRemnant =
          listing?.kind === 'found' &&
          listing.entries.length + listing.unnameable.length > 0 &&
          listing.entries.every((seen) => this.#observer.isLeftAlone(entry, seen));
        if (isRemnant) {
          trees.setPresence(entry, 'ignored');
          dirty.add(entry, 'folder');
          return;
        }
        this.#observer.lookAt(path);
        this.#observer.list(path);
        deferrals.retry(entry);
      });
    });
  }

  #judge(step: Step, outcome: StepOutcome): void {
    const { deferrals, trees, log } = this.#device;
    const { entry, path } = step;
    if (outcome.kind === 'done') {
      step.done(outcome.stat);
      this.#tellTwins(step);
      if (outcome.recovered !== undefined)
        log.warn('a file was written to in the moment it was replaced; those bytes were kept', {
          path,
          kept: outcome.recovered,
        });
      if (step.step.kind === 'place') this.#large.forget(entry);
      return;
    }
    if (outcome.kind === 'failed' && outcome.code === 'unsupported_by_disk' && trees.local(entry) === null) {
      const remote = trees.remote(entry);
      if (remote) trees.putSynced(remote, 'link_unsupported');
      return;
    }
    this.#again.add(entry);
    if (step.step.kind === 'unpark') this.#observer.lookAt(path);
    if (outcome.kind === 'stale') {
      if (outcome.within) {
        // What lies at the path says nothing: it is in another folder.
        this.#observer.lookAt(directoryOf(path));
        deferrals.retry(entry);
        return;
      }
      if (step.step.kind === 'remove' && step.step.expect.kind === 'folder') {
        this.#leftovers.push({ entry, path });
        return;
      }
      if (step.place) this.#taken.push({ path, place: step.place });
      this.#observer.lookAt(path);
      if (step.step.kind === 'move') this.#observer.lookAt(step.step.from);
      deferrals.retry(entry);
      return;
    }
    if (outcome.code === 'invalid_name' && step.place) {
      // The disk has no such name: the next plan asks for another, or leaves the entry out.
      trees.refuse(step.place.parent, step.place.name);
      deferrals.retry(entry);
      return;
    }
    if (step.step.kind === 'place') this.#large.forget(entry);
    deferrals.failed(entry, trees.pathForPeople(entry), outcome.code, outcome.detail);
  }

  /** The disk had the place free: what the tree still had there left it a moment ago. */
  #tellTwins({ path, place }: Step): void {
    if (!place || this.#device.trees.localAllListed(place.parent, place.name).length < 2) return;
    this.#observer.list(directoryOf(path));
  }

  #agree(remote: Entry): void {
    const { trees, deferrals } = this.#device;
    const before = trees.synced(remote.entry);
    const local = trees.local(remote.entry);
    // What was brought back here lies where the space has it now, wherever it was before.
    const isPlaced = local === null || (local.parent === remote.parent && local.name === remote.name);
    if (isPlaced) trees.putSynced(remote);
    else if (before) trees.putSynced({ ...remote, parent: before.parent, name: before.name, placed: before.placed });
    else trees.putSynced({ ...remote, parent: local.parent, name: local.name });
    deferrals.succeeded(remote.entry);
  }

  /**
   * Only what the disk has for good becomes what is agreed on. What may stand on the disk and is in no tree stays written down as being placed, and
   * nothing else does: whatever came to such a place with such a time would be taken for it after a power cut.
   */
  async #settle(): Promise<void> {
    const { folder, state } = this.#device;
    if (this.#agreed.length > 0) await folder.flush();
    const forget = state.sql.prepare('DELETE FROM placing WHERE path = ?');
    state.transaction(() => {
      for (const agree of this.#agreed) agree();
      for (const { path, entry } of this.#placing) if (!this.#unheard.has(entry)) forget.run(path);
    });
    this.#agreed = [];
  }
}

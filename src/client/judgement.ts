/**
 * Time tells a rename from a delete. What vanished is judged 300 ms later, and only when no directory that was dirty then is still
 * unlisted; what appeared and may be a known thing from elsewhere waits for that judgement. Folders are recognised at once: no
 * program saves a folder by moving it away and making another. What vanished and may lie in a directory that cannot be read is not judged
 * before that can be read again.
 */
import type { EntryId } from '#core/ids.ts';
import { isSpelling, nameFound } from '#core/name-profile.ts';
import { nameHere } from '#core/plan.ts';
import type { ListedEntry, Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { directoryOf, nameOf } from './path.ts';
import { forgetLocal } from './gone.ts';
import { isSameThing, mostChildrenRemain } from './identity.ts';
import type { LocalRow } from './rows.ts';
import type { Settling } from './settling.ts';
import { inodeText, statText } from './stat-text.ts';
import { clearProblemsBelow, pathOf, type Findings, type Place, type Sightings } from './sightings.ts';
import type { Unreadable } from './unreadable.ts';

const JUDGED_AFTER_MS = 300;
/** However much is going on elsewhere. */
const PATIENCE_MS = 5000;
/**
 * When more than this vanished, it is judged when it is over: what goes in one go is one change, and whether a person should be asked about it depends on
 * the whole of it. It is over when nothing more vanished for a while and the rest of the folder is quiet, and at the latest after some time of either.
 */
const MASS = 100;
const MASS_QUIET_MS = 1000;
const MASS_BUSY_MS = 10_000;
const MASS_PATIENCE_MS = 300_000;
const PATHS_PER_LOOK = 500;

/** `moment`: of `Unreadable`, when it was missed. */
type Vanished = { readonly sinceMs: number; readonly mark: number; readonly moment: number };
type Uncertain = { readonly place: Place; readonly sinceMs: number; readonly candidates: readonly EntryId[] };
type Seen = ListedEntry | null | 'unknown';

/** A directory that was made anew may have been given the inode of the one before it. */
function isUnchanged(known: LocalRow, now: Stat): boolean {
  return known.kind === 'folder' ? statText(now) === known.stat : inodeText(now) === known.inode;
}

export class Judgement {
  readonly #device: Device;
  readonly #settling: Settling;
  readonly #sightings: Sightings;
  readonly #unreadable: Unreadable;
  readonly #vanished = new Map<EntryId, Vanished>();
  readonly #uncertain = new Map<string, Uncertain>();
  #dropped = false;
  #massSinceMs: number | null = null;
  #lastVanishedMs = Number.NEGATIVE_INFINITY;

  constructor(device: Device, settling: Settling, sightings: Sightings, unreadable: Unreadable) {
    this.#device = device;
    this.#settling = settling;
    this.#sightings = sightings;
    this.#unreadable = unreadable;
  }

  /** Takes over what a comparison left open. */
  note(findings: Findings, nowMs: number): void {
    for (const entry of findings.present) this.#vanished.delete(entry);
    for (const row of findings.vanished) this.#gone(row.entry, nowMs);
    for (const { place, candidates } of findings.uncertain) {
      const path = pathOf(place);
      const sinceMs = this.#uncertain.get(path)?.sinceMs ?? nowMs;
      this.#uncertain.set(path, { place, sinceMs, candidates: candidates.map((row) => row.entry) });
    }
  }

  /** A directory can be read again: what vanished is given the time anew to be found in it. */
  startAgain(nowMs: number): void {
    for (const [entry, { moment }] of this.#vanished)
      this.#vanished.set(entry, { sinceMs: nowMs, mark: this.#settling.mark, moment });
  }

  /** Nothing is left to be judged but what directories that cannot be read hold up. */
  get quiet(): boolean {
    return this.#uncertain.size === 0 && this.#open().next().done === true;
  }

  /** What vanished less than this ago, and is not judged yet. */
  *missing(sinceMsMax: number): Iterable<EntryId> {
    const nowMs = this.#device.clock.monotonicMs();
    for (const [entry, { sinceMs }] of this.#open()) if (nowMs - sinceMs < sinceMsMax) yield entry;
  }

  /** Whether something was found to be gone since this was last asked. */
  takeDropped(): boolean {
    const dropped = this.#dropped;
    this.#dropped = false;
    return dropped;
  }

  /** What vanished and can be judged once it is time. */
  *#open(): Iterator<[EntryId, Vanished]> & Iterable<[EntryId, Vanished]> {
    for (const one of this.#vanished) if (!this.#unreadable.mayHold(one[1].moment)) yield one;
  }

  nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [, { sinceMs }] of this.#open()) nextMs = Math.min(nextMs, sinceMs + JUDGED_AFTER_MS);
    for (const { sinceMs } of this.#uncertain.values()) nextMs = Math.min(nextMs, sinceMs + JUDGED_AFTER_MS);
    if (this.#massSinceMs === null || this.#vanished.size <= MASS) return nextMs;
    const restedMs = this.#device.clock.monotonicMs() - this.#lastVanishedMs;
    return Math.max(nextMs, this.#lastVanishedMs + (restedMs < MASS_QUIET_MS ? MASS_QUIET_MS : MASS_BUSY_MS));
  }

  /** More is vanishing than is judged piece by piece, and it is not over. */
  #isMassGoingOn(count: number, nowMs: number): boolean {
    if (count <= MASS) this.#massSinceMs = null;
    else this.#massSinceMs ??= nowMs;
    if (this.#massSinceMs === null || nowMs - this.#massSinceMs >= MASS_PATIENCE_MS) return false;
    const restedMs = nowMs - this.#lastVanishedMs;
    return restedMs < MASS_QUIET_MS || (!this.#settling.quiet && restedMs < MASS_BUSY_MS);
  }

  /** Folders that now stand at another path: moved in the tree at once. Returns old and new paths. */
  async recogniseFolders(nowMs: number): Promise<{ readonly from: string; readonly to: string }[]> {
    const open = [...this.#uncertain].filter(
      ([, { place, candidates }]) =>
        candidates.length > 0 && this.#device.trees.localListed(place.parent, place.name) === null,
    );
    if (open.length === 0) return [];
    const moves: { readonly from: string; readonly to: string }[] = [];
    const seen = await this.#look(open.map(([path]) => path));
    for (const [path, { place, candidates }] of open) {
      const now = seen.get(path);
      if (!now || now === 'unknown' || now.stat.kind !== 'folder' || !this.#isLookedAt(place, now)) continue;
      const known = await this.#movedFrom(candidates, path, now);
      if (!known || this.#liesIn(place.parent, known.entry)) continue;
      const from = this.#device.trees.localPath(known.entry);
      this.#device.state.transaction(() => this.#sightings.move(known, place, now));
      this.#vanished.delete(known.entry);
      this.#uncertain.delete(path);
      if (from !== null) moves.push({ from, to: path });
    }
    // What else may be a known file from elsewhere: that one is gone from now on, if it is.
    await this.#noteOldPlaces(nowMs);
    return moves;
  }

  /** Judges what is due. `rootIsThere` is asked before anything counts as gone. Null where nothing was due. */
  async judge(
    nowMs: number,
    allListed: boolean,
    rootIsThere: () => Promise<boolean>,
    findings: Findings,
  ): Promise<{ readonly from: string; readonly to: string }[] | null> {
    if (this.quiet) return null;
    const open = [...this.#open()];
    if (this.#isMassGoingOn(open.length, nowMs)) return null;
    const due = open.filter(([, { sinceMs, mark }]) => {
      const waitedMs = nowMs - sinceMs;
      return waitedMs >= JUDGED_AFTER_MS && allListed && this.#settling.settledSince(mark);
    });
    const waiting = [...this.#uncertain.values()].some(({ sinceMs }) => nowMs - sinceMs < JUDGED_AFTER_MS);
    const patient = due.every(([, { sinceMs }]) => nowMs - sinceMs < PATIENCE_MS);
    if (waiting && patient) return null;
    if (due.length === 0 && open.length > 0) return null;
    if (this.#isPlaceOpen(open, new Set(due.map(([entry]) => entry)), nowMs)) return null;
    if (due.length === 0 && this.#uncertain.size === 0) return null;
    if (!(await rootIsThere())) return null;
    return await this.#decide(new Set(due.map(([entry]) => entry)), findings);
  }

  /** What stood where something may have moved to is missed as well, and not judged yet: for as long as it counts as there, what moved there is in its way. */
  #isPlaceOpen(open: readonly (readonly [EntryId, Vanished])[], due: ReadonlySet<EntryId>, nowMs: number): boolean {
    const { trees } = this.#device;
    // Mostly all are judged together: whatever there is, it costs nothing then.
    if (due.size === open.length) return false;
    const missed = new Map(open);
    return [...this.#uncertain.values()].some(({ place, candidates }) =>
      trees.localAllListed(place.parent, place.name).some(({ entry }) => {
        const sinceMs = missed.get(entry)?.sinceMs ?? Number.NEGATIVE_INFINITY;
        return !due.has(entry) && !candidates.includes(entry) && nowMs - sinceMs < PATIENCE_MS;
      }),
    );
  }

  async #decide(
    due: ReadonlySet<EntryId>,
    findings: Findings,
  ): Promise<{ readonly from: string; readonly to: string }[]> {
    const { trees, state } = this.#device;
    const uncertain = [...this.#uncertain.values()];
    const oldPaths = [...due].map((entry) => trees.localPath(entry)).filter((path) => path !== null);
    const candidatePaths = uncertain
      .flatMap(({ candidates }) => candidates)
      .map((entry) => trees.localPath(entry))
      .filter((path) => path !== null);
    const seen = await this.#look([...uncertain.map(({ place }) => pathOf(place)), ...oldPaths, ...candidatePaths]);
    const moves: { readonly from: string; readonly to: string }[] = [];
    const checked = await this.#withoutStrangers(uncertain, seen);
    state.transaction(() => {
      const displaced = this.#moveFound(checked, seen, moves);
      this.#dropGone(due, seen, displaced);
      for (const { place } of uncertain) this.#addWhatRemains(place, seen.get(pathOf(place)), findings);
      this.#uncertain.clear();
    });
    return moves;
  }

  /** Candidates that only their children tell from others, without those whose children are not there. */
  async #withoutStrangers(uncertain: readonly Uncertain[], seen: ReadonlyMap<string, Seen>): Promise<Uncertain[]> {
    const checked: Uncertain[] = [];
    for (const one of uncertain) {
      const path = pathOf(one.place);
      const now = seen.get(path);
      const rows = one.candidates.map((entry) => this.#device.trees.local(entry)).filter((row) => row !== null);
      const candidates: EntryId[] = [];
      if (now && now !== 'unknown')
        for (const row of rows) if (await this.#isSame(row, path, now.stat)) candidates.push(row.entry);
      checked.push({ ...one, candidates });
    }
    return checked;
  }

  async #isSame(row: LocalRow, path: string, now: Stat): Promise<boolean> {
    const { trees, folder } = this.#device;
    const isSame = isSameThing(row, now);
    if (isSame !== null) return isSame;
    const [listing] = await folder.list([path]);
    if (listing?.kind !== 'found') return false;
    const before = trees.localChildRows(row.entry).map((child) => ({ ...child, name: nameHere(child) }));
    return mostChildrenRemain(before, listing.entries);
  }

  /** Things recognised at new places. All at once: they may have changed places with each other. */
  #moveFound(
    uncertain: readonly Uncertain[],
    seen: ReadonlyMap<string, Seen>,
    moves: { readonly from: string; readonly to: string }[],
  ): ReadonlySet<EntryId> {
    const { trees } = this.#device;
    const found: { readonly known: LocalRow; readonly place: Place; readonly now: ListedEntry }[] = [];
    const taken = new Set<EntryId>();
    for (const { place, candidates } of uncertain) {
      const now = seen.get(pathOf(place));
      if (!now || now === 'unknown' || !this.#isLookedAt(place, now)) continue;
      const known = candidates.find((entry) => !taken.has(entry) && this.#hasLeft(entry, now, seen));
      const row = known === undefined ? null : trees.local(known);
      if (!row) continue;
      taken.add(row.entry);
      found.push({ known: row, place, now });
      if (row.kind === 'folder') {
        const from = trees.localPath(row.entry);
        if (from !== null) moves.push({ from, to: pathOf(place) });
      }
    }
    // Outer folders first; what would come to lie inside itself was mistaken for something else.
    let open = found;
    for (let before = Number.POSITIVE_INFINITY; open.length < before; ) {
      before = open.length;
      open = open.filter(({ known, place, now }) => {
        if (this.#liesIn(place.parent, known.entry)) return true;
        this.#sightings.move(known, place, now);
        this.#vanished.delete(known.entry);
        return false;
      });
    }
    for (const { known } of open) taken.delete(known.entry);
    return taken;
  }

  #liesIn(folder: EntryId, outer: EntryId): boolean {
    const { trees } = this.#device;
    for (let at: EntryId | undefined = folder; at !== undefined; at = trees.local(at)?.parent)
      if (at === outer) return true;
    return false;
  }

  #hasLeft(entry: EntryId, now: ListedEntry, seen: ReadonlyMap<string, Seen>): boolean {
    const { trees } = this.#device;
    const row = trees.local(entry);
    const path = row === null ? null : trees.localPath(entry);
    if (!row || path === null || row.kind !== now.stat.kind || row.inode !== inodeText(now.stat)) return false;
    if (isSameThing(row, now.stat) === false) return false;
    const there = seen.get(path);
    if (there === 'unknown' || there === undefined) return false;
    if (there === null) return true;
    // A file's path that holds another file keeps its entry (programs save like this); a folder goes with its directory.
    if (row.kind === 'folder') return !isUnchanged(row, there.stat);
    return there.stat.kind !== row.kind || this.#isAnothers(row, there);
  }

  /** What is at the row's place is known to be something else, that was put there when the place was free. */
  #isAnothers(row: LocalRow, there: ListedEntry): boolean {
    const inode = inodeText(there.stat);
    const rows = this.#device.trees.localAllListed(row.parent, nameHere(row));
    return rows.some((other) => other.entry !== row.entry && other.inode === inode);
  }

  #dropGone(due: ReadonlySet<EntryId>, seen: ReadonlyMap<string, Seen>, moved: ReadonlySet<EntryId>): void {
    const { trees } = this.#device;
    for (const entry of due) {
      const row = trees.local(entry);
      // What was parked since it was missed is in its slot.
      if (moved.has(entry) || !row || row.parked) {
        this.#vanished.delete(entry);
        continue;
      }
      const path = trees.localPath(entry);
      const there = path === null ? undefined : seen.get(path);
      if (there === 'unknown' || (there === undefined && path !== null)) continue;
      this.#vanished.delete(entry);
      if (there && there.stat.kind === row.kind && !this.#isAnothers(row, there)) continue;
      this.#drop(row);
      // What stands in its place may have been seen long ago, while this could not be judged.
      if (there && path !== null) this.#lookAgain(path);
    }
  }

  #lookAgain(path: string): void {
    const nowMs = this.#device.clock.monotonicMs();
    this.#settling.lookAgain(directoryOf(path), nameOf(path), nowMs, nowMs);
  }

  /** Forgets a row and all below it: the disk no longer has them. */
  #drop(row: LocalRow): void {
    this.#dropped = true;
    const path = row.kind === 'folder' ? this.#device.trees.localPath(row.entry) : null;
    if (path !== null) clearProblemsBelow(this.#device, path);
    for (const gone of forgetLocal(this.#device, row)) this.#vanished.delete(gone.entry);
  }

  /** Whatever is missed now is gone. Call inside a transaction. */
  forgetMissing(): void {
    for (const entry of Array.from(this.#vanished.keys())) {
      const row = this.#device.trees.local(entry);
      if (row && !row.parked) this.#drop(row);
    }
    this.#vanished.clear();
  }

  #addWhatRemains(place: Place, now: Seen | undefined, findings: Findings): void {
    const { trees } = this.#device;
    if (!now || now === 'unknown' || now.stat.kind === 'other') return;
    if (!this.#isLookedAt(place, now)) return;
    const known = trees.localListed(place.parent, place.name);
    if (!known) {
      this.#sightings.add(place, now, findings);
      return;
    }
    if (known.kind !== now.stat.kind || isUnchanged(known, now.stat)) return;
    // Nobody else claims it: the same path is the same entry.
    this.#vanished.delete(known.entry);
    this.#sightings.refresh(known, now, findings);
    if (known.kind === 'folder') findings.folders.push(pathOf(place));
  }

  /** Its folder may have left meanwhile, or new rules may ignore it or the folder. */
  #isLookedAt({ directory, parent, name }: Place, now: ListedEntry): boolean {
    const { trees, ignoring } = this.#device;
    if (directory !== '' && trees.localFolderAt(directory) !== parent) return false;
    return !ignoring.isIgnored('local', { parent, name: nameFound(trees.names, name) }, now.stat.kind === 'folder');
  }

  #gone(entry: EntryId, nowMs: number): void {
    if (this.#vanished.has(entry)) return;
    this.#lastVanishedMs = nowMs;
    this.#vanished.set(entry, { sinceMs: nowMs, mark: this.#settling.mark, moment: this.#unreadable.moment });
  }

  async #movedFrom(candidates: readonly EntryId[], path: string, now: ListedEntry): Promise<LocalRow | null> {
    const { trees } = this.#device;
    for (const entry of candidates) {
      const row = trees.local(entry);
      const oldPath = row ? trees.localPath(entry) : null;
      if (!row || oldPath === null) continue;
      const seen = await this.#look([oldPath]);
      if (!this.#hasLeft(entry, now, seen)) continue;
      if (await this.#isSame(row, path, now.stat)) return row;
    }
    return null;
  }

  async #noteOldPlaces(nowMs: number): Promise<void> {
    const { trees } = this.#device;
    const entries = [...this.#uncertain.values()].flatMap(({ candidates }) => candidates);
    const unknown = entries.filter((entry) => !this.#vanished.has(entry));
    if (unknown.length === 0) return;
    const paths = unknown.map((entry) => trees.localPath(entry));
    const seen = await this.#look(paths.filter((path) => path !== null));
    unknown.forEach((entry, index) => {
      const path = paths[index] ?? null;
      if (path === null || seen.get(path) === null) this.#gone(entry, nowMs);
    });
  }

  async #look(paths: readonly string[]): Promise<Map<string, Seen>> {
    const seen = new Map<string, Seen>();
    const distinct = [...new Set(paths)];
    for (let at = 0; at < distinct.length; at += PATHS_PER_LOOK) {
      const some = distinct.slice(at, at + PATHS_PER_LOOK);
      const results = await this.#device.folder.look(some);
      some.forEach((path, index) => {
        const result = results[index] ?? null;
        if (result !== null && 'kind' in result) seen.set(path, 'unknown');
        else seen.set(path, result && this.#isCalled(path, result) ? result : null);
      });
    }
    return seen;
  }

  /** Where letter case does not count a look finds what is called otherwise, too: another thing, unless only the spelling is the disk's. */
  #isCalled(path: string, seen: ListedEntry): boolean {
    const { trees } = this.#device;
    const name = nameOf(path);
    if (seen.name === name) return true;
    const parent = trees.localFolderAt(directoryOf(path));
    if (parent !== null && trees.localListed(parent, seen.name)) return false;
    return isSpelling(trees.names, name, seen.name);
  }
}

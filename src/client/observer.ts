/**
 * Keeps the local tree equal to the disk. Watchers hint, scans know: a hint leads to a look at one name or a listing of one directory, and
 * only what a look or a listing showed goes into the tree. Full scans at start, after an overflow, on wake, and every hour.
 */
import type { EntryId } from '#core/ids.ts';
import type { Failure, ListedEntry, Listing, Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { directoryOf, nameOf } from './path.ts';
import { must } from '#core/assert.ts';
import { escapeForPeople } from '#core/escape.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import { nameFound, spotOf } from '#core/name-profile.ts';
import { nameHere } from '#core/plan.ts';
import { forgetLocal } from './gone.ts';
import { isSameThing } from './identity.ts';
import { Judgement } from './judgement.ts';
import type { LocalRow } from './rows.ts';
import { NAMES_LOOKED_AT_MAX, Settling } from './settling.ts';
import {
  clearProblemsBelow,
  kindSubject,
  newFindings,
  pathOf,
  Sightings,
  type Findings,
  type Place,
} from './sightings.ts';
import { inodeText, isUnmoved, parseStat, RACY_MS_MAX } from './stat-text.ts';
import { Unreadable } from './unreadable.ts';
import { Watches } from './watches.ts';

const SCAN_MS = 3_600_000;
/** Where the system refuses watches. */
const POLL_MS = 60_000;
/** The wall clock ran this much longer than the monotonic one: the machine slept, and hints were lost. */
const SLEPT_MS = 10_000;
/** Where more than these are waited for, it is no matter of single files. */
const NAMES_MISSED_MAX = 1000;
const DIRECTORIES_PER_STEP = 64;
const FRESH_MS = 25;
/** The least time between two looks at whether something is due by now. */
const GRAIN_MS = 5;

type Look = { readonly directory: string; readonly names: readonly string[] };
/** `stat`: of the directory; null where it is the root, or could not be seen. */
type Listed = {
  readonly directory: string;
  readonly deep: boolean;
  readonly listing: Listing;
  readonly stat: Stat | null;
};
type Looked = {
  readonly directory: string;
  readonly seen: readonly (readonly [string, ListedEntry | null | Failure])[];
  readonly stat: Stat | null;
};

export class Observer {
  readonly #device: Device;
  readonly #settling = new Settling();
  readonly #sightings: Sightings;
  readonly #judgement: Judgement;
  readonly #watches: Watches;
  readonly #unreadable: Unreadable;
  /** Directories to list now; true: and all below. */
  readonly #queue = new Map<string, boolean>();
  #scannedMs = Number.NEGATIVE_INFINITY;
  #wallLeadMs = 0;

  constructor(device: Device) {
    this.#device = device;
    this.#sightings = new Sightings(device);
    this.#unreadable = new Unreadable(device.problems);
    this.#judgement = new Judgement(device, this.#settling, this.#sightings, this.#unreadable);
    this.#watches = new Watches(device.watcher, device.log);
    this.#wallLeadMs = device.clock.nowMs() - device.clock.monotonicMs();
    device.ignoring.onReleased = (path) => this.#released(path);
    device.ignoring.onChanged = (path) => this.#queue.set(path, true);
  }

  set rootDev(dev: bigint) {
    this.#sightings.rootDev = dev;
  }

  /** Everything is to be listed. */
  scanAll(): void {
    this.#scannedMs = this.#device.clock.monotonicMs();
    this.#unreadable.scanned();
    this.#queue.set('', true);
  }

  /** The root was gone for a while: no watch is what it was. */
  startAnew(): void {
    this.#watches.forgetAll();
    this.scanAll();
  }

  /** The disk was not as a plan expected: look at this path. */
  lookAt(path: string): void {
    const nowMs = this.#device.clock.monotonicMs();
    this.#settling.lookAgain(directoryOf(path), nameOf(path), nowMs, nowMs);
  }

  /**
   * A file was changed, through one of its names: watchers tell of that name alone. Another that was only given or taken is no change, and
   * nothing is read for it.
   */
  #lookAtTwins(stat: Stat): void {
    const { trees } = this.#device;
    for (const row of trees.localByInode(inodeText(stat))) {
      const before = parseStat(row.stat);
      if (isUnmoved(before, stat) && before.exec === stat.exec) continue;
      const path = trees.localPath(row.entry);
      if (path !== null) this.lookAt(path);
    }
  }

  list(directory: string): void {
    if (!this.#queue.has(directory)) this.#queue.set(directory, false);
  }

  /** A folder stands at another path now, by our own doing or another's: watches below it know the old one. */
  folderMoved(from: string, to: string | null): void {
    this.#watches.dropBelow(from);
    this.#unreadable.removeBelow(from);
    clearProblemsBelow(this.#device, from);
    if (to !== null) this.#queue.set(to, true);
  }

  /** Everything seen is in the tree, and nothing is waited for but directories that cannot be read. */
  get quiet(): boolean {
    return this.#queue.size === 0 && this.#settling.quiet && this.#judgement.quiet;
  }

  /** What vanished less than this ago and may turn up elsewhere, or may have vanished for all that is known. */
  *missing(sinceMsMax: number): Iterable<EntryId> {
    const { trees, clock } = this.#device;
    yield* this.#judgement.missing(sinceMsMax);
    let count = 0;
    for (const { directory, name } of this.#settling.waiting(sinceMsMax, clock.monotonicMs())) {
      if (++count > NAMES_MISSED_MAX) return;
      const parent = trees.localFolderAt(directory);
      const row = parent === null ? null : trees.localAt(parent, name);
      if (row) yield row.entry;
    }
  }

  /** Whether something was found to be gone since this was last asked. */
  takeDropped(): boolean {
    return this.#judgement.takeDropped();
  }

  nextDueMs(): number {
    const nowMs = this.#device.clock.monotonicMs();
    if (this.#queue.size > 0) return nowMs;
    const scanMs = this.#scannedMs + (this.#watches.refused ? POLL_MS : SCAN_MS);
    const waitedMs = Math.min(this.#settling.nextDueMs(), this.#judgement.nextDueMs(), this.#unreadable.nextDueMs());
    return Math.max(nowMs + GRAIN_MS, Math.min(waitedMs, scanMs));
  }

  /**
   * One bounded piece of observing. True where something was looked at. `rootIsThere`: that the root is still the one that was linked,
   * asked before anything counts as gone.
   */
  async step(rootIsThere: () => Promise<boolean>): Promise<boolean> {
    const nowMs = this.#device.clock.monotonicMs();
    this.#takeHints(nowMs);
    await this.#device.ignoring.catchUp();
    if (this.#mustScan(nowMs)) this.scanAll();
    const due = this.#settling.take(nowMs);
    for (const directory of due.lists) this.list(directory);
    for (const directory of this.#unreadable.takeDue(nowMs)) this.#queue.set(directory, true);
    const looks = due.looks.filter((look) => this.#isForLooking(look));
    const lists = this.#takeLists();
    const looked = lists.length > 0 || looks.length > 0;
    if (looked) await this.#see(lists, looks, nowMs);
    // Also where something is looked at all the time: a plan may fail, and look again, for the sake of what waits to be judged.
    const judged = await this.#judge(nowMs, rootIsThere);
    if (!judged && !looked && this.quiet) this.#unreadable.rested(nowMs);
    return looked || judged;
  }

  /**
   * What may lie in a directory that cannot be read, and what was known in there, is in the tree no longer. Found later, it is new, and who lost what
   * was agreed on has no other way to tell it from what was deleted. Call inside a transaction.
   */
  forgetUnseen(): void {
    const { trees } = this.#device;
    this.#judgement.forgetMissing();
    for (const directory of this.#unreadable.all) {
      const folder = trees.localFolderAt(directory);
      for (const row of folder === null ? [] : [...trees.localChildRows(folder)])
        if (!row.parked) forgetLocal(this.#device, row);
    }
  }

  #takeHints(nowMs: number): void {
    for (const hint of this.#device.watcher.take()) {
      if (hint.kind === 'overflow') this.scanAll();
      else if (hint.kind === 'directory') {
        // What a watch says last whose directory was moved away, perhaps only for a moment: those below it have ended too.
        if (this.#watches.hasEnded(hint.directory)) this.#queue.set(hint.directory, true);
        else this.#settling.hintDirectory(hint.directory, nowMs);
      } else if (!this.#isIgnoredName(hint.directory, hint.name))
        this.#settling.hintName(hint.directory, hint.name, nowMs);
    }
  }

  /** Of what is ignored nobody needs to hear: a log that is written all the time costs nothing. */
  #isIgnoredName(directory: string, name: string): boolean {
    const parent = this.#device.trees.localFolderAt(directory);
    return parent !== null && this.#device.ignoring.isIgnoredName({ parent, name });
  }

  #released(directory: string): void {
    const { problems } = this.#device;
    this.folderMoved(directory, null);
    for (const kind of ['kind', 'name']) problems.clearBelow(`${kind}:${directory}/`, new Set());
  }

  /** Whether a thing in a folder is one that nobody syncs: for its sake a folder that should go stays. */
  isLeftAlone(parent: EntryId, seen: ListedEntry): boolean {
    const { trees, ignoring } = this.#device;
    if (this.#sightings.isForeign(seen)) return true;
    if (ignoring.isIgnored('local', { parent, name: seen.name }, seen.stat.kind === 'folder')) return true;
    const row = trees.localAt(parent, seen.name);
    return row?.kind === 'folder' && trees.synced(row.entry)?.presence === 'ignored';
  }

  #mustScan(nowMs: number): boolean {
    const { clock } = this.#device;
    const leadMs = clock.nowMs() - clock.monotonicMs();
    const slept = leadMs - this.#wallLeadMs > SLEPT_MS;
    this.#wallLeadMs = leadMs;
    return slept || nowMs - this.#scannedMs > (this.#watches.refused ? POLL_MS : SCAN_MS);
  }

  /** Of directories that the tree knows: others are found by whoever lists what is above them. */
  #takeLists(): [string, boolean][] {
    const lists: [string, boolean][] = [];
    for (const [directory, deep] of this.#queue) {
      if (lists.length >= DIRECTORIES_PER_STEP) break;
      this.#queue.delete(directory);
      if (this.#device.trees.localFolderAt(directory) !== null) lists.push([directory, deep]);
      else this.#unreadable.remove(directory);
    }
    return lists;
  }

  #isForLooking(look: Look): boolean {
    if (look.names.length <= NAMES_LOOKED_AT_MAX) return true;
    this.list(look.directory);
    return false;
  }

  async #see(lists: readonly (readonly [string, boolean])[], looks: readonly Look[], nowMs: number): Promise<void> {
    const { state, clock } = this.#device;
    // A watch of what cannot be read fails, and hints at it: it would be listed again and again.
    for (const [directory] of lists) if (!this.#unreadable.has(directory)) this.#watches.ensure(directory);
    const listings = lists.length === 0 ? [] : await this.#listOrQueue(lists);
    const tookMs = clock.monotonicMs() - nowMs;
    const listed = this.#ofWhatIsMeant(listings, nowMs);
    const looked = this.#ofWhatIsMeant(await this.#lookIn(looks), nowMs);
    await this.#learnRules(listed, looked, nowMs);
    const findings = newFindings();
    state.transaction(() => {
      for (const [directory] of lists) this.#settling.listed(directory, tookMs / lists.length, clock.monotonicMs());
      for (const { directory, deep, listing } of listed)
        this.#compareListing(directory, deep, listing, findings, nowMs);
      for (const { directory, seen } of looked) {
        for (const [name, one] of seen) this.#compareLook(directory, name, one, findings, nowMs);
        this.#settling.listWhenQuiet(directory, nowMs);
      }
    });
    await this.#settle(findings);
  }

  /**
   * Without what was seen in another directory than the tree means by that path, which is to be looked at first, and listed then. Were it used, rules would
   * hold for things that they do not speak of; all that lies there would seem to be moved, and moved back when the folders are recognised; and what others
   * changed in one could seem to be agreed on.
   */
  #ofWhatIsMeant<Seen extends { readonly directory: string; readonly stat: Stat | null }>(
    seen: readonly Seen[],
    nowMs: number,
  ): readonly Seen[] {
    const others = seen.filter(({ directory, stat }) => stat !== null && this.#isAnother(directory, stat));
    for (const { directory } of others) {
      this.lookAt(directory);
      this.#settling.listWhenQuiet(directory, nowMs);
    }
    return others.length === 0 ? seen : seen.filter((one) => !others.includes(one));
  }

  /** Each directory after its names: one that is another by now was so, or became so, while they were looked at. */
  async #lookIn(looks: readonly Look[]): Promise<readonly Looked[]> {
    if (looks.length === 0) return [];
    const paths = looks.flatMap(({ directory, names }) => {
      const inIt = names.map((name) => pathOf({ directory, name }));
      return directory === '' ? inIt : [...inIt, directory];
    });
    const answers = (await this.#device.folder.look(paths)).values();
    const next = () => answers.next().value ?? null;
    return looks.map(({ directory, names }) => {
      const seen = names.map((name) => [name, next()] as const);
      const there = directory === '' ? null : next();
      return { directory, seen, stat: there !== null && 'stat' in there ? there.stat : null };
    });
  }

  /** Before what lies beside them is compared. Rules that are being written are waited for, where others hold until then. */
  async #learnRules(listed: readonly Listed[], looked: readonly Looked[], nowMs: number): Promise<void> {
    const found = new Map<string, ListedEntry>();
    const without: string[] = [];
    for (const { directory, listing } of listed) {
      if (listing.kind !== 'found') continue;
      const rules = listing.entries.find(({ name }) => name === IGNORE_FILE);
      if (rules) found.set(directory, rules);
      else without.push(directory);
    }
    const waiting = await this.#lookIn(this.#waitingRules([...listed, ...looked]));
    for (const { directory, seen } of [...looked, ...this.#ofWhatIsMeant(waiting, nowMs)])
      for (const [name, one] of seen) {
        if (name !== IGNORE_FILE || (one !== null && 'kind' in one)) continue;
        if (one === null) without.push(directory);
        else found.set(directory, one);
      }
    const { trees, ignoring } = this.#device;
    for (const [directory, rules] of found) {
      const parent = trees.localFolderAt(directory);
      if (parent === null || (ignoring.isKnown(parent) && this.#ageMs(rules) < FRESH_MS)) continue;
      await ignoring.learn(parent, pathOf({ directory, name: IGNORE_FILE }), rules);
    }
    for (const directory of without) {
      const parent = found.has(directory) ? null : trees.localFolderAt(directory);
      if (parent !== null) ignoring.seenWithout(parent);
    }
  }

  /** Rules that were hinted at and are to be looked at later, while what was made after them is looked at now. */
  #waitingRules(seen: readonly { readonly directory: string }[]): readonly Look[] {
    const waiting: Look[] = [];
    const asked = new Set<string>();
    for (const { directory } of seen) {
      for (let at = directory; !asked.has(at); at = directoryOf(at)) {
        asked.add(at);
        if (this.#settling.isWaiting(at, IGNORE_FILE)) waiting.push({ directory: at, names: [IGNORE_FILE] });
      }
    }
    return waiting;
  }

  /** Since it was last changed; infinite where the clock says that this is yet to come. */
  #ageMs(seen: ListedEntry): number {
    const ageMs = this.#device.clock.nowMs() - Number(seen.stat.ctimeNs / 1_000_000n);
    return ageMs < 0 ? Number.POSITIVE_INFINITY : ageMs;
  }

  /** What could not be listed is still to be listed. */
  async #listOrQueue(lists: readonly (readonly [string, boolean])[]): Promise<readonly Listed[]> {
    try {
      const listings = await this.#device.folder.list(lists.map(([directory]) => directory));
      return listings.map((listing, index) => {
        const [directory, deep] = must(lists[index], 'a listing of each directory');
        return { directory, deep, listing, stat: listing.kind === 'found' ? listing.stat : null };
      });
    } catch (error) {
      for (const [directory, deep] of lists) this.#queue.set(directory, deep);
      throw error;
    }
  }

  async #settle(findings: Findings): Promise<void> {
    const nowMs = this.#device.clock.monotonicMs();
    for (const path of findings.folders) {
      this.#watches.forget(path);
      this.#queue.set(path, true);
    }
    for (const { entry, kind } of findings.vanished) {
      const path = kind === 'folder' ? this.#device.trees.localPath(entry) : null;
      if (path !== null) this.#unreadable.retryBelow(path, nowMs);
    }
    for (const { directory, name } of findings.unsure)
      this.#settling.lookAgain(directory, name, nowMs + RACY_MS_MAX, nowMs);
    for (const stat of findings.linked.values()) this.#lookAtTwins(stat);
    this.#judgement.note(findings, nowMs);
    if (findings.uncertain.length === 0) return;
    for (const { from, to } of await this.#judgement.recogniseFolders(nowMs)) this.folderMoved(from, to);
  }

  async #judge(nowMs: number, rootIsThere: () => Promise<boolean>): Promise<boolean> {
    const findings = newFindings();
    const moves = await this.#judgement.judge(nowMs, this.#queue.size === 0, rootIsThere, findings);
    if (!moves) return false;
    for (const { from, to } of moves) this.folderMoved(from, to);
    await this.#settle(findings);
    return true;
  }

  #compareListing(directory: string, deep: boolean, listing: Listing, findings: Findings, nowMs: number): void {
    const { trees } = this.#device;
    const parent = trees.localFolderAt(directory);
    if (parent === null) return;
    if (listing.kind !== 'found') {
      this.#notListed(directory, listing, nowMs);
      return;
    }
    // It is watched from now on, and only what is listed after that is complete.
    if (this.#unreadable.remove(directory)) {
      this.#queue.set(directory, true);
      this.#judgement.startAgain(nowMs);
    }
    this.#tellUnnameable(directory, listing.unnameable);
    const known = new Map<string, LocalRow>();
    for (const row of trees.localChildRows(parent)) {
      if (row.parked) continue;
      const name = nameHere(row);
      const twin = known.get(name);
      // One of them had left before the disk took the other in its place.
      const seen = twin && listing.entries.find((one) => one.name === name);
      const stays = !twin || (seen && row.inode === inodeText(seen.stat)) ? row : twin;
      if (twin) findings.vanished.push(stays === row ? twin : row);
      known.set(name, stays);
    }
    const here = new Set<string>();
    const compare = (row: LocalRow | null, seen: ListedEntry): void => {
      here.add(kindSubject(directory, seen.name));
      if (this.#isFresh(directory, row, seen, nowMs)) return;
      this.#sightings.compare({ directory, parent, name: seen.name }, row, seen, findings);
      const path = pathOf({ directory, name: seen.name });
      if (this.#sightings.isForeign(seen)) return;
      if (row?.kind === 'folder' && seen.stat.kind === 'folder' && (deep || this.#unreadable.has(path)))
        this.#queue.set(path, true);
    };
    const others: ListedEntry[] = [];
    for (const seen of listing.entries) {
      const row = known.get(seen.name) ?? null;
      if (this.#isIgnored(parent, row, seen)) {
        if (row?.kind === seen.stat.kind) known.delete(seen.name);
        continue;
      }
      known.delete(seen.name);
      if (row) compare(row, seen);
      else others.push(seen);
    }
    // What is left may be there under another spelling.
    const bySpot = new Map([...known.values()].map((row) => [spotOf(trees.names, nameHere(row)), row]));
    for (const seen of others) {
      const row = this.#respelled({ directory, parent, name: seen.name }, seen, bySpot);
      if (row) known.delete(row.before);
      compare(row?.now ?? null, seen);
    }
    for (const row of known.values()) findings.vanished.push(row);
    this.#device.problems.clearBelow(kindSubject(directory, ''), here);
    if (listing.entries.length + listing.unnameable.length === 0) this.#device.ignoring.emptied(parent);
  }

  /** Another known folder was renamed to where this one was, and nobody has seen that yet. */
  #isAnother(directory: string, stat: Stat): boolean {
    const { trees } = this.#device;
    const folder = trees.localFolderAt(directory);
    const row = folder === null ? null : trees.local(folder);
    if (!row || row.inode === inodeText(stat)) return false;
    return trees
      .localByInode(inodeText(stat))
      .some((other) => other.kind === 'folder' && !other.parked && isSameThing(other, stat) !== false);
  }

  /** What is ignored and was known until now is known no more. */
  #isIgnored(parent: EntryId, row: LocalRow | null, seen: ListedEntry): boolean {
    const { ignoring, trees } = this.#device;
    const name = row?.name ?? nameFound(trees.names, seen.name);
    if (!ignoring.isIgnored('local', { parent, name }, seen.stat.kind === 'folder')) return false;
    if (row?.kind === seen.stat.kind) ignoring.release(row);
    return true;
  }

  /** A file that was written just now, found by a listing: it is looked at again when it had time to be finished. */
  #isFresh(directory: string, row: LocalRow | null, seen: ListedEntry, nowMs: number): boolean {
    if (seen.stat.kind !== 'file') return false;
    if (this.#settling.isWaiting(directory, seen.name)) {
      if (row?.kind === 'file') this.#judgement.note({ ...newFindings(), present: [row.entry] }, nowMs);
      return true;
    }
    if (this.#ageMs(seen) >= FRESH_MS) return false;
    if (row && row.inode === `${seen.stat.dev}:${seen.stat.ino}` && row.contentId !== null) return false;
    this.#settling.lookAgain(directory, seen.name, nowMs + FRESH_MS, nowMs);
    return true;
  }

  #compareLook(
    directory: string,
    name: string,
    seen: ListedEntry | null | Failure,
    findings: Findings,
    nowMs: number,
  ): void {
    const { trees } = this.#device;
    const parent = trees.localFolderAt(directory);
    if (parent === null) return;
    const row = trees.localListed(parent, name);
    if (seen === null) {
      if (row) findings.vanished.push(row);
      // Whatever it was renamed to is in a directory that also hints; a listing finds what hints missed.
      if (row) this.#settling.listSoon(directory, nowMs + FRESH_MS, nowMs);
      return;
    }
    if ('kind' in seen) {
      this.#settling.listSoon(directory, nowMs + 10 * FRESH_MS, nowMs);
      return;
    }
    const known = seen.name === name ? row : trees.localListed(parent, seen.name);
    if (row !== known) this.#settling.listSoon(directory, nowMs + FRESH_MS, nowMs);
    if (this.#isIgnored(parent, known, seen)) {
      if (known && known.kind !== seen.stat.kind) findings.vanished.push(known);
      return;
    }
    const path = pathOf({ directory, name: seen.name });
    if (this.#unreadable.has(path)) this.#queue.set(path, true);
    // Whatever is known under another spelling of this name: only the whole directory tells whether it is this.
    if (!known && trees.localAt(parent, seen.name)) this.#settling.listSoon(directory, nowMs + FRESH_MS, nowMs);
    else this.#sightings.compare({ directory, parent, name: seen.name }, known, seen, findings);
  }

  #respelled(
    place: Place,
    seen: ListedEntry,
    bySpot: ReadonlyMap<string, LocalRow>,
  ): { readonly before: string; readonly now: LocalRow } | null {
    const row = bySpot.get(spotOf(this.#device.trees.names, place.name));
    const now = row ? this.#sightings.respelled(place, seen, row) : null;
    if (!row || !now) return null;
    const { directory } = place;
    if (row.kind === 'folder') this.folderMoved(pathOf({ directory, name: nameHere(row) }), pathOf(place));
    return { before: nameHere(row), now };
  }

  #notListed(directory: string, listing: { readonly kind: 'missing' } | Failure, nowMs: number): void {
    if (listing.kind === 'failed') {
      // What cannot be read is not gone: its part of the tree stays as it is.
      this.#unreadable.add(directory, listing, nowMs);
      return;
    }
    this.#watches.dropBelow(directory);
    this.#unreadable.removeBelow(directory);
    if (directory !== '') this.lookAt(directory);
  }

  #tellUnnameable(directory: string, names: readonly string[]): void {
    const { problems } = this.#device;
    const told = new Set<string>();
    for (const name of names) {
      const subject = `name:${directory}/:${name}`;
      told.add(subject);
      problems.set(subject, {
        path: escapeForPeople(directory === '' ? name : `${directory}/${name}`),
        code: 'invalid_name',
        message: 'no other device could hold this name; it stays on this device alone',
      });
    }
    problems.clearBelow(`name:${directory}/:`, told);
  }
}

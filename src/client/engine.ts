/**
 * One loop of bounded turns: settle what is unknown, take what the server told, look at the disk, plan what is dirty, carry it out; and
 * sleep when nothing of this is to be done.
 */
import { must } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { SealKeys } from '#core/keyring.ts';
import { holdsWithdraw } from '#protocol/holds.ts';
import type { Stat } from '#world/folder.ts';
import { Attachment, beginReconcile } from './attachment.ts';
import { Commits } from './commits.ts';
import { carryOutDecisions, type Decided } from './decisions.ts';
import { failureOfOne, type Device } from './device.ts';
import { Downloader } from './down.ts';
import { LargeDownloads } from './large-downloads.ts';
import { LargeUploads } from './large-uploads.ts';
import { isOutage } from './line.ts';
import { readListing } from './listing.ts';
import { Merging } from './merging.ts';
import { learnNames } from './names.ts';
import { Observer } from './observer.ts';
import { Pairing } from './pairing.ts';
import { PlanReads } from './plan-reads.ts';
import { PlanRun } from './plan-run.ts';
import type { Problem } from './problems.ts';
import { Pulling } from './pulling.ts';
import { Reader } from './reader.ts';
import { dropAbandoned, recover } from './recovery.ts';
import { RemoteTree } from './remote-tree.ts';
import { rootMarkOf } from './stat-text.ts';
import { StatusBook, type Status } from './status.ts';
import { UnsureFiles } from './unsure-files.ts';
import { Uploader } from './up.ts';

const ROOT_LOOKED_AT_MS = 2000;
const FAILED_PAUSE_MS = 5000;
const REST_MS_MAX = 60_000;

export type EngineHooks = {
  /** Asks the space's keys. `anew`: what was known of versions before does not bind. */
  readonly refreshKeys: (how?: { readonly anew: boolean }) => Promise<SealKeys>;
  readonly onStatus: (status: Status) => void;
};

export class Engine {
  readonly #device: Device;
  readonly #hooks: EngineHooks;
  readonly #remote: RemoteTree;
  readonly #pulling: Pulling;
  readonly #observer: Observer;
  readonly #attachment: Attachment;
  readonly #commits: Commits;
  readonly #uploads: LargeUploads;
  readonly #downloads: LargeDownloads;
  readonly #plans: PlanRun;
  readonly #merging: Merging;
  readonly #status: StatusBook;
  #paused: Problem | null = null;
  #rootCheckMs = 0;
  #restUntilMs = 0;
  #recovered = false;
  #root: Stat | null = null;
  /** No transfer is open that nobody wants any more. */
  #tidy = false;
  #scanned = false;
  /** Hints came that the observer has not taken yet. */
  #hinted = false;
  /** The journal goes on at once: a group of changes may be only half in the remote tree. */
  #more = false;
  #listing: 'none' | 'expired' | 'union' = 'none';
  /** The journal does not go on from where we are: it says why when it is asked. */
  #mustPull = false;

  constructor(device: Device, hooks: EngineHooks) {
    this.#device = device;
    this.#hooks = hooks;
    this.#remote = new RemoteTree(device);
    const cursor = () => this.#remote.cursor;
    this.#pulling = new Pulling(device, cursor);
    this.#observer = new Observer(device);
    this.#uploads = new LargeUploads(device);
    this.#downloads = new LargeDownloads(device);
    this.#attachment = new Attachment(device);
    this.#commits = new Commits(device, this.#attachment, cursor, (entry) => this.#uploads.sendWhole(entry));
    const lookAt = (path: string) => this.#observer.lookAt(path);
    const unsure = new UnsureFiles(device, lookAt);
    const reader = new Reader(device, lookAt);
    const reads = new PlanReads(device, reader, lookAt);
    this.#plans = new PlanRun(device, this.#observer, this.#attachment, {
      pairing: new Pairing(device, this.#observer, reads, this.#uploads),
      reads,
      uploader: new Uploader(device, reader, this.#uploads, this.#commits),
      downloader: new Downloader(device, this.#observer, this.#downloads, unsure),
    });
    this.#merging = new Merging(device, lookAt, unsure);
    this.#status = new StatusBook(device);
    // A listing that was begun and not finished stands for nothing.
    if (this.#remote.cursor === null || device.state.meta('reconcile') !== null) this.#listing = 'union';
  }

  /** Until the device's signal aborts. Rejects with defects only. */
  async run(): Promise<void> {
    const { signal, clock, dirty, state } = this.#device;
    state.transaction(() => dirty.wakeAll());
    const hints = this.#hearHints();
    while (!signal.aborted) {
      const begunMs = clock.monotonicMs();
      const progress = await this.#turn().catch((error: unknown) => this.#interrupted(error));
      if (signal.aborted) break;
      this.#tell(progress);
      if (!progress) await this.#rest(begunMs);
    }
    this.#onHintsTaken?.();
    await Promise.all([hints, this.ended()]);
  }

  /** All that runs beside the loop has ended; the device's signal has to be aborted for that. */
  async ended(): Promise<void> {
    await Promise.all([this.#pulling.ended(), this.#uploads.ended(), this.#downloads.ended()]);
  }

  get status(): Status {
    return this.#status.last ?? this.#makeStatus(false);
  }

  async #hearHints(): Promise<void> {
    const { watcher, wake, signal } = this.#device;
    while (!signal.aborted) {
      await watcher.wait(signal);
      if (signal.aborted) return;
      this.#hinted = true;
      // Whoever wrote a file and asks at once is not told that it is in sync.
      this.#unsettle();
      wake.call();
      // The loop takes the hints; waiting again before it did would return at once.
      await this.#hintsTaken(signal);
    }
  }

  #onHintsTaken: (() => void) | null = null;
  #hintsTaken(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onHintsTaken = resolve;
    });
  }

  /** True where something was done. */
  async #turn(): Promise<boolean> {
    const { deferrals, selection, line, clock } = this.#device;
    if (clock.monotonicMs() < this.#restUntilMs) return false;
    if (!(await this.#rootIsChecked())) return false;
    let progress = deferrals.wakeDue();
    if (line.open) progress = (await this.#talk()) || progress;
    progress = (await this.#observe()) || progress;
    // What has yet to go up must be known by then.
    if (this.#scanned) progress = selection.take() || progress;
    // What the disk was not told to keep is compared first: it may not have been kept.
    if (this.#recovered) await this.#device.unflushed.flushDue();
    if (this.#mayPlan() && this.#device.dirty.ready) progress = (await this.#plans.step()) || progress;
    if (progress) this.#tidy = false;
    else if (!this.#tidy && this.#mayPlan()) {
      // Of what a plan no longer names, a power cut took the file, say.
      await dropAbandoned(this.#device);
      this.#tidy = true;
    }
    // What is left of conflicts, once all else is done.
    if (!progress && this.#mayPlan() && this.#merging.waiting) progress = await this.#merging.step();
    return progress;
  }

  async #observe(): Promise<boolean> {
    if (!this.#recovered) return false;
    // It takes the hints before it waits for anything; those that come meanwhile are new ones.
    const step = this.#observer.step(() => this.#rootIsThere());
    this.#hinted = false;
    this.#onHintsTaken?.();
    this.#onHintsTaken = null;
    const looked = await step;
    if (this.#scanned || looked || !this.#observer.quiet) return looked;
    // A union, and every plan, waited for this.
    this.#scanned = true;
    return true;
  }

  /** What is between us and the server, before anything new is begun. */
  async #talk(): Promise<boolean> {
    if (await this.#attach()) return true;
    if (!this.#recovered) {
      // First of all: what the disk holds is compared with what both sides agreed on.
      if (this.#commits.pending) await this.#commits.settlePending();
      await recover(this.#device, must(this.#root, 'its root was checked before anything else'));
      this.#recovered = true;
      this.#observer.scanAll();
    }
    if (this.#commits.keysAreStale) {
      await this.#hooks.refreshKeys();
      this.#commits.keysAreStale = false;
    }
    if (this.#commits.pending) {
      await this.#commits.settlePending();
      return true;
    }
    if (this.#listing !== 'none') {
      // Who had a tree before unites what the disk holds now, not what it held when it was last looked at.
      if (this.#listing === 'union' && this.#remote.cursor !== null && !this.#scanned) return false;
      await this.#list();
      return true;
    }
    const took = await this.#takePulled();
    this.#pulling.noteHeld();
    this.#pulling.keepAsking();
    return took;
  }

  /** True where the server was asked. */
  async #attach(): Promise<boolean> {
    const { state, random, log, dirty } = this.#device;
    if (this.#commits.refusedAs === 'superseded') this.#attachment.lost();
    if (this.#commits.refusedAs === 'cursor_reset') {
      await this.#pulling.restart();
      this.#mustPull = true;
    }
    this.#commits.refusedAs = null;
    if (this.#attachment.holds || (this.#recovered && this.#attachment.attached && !dirty.ready)) return false;
    if ((await this.#attachment.step()) === 'attached') return true;
    log.warn(
      'the state of this link was copied, or put back from an older time: both sides are united, nothing is deleted',
    );
    beginReconcile(state, random);
    this.#listing = 'union';
    return true;
  }

  async #list(): Promise<void> {
    await this.#pulling.restart();
    const union = this.#listing === 'union';
    await readListing(this.#device, this.#remote, !union);
    if (union) {
      // Of a server that was put back, also a lower version is the newest there is.
      await this.#hooks.refreshKeys({ anew: true });
      // What a device asked for that knows nothing of it any more is not what a person should still decide about.
      const { line, space, signal } = this.#device;
      await line.ask(holdsWithdraw, { space }, signal);
    }
    this.#remote.finishListing(union ? () => this.#observer.forgetUnseen() : null);
    this.#commits.forgetHead();
    this.#listing = 'none';
    this.#more = false;
    this.#mustPull = false;
  }

  async #takePulled(): Promise<boolean> {
    const pulled = this.#pulling.take();
    if (!pulled) return false;
    this.#mustPull = false;
    if (pulled.kind === 'reset') {
      this.#listing = pulled.reason === 'epoch_changed' ? 'union' : 'expired';
      this.#device.log.info('the journal is read anew', { reason: pulled.reason });
      return true;
    }
    if (pulled.count > 0) this.#unsettle();
    const applied = this.#remote.apply(pulled);
    this.#more = pulled.more;
    if (applied.kind === 'relist') this.#listing = 'expired';
    else {
      if (applied.newKeys) await this.#hooks.refreshKeys();
      await this.#decide(pulled.decided);
    }
    return true;
  }

  /** Only with the rows that the decision made: without them, what was approved would look rejected. */
  async #decide(decided: readonly Decided[]): Promise<void> {
    const seq = this.#remote.cursor?.seq ?? 0;
    const now = decided.filter((one) => one.seq <= seq);
    if (now.length === 0) return;
    this.#unsettle();
    const whole = await carryOutDecisions(this.#device, now, (path) => this.#observer.lookAt(path));
    if (!whole) this.#pulling.postponeDecisions();
  }

  #mayPlan(): boolean {
    const { line } = this.#device;
    const cursor = this.#remote.cursor;
    return (
      this.#scanned &&
      line.open &&
      this.#attachment.holds &&
      !this.#mustPull &&
      this.#listing === 'none' &&
      cursor !== null &&
      this.#remote.complete &&
      !this.#more &&
      cursor.seq >= this.#commits.gateSeq &&
      !this.#commits.pending
    );
  }

  async #rootIsChecked(): Promise<boolean> {
    const { clock } = this.#device;
    const first = this.#rootCheckMs === 0;
    if (!first && !this.#paused) return true;
    if (clock.monotonicMs() < this.#rootCheckMs) return false;
    if (!(await this.#rootIsThere())) return false;
    const failure = await learnNames(this.#device);
    if (failure) {
      this.#pause({ path: '', code: failure.code, message: `nothing can be made in the folder: ${failure.detail}` });
      return false;
    }
    if (!first && this.#recovered) {
      // It may have gone as a power cut goes: pulled out.
      const { state } = this.#device;
      state.transaction(() => state.setMeta('boot', null));
      this.#recovered = false;
      this.#scanned = false;
      this.#observer.startAnew();
    }
    return true;
  }

  /** The root is the one that was linked. Otherwise everything pauses: nothing on it can be believed. */
  async #rootIsThere(): Promise<boolean> {
    const { folder, state, clock, log } = this.#device;
    const root = await folder.root();
    this.#rootCheckMs = clock.monotonicMs() + ROOT_LOOKED_AT_MS;
    if (root.kind === 'found' && root.rootId === state.meta('root_id')) {
      this.#observer.rootDev = root.stat.dev;
      this.#root = root.stat;
      this.#checkRootMark(rootMarkOf(root.stat));
      if (this.#paused) log.info('the folder is back');
      this.#paused = null;
      return true;
    }
    this.#pause(
      root.kind === 'failed'
        ? { path: '', code: root.code, message: `the folder cannot be read: ${root.detail}` }
        : {
            path: '',
            code: 'folder_missing',
            message:
              root.kind === 'missing'
                ? 'the folder is not there; nothing is deleted, and syncing goes on when it is back'
                : 'this is not the folder that was linked (is its disk mounted?); nothing is deleted, and syncing goes on when it is back',
          },
    );
    return false;
  }

  /** The folder's mark on another folder: a copy of it, which may lack what the state says is here. Nobody deleted that. */
  #checkRootMark(mark: string): void {
    const { state, random, log } = this.#device;
    const known = state.meta('root_mark');
    if (known === mark) return;
    if (known === null) return state.transaction(() => state.setMeta('root_mark', mark));
    log.warn('the folder is a copy of the one that was linked: both sides are united, nothing is deleted');
    beginReconcile(state, random, mark);
    this.#attachment.lost();
    this.#listing = 'union';
    this.#scanned = false;
    if (this.#recovered) this.#observer.startAnew();
  }

  #pause(problem: Problem): void {
    if (!this.#paused) this.#device.log.warn('syncing pauses', { reason: problem.message });
    this.#paused = problem;
  }

  /** False: nothing was done, so that the loop rests. Throws defects. */
  #interrupted(error: unknown): boolean {
    const { signal, clock, problems, log } = this.#device;
    if (signal.aborted || isOutage(error)) return false;
    if (hasCode(error, 'folder_missing')) {
      this.#rootCheckMs = clock.monotonicMs();
      this.#pause({ path: '', code: error.code, message: error.message });
      return true;
    }
    if (!failureOfOne(error) && !hasCode(error, 'upgrade_required', 'newer_version', 'data_in_use')) throw error;
    const failure = error as HoldfastError;
    log.warn('syncing stopped for a moment', { code: failure.code, detail: failure.message });
    problems.set('engine', { path: '', code: failure.code, message: failure.message });
    this.#restUntilMs = clock.monotonicMs() + FAILED_PAUSE_MS;
    return false;
  }

  /** Nothing is under way or waited for, and the journal was applied to its end. */
  #isIdle(progress: boolean): boolean {
    const { dirty, line } = this.#device;
    return (
      !progress &&
      !this.#hinted &&
      this.#scanned &&
      this.#paused === null &&
      line.down === null &&
      this.#listing === 'none' &&
      this.#remote.complete &&
      this.#pulling.caughtUp &&
      (this.#remote.cursor?.seq ?? 0) >= this.#commits.headSeq &&
      !this.#commits.pending &&
      this.#uploads.running === 0 &&
      this.#downloads.running === 0 &&
      this.#observer.quiet &&
      !dirty.ready
    );
  }

  #tell(progress: boolean): void {
    const idle = this.#isIdle(progress);
    if (progress && this.#device.problems.get('engine')) this.#device.problems.clear('engine');
    if (!this.#status.isDue(idle)) return;
    const status = this.#makeStatus(idle);
    this.#status.write(status);
    this.#hooks.onStatus(status);
  }

  #unsettle(): void {
    const status = this.#status.unsettle();
    if (status) this.#hooks.onStatus(status);
  }

  #makeStatus(idle: boolean): Status {
    return this.#status.make(idle, this.#paused, { up: this.#uploads.running, down: this.#downloads.running });
  }

  /**
   * `begunMs`: when the turn before it began. What was to come after that is waited for even where its time has come by now: the turn may
   * have looked a moment too early, and nothing else would wake us.
   */
  async #rest(begunMs: number): Promise<void> {
    const { clock, deferrals, line, wake, signal } = this.#device;
    const nowMs = clock.monotonicMs();
    let untilMs = Math.min(nowMs + REST_MS_MAX, deferrals.nextDueMs());
    if (this.#recovered) untilMs = Math.min(untilMs, this.#device.unflushed.nextDueMs());
    if (this.#recovered && !this.#paused) untilMs = Math.min(untilMs, this.#observer.nextDueMs());
    for (const laterMs of [line.retryAtMs, this.#attachment.holdsUntilMs])
      if (laterMs > begunMs) untilMs = Math.min(untilMs, laterMs);
    if (this.#paused) untilMs = this.#rootCheckMs;
    if (this.#restUntilMs > begunMs) untilMs = this.#restUntilMs;
    await wake.sleep(Math.max(untilMs, nowMs + 1), signal);
  }
}

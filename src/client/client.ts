/**
 * The sync engine of one link: keeps a folder and a space equal, until it is closed.
 *
 * `linkFolder` (link.ts) first, once. Then `startClient`: it needs no reachable server to start, and goes on by itself after every outage.
 * The state file is one client's alone; the caller sees to that (a lock on its directory). Another process may read the status from it
 * (`readState`, status.ts).
 */
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Peer } from '#protocol/wire.ts';
import type { Clock } from '#world/clock.ts';
import type { Folder } from '#world/folder.ts';
import type { Log } from '#world/log.ts';
import type { Random } from '#world/random.ts';
import type { SqlOpener } from '#world/sql.ts';
import type { Watcher } from '#world/watcher.ts';
import { Compressing } from './compressing.ts';
import { Deferrals } from './deferrals.ts';
import type { Device } from './device.ts';
import { Dirty } from './dirty.ts';
import { Engine } from './engine.ts';
import { guardedFolder } from './guarded-folder.ts';
import { Ignoring } from './ignoring.ts';
import { Held } from './held.ts';
import { isOutage, Line } from './line.ts';
import { Problems } from './problems.ts';
import { Selection } from './selection.ts';
import { askSpaceKeys } from './space-keys.ts';
import { openState, type State } from './state.ts';
import { NOT_YET, storeStatus, type Status } from './status.ts';
import { Trees } from './trees.ts';
import { UnflushedFiles } from './unflushed-files.ts';
import { Wake } from './wake.ts';

export type ClientOptions = {
  /** Closed by the client, as are `watcher` and `peer`. */
  readonly folder: Folder;
  readonly watcher: Watcher;
  readonly peer: Peer;
  readonly sql: SqlOpener;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly primitives: Primitives;
  readonly statePath: string;
  /** For the names of conflicts' copies. */
  readonly deviceName: string;
  /** Null: the account's own. */
  readonly space: SpaceId | null;
  /** Names this start of the machine; null where nobody can tell. */
  readonly boot: string | null;
  readonly onStatus?: (status: Status) => void;
};

export interface Client {
  status(): Status;
  /** Another process wrote down a choice (`selection.ts`): it is looked for at once. */
  chosen(): void;
  /**
   * Resolves when both sides are in sync, or all that is left has problems that waiting does not solve (`inSync` says which). Rejects
   * where the client ends before, or the signal aborts.
   */
  untilInSync(signal: AbortSignal): Promise<Status>;
  /** Resolves after `close`; rejects with the defect that ended the client. */
  readonly ended: Promise<void>;
  /** Stops after the step that is under way. What is not finished goes on at the next start. */
  close(): Promise<void>;
}

export function startClient(options: ClientOptions): Client {
  const state = openState(options.sql, options.statePath);
  if (state.meta('root_id') === null) {
    state.close();
    throw new HoldfastError('not_linked', 'this folder is not linked');
  }
  return new RunningClient(options, state);
}

class RunningClient implements Client {
  readonly #options: ClientOptions;
  readonly #state: State;
  readonly #stop = new AbortController();
  readonly #waiters = new Set<{ resolve: (status: Status) => void; reject: (error: unknown) => void }>();
  #status: Status = NOT_YET;
  #keys: SealKeys | null = null;
  readonly ended: Promise<void>;
  #onChosen: () => void = () => {};

  constructor(options: ClientOptions, state: State) {
    this.#options = options;
    this.#state = state;
    state.transaction(() => {
      state.setMeta('running', '1');
      // What the last run said holds no more: nobody looked since.
      storeStatus(state, NOT_YET);
    });
    this.ended = this.#run().finally(() => this.#cleanUp());
    // Whoever does not ask hears of it in the log.
    this.ended.catch((error: unknown) => options.log.error('the client ended', { error: String(error) }));
  }

  status(): Status {
    return this.#status;
  }

  chosen(): void {
    this.#onChosen();
  }

  untilInSync(signal: AbortSignal): Promise<Status> {
    if (this.#status.settled) return Promise.resolve(this.#status);
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiters.add(waiter);
      const giveUp = () => {
        this.#waiters.delete(waiter);
        reject(new HoldfastError('stopping', 'nobody waits for the sync any more'));
      };
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  async close(): Promise<void> {
    this.#stop.abort(new HoldfastError('stopping', 'the client is closing'));
    await this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    const { clock, random, log, peer } = this.#options;
    const line = new Line(peer, clock, random, log);
    const space = await this.#askKeys(line);
    if (space === null) return;
    const wake = new Wake(clock);
    const dirty = new Dirty(this.#state);
    const problems = new Problems(this.#state);
    const trees = new Trees(this.#state, (entry, kind) => dirty.add(entry, kind));
    const folder = guardedFolder(this.#options.folder);
    const selection = new Selection(this.#state, trees, dirty);
    const grounds: Omit<Device, 'ignoring'> = {
      ...this.#options,
      folder,
      space,
      state: this.#state,
      trees,
      selection,
      dirty,
      problems,
      deferrals: new Deferrals(dirty, problems, clock, random),
      held: new Held({ state: this.#state, trees, dirty, problems }),
      line,
      compressing: new Compressing({ line, clock, space, signal: this.#stop.signal }),
      wake,
      unflushed: new UnflushedFiles(this.#state, trees, folder, clock),
      keys: () => must(this.#keys, 'the keys were asked for at the start'),
      signal: this.#stop.signal,
    };
    const ignoring = new Ignoring(grounds);
    trees.wish = (remote) => {
      if (!selection.isWanted(remote.entry)) return 'not_selected';
      return ignoring.isIgnored('remote', remote, remote.kind === 'folder') ? 'ignored' : null;
    };
    const device: Device = { ...grounds, ignoring };
    this.#onChosen = () => wake.call();
    const engine = new Engine(device, {
      refreshKeys: async (how) => {
        const { keys } = await askSpaceKeys(line, space, this.#stop.signal);
        if (how?.anew) this.#keys = null;
        this.#takeKeys(keys);
        return keys;
      },
      onStatus: (status) => this.#tell(status),
    });
    try {
      await engine.run();
    } catch (error) {
      // Nothing may go on over a state that is closed.
      this.#stop.abort(new HoldfastError('stopping', 'the client has ended'));
      await engine.ended();
      throw error;
    }
  }

  /** Until the server answers; null where the client was closed before. */
  async #askKeys(line: Line): Promise<SpaceId | null> {
    const { clock, space } = this.#options;
    const { signal } = this.#stop;
    const linked = this.#state.meta('space') as SpaceId | null;
    while (!signal.aborted) {
      try {
        const found = await askSpaceKeys(line, linked ?? space, signal);
        this.#takeKeys(found.keys);
        this.#state.transaction(() => this.#state.setMeta('space', found.space));
        return found.space;
      } catch (error) {
        if (signal.aborted) break;
        if (!isOutage(error)) throw error;
        const problem = { path: '', code: error.code, message: error.message };
        const status = { ...NOT_YET, settled: error.retry === 'never', problems: [problem], problemCount: 1 };
        this.#state.transaction(() => storeStatus(this.#state, status));
        this.#tell(status);
        await clock.sleep(Math.max(1, line.retryAtMs - clock.monotonicMs()), signal);
      }
    }
    return null;
  }

  /** A version lower than one that was seen would seal new data for somebody who was sent away. */
  #takeKeys(keys: SealKeys): void {
    const before = this.#keys?.current.version ?? 0;
    if (keys.current.version < before)
      throw new HoldfastError('integrity', `the server offers key version ${keys.current.version} after ${before}`);
    this.#keys = keys;
  }

  #tell(status: Status): void {
    this.#status = status;
    this.#options.onStatus?.(status);
    if (!status.settled) return;
    for (const waiter of this.#waiters) waiter.resolve(status);
    this.#waiters.clear();
  }

  async #cleanUp(): Promise<void> {
    for (const waiter of this.#waiters) waiter.reject(new HoldfastError('stopping', 'the client has ended'));
    this.#waiters.clear();
    this.#options.watcher.close();
    await this.#options.folder.close();
    await this.#options.peer.close();
    // Where it cannot be written, the lock tells.
    this.#state.ifRoom(() => this.#state.transaction(() => this.#state.setMeta('running', null)));
    this.#state.close();
  }
}

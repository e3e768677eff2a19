/**
 * `Watcher` on a simulated machine: one watch for each directory, on the inode, as inotify has it. What happens is queued, heard when its
 * time has come, and judged by what is on the disk by then; a share of it may be lost, and too much of it at once is an overflow.
 */
import type { Hint, Watcher } from '../watcher.ts';
import type { Inode } from './files/inode.ts';
import type { Chance } from './files/power-cut.ts';
import type { ProcessFiles } from './files/process-files.ts';
import { SystemError } from './files/system-error.ts';

export type SimWatcherOptions = {
  /** Of the process that watches. */
  readonly files: ProcessFiles;
  readonly root: string;
  /** Has `run` at a time of its choosing, unless the process ends before. */
  readonly later: (name: string, run: () => void) => void;
  readonly chance: Chance;
  /** Of a thousand events so many are lost without a word. */
  readonly lostOfThousand?: number;
  readonly watchesMax?: number;
  /** Events that wait to be heard. */
  readonly queueMax?: number;
};

const OWN = '.holdfast';
/** Names in one directory beyond which only the directory is hinted. */
const NAMES_MAX = 64;
const QUEUE_MAX = 16_000;

type Watched = { readonly directory: string; readonly inode: Inode; readonly listener: (name: string | null) => void };
type Event = { readonly watched: Watched; readonly name: string | null };

export class SimWatcher implements Watcher {
  readonly #options: SimWatcherOptions;
  readonly #watched = new Map<string, Watched>();
  #queue: Event[] = [];
  /** By directory: the names, or null for the directory as a whole. */
  #hints = new Map<string, Set<string> | null>();
  #overflow = false;
  #hasLost = false;
  readonly #waiting = new Set<() => void>();
  #isDelivering = false;

  constructor(options: SimWatcherOptions) {
    this.#options = options;
  }

  watch(directory: string): boolean {
    this.unwatch(directory);
    const inode = this.#find(directory);
    if (inode === null) {
      this.#hint(directory, null);
      this.#deliverLater();
      return true;
    }
    if (this.#watched.size >= (this.#options.watchesMax ?? Number.MAX_SAFE_INTEGER)) return false;
    const watched: Watched = { directory, inode, listener: (name) => this.#queueUp({ watched, name }) };
    (inode.listeners ??= new Set()).add(watched.listener);
    this.#watched.set(directory, watched);
    return true;
  }

  unwatch(directory: string): void {
    const watched = this.#watched.get(directory);
    if (watched === undefined) return;
    this.#watched.delete(directory);
    watched.inode.listeners?.delete(watched.listener);
    if (watched.inode.listeners?.size === 0) watched.inode.listeners = null;
  }

  isWatching(directory: string): boolean {
    return this.#watched.has(directory);
  }

  take(): readonly Hint[] {
    const hints: Hint[] = this.#overflow ? [{ kind: 'overflow' }] : [];
    for (const [directory, names] of this.#hints) {
      if (names === null) hints.push({ kind: 'directory', directory });
      else for (const name of names) hints.push({ kind: 'name', directory, name });
    }
    this.#overflow = false;
    this.#hints = new Map();
    return hints;
  }

  wait(signal: AbortSignal): Promise<void> {
    if (this.#overflow || this.#hints.size > 0 || signal.aborted) return Promise.resolve();
    return new Promise((done) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        done();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#waiting.add(wake);
    });
  }

  close(): void {
    for (const directory of this.#watched.keys()) this.unwatch(directory);
    this.#queue = [];
    this.#wake();
  }

  #queueUp(event: Event): void {
    if (this.#queue.length >= (this.#options.queueMax ?? QUEUE_MAX)) this.#hasLost = true;
    else this.#queue.push(event);
    this.#deliverLater();
  }

  #deliverLater(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    this.#options.later('watcher', () => {
      this.#isDelivering = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const event of queue) if (!this.#isLost()) this.#heard(event);
    if (this.#hasLost) this.#overflow = true;
    this.#hasLost = false;
    if (this.#overflow || this.#hints.size > 0) this.#wake();
  }

  #isLost(): boolean {
    const share = this.#options.lostOfThousand ?? 0;
    return share > 0 && this.#options.chance.below(1000) < share;
  }

  #heard({ watched, name }: Event): void {
    const { directory, inode } = watched;
    if (this.#watched.get(directory) !== watched) return;
    if (directory === '' && name === OWN) return;
    if (name === null || !name.isWellFormed()) this.#hint(directory, null);
    else this.#hint(directory, name);
    if (name === null && this.#find(directory) !== inode) this.#unwatchSubtree(directory);
  }

  /** Watches below a directory that moved would go on under paths that now mean other things. */
  #unwatchSubtree(directory: string): void {
    const prefix = directory === '' ? '' : `${directory}/`;
    for (const path of this.#watched.keys()) {
      if (path === directory || path.startsWith(prefix)) this.unwatch(path);
    }
  }

  #find(directory: string): Inode | null {
    const names = directory === '' ? [] : directory.split('/');
    if (names[0] === OWN || names.some((name) => name === '' || name === '.' || name === '..')) return null;
    try {
      return this.#options.files.folderBelow(this.#options.root, names);
    } catch (error) {
      // Not to be reached: whoever lists it learns why.
      if (error instanceof SystemError) return null;
      throw error;
    }
  }

  #hint(directory: string, name: string | null): void {
    const names = this.#hints.get(directory);
    if (name === null || (names !== undefined && names !== null && names.size >= NAMES_MAX)) {
      this.#hints.set(directory, null);
    } else if (names === undefined) {
      this.#hints.set(directory, new Set([name]));
    } else {
      names?.add(name);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

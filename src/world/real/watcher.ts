/**
 * `Watcher` on inotify and its like by way of fs.watch: one watch per directory, never a recursive one, which loses events or drowns.
 * Linux tells Node nothing of an overflow of its event queue, so a burst as long as the queue counts as one.
 */
import { watch, readFileSync, type FSWatcher } from 'node:fs';
import { basename, resolve } from 'node:path';
import { HoldfastError } from '#core/errors.ts';
import type { Hint, Watcher } from '../watcher.ts';
import { hasErrno, errnoOf } from './folder/failure.ts';
import { Grip, type Directory } from './folder/grip.ts';
import { OWN } from './folder/path.ts';
import { isSameInode } from './folder/stat.ts';
import { realFileSystem } from './file-system.ts';
import type { Stat } from '../folder.ts';

/** The system's default queue holds 16,384 events; those of watches that were closed meanwhile are not seen. */
const BURST_EVENTS_MAX = 16_000;
/** Names in one directory beyond which only the directory is hinted: listing it is cheaper then. */
const NAMES_MAX = 64;
/** What Node puts where bytes are no UTF-8. */
const REPLACEMENT = '\ufffd';

type Watched = { readonly watcher: FSWatcher; readonly stat: Stat; readonly selfName: string };

/** `root` must exist when a directory is watched; it may vanish and come back. */
export function realWatcher(root: string): Watcher {
  return new DirectoryWatcher(resolve(root));
}

class DirectoryWatcher implements Watcher {
  readonly #root: string;
  readonly #watched = new Map<string, Watched>();
  /** By directory: the names, or null for the directory as a whole. */
  #hints = new Map<string, Set<string> | null>();
  #overflow = false;
  readonly #waiting = new Set<() => void>();
  #isWaking = false;

  constructor(root: string) {
    this.#root = root;
    burst.watchers.add(this);
  }

  watch(directory: string): boolean {
    this.unwatch(directory);
    try {
      const grip = Grip.open(realFileSystem, this.#root);
      try {
        const found = grip.directory(directory);
        if (found === null) this.#hint(directory, null);
        else this.#watched.set(directory, this.#watchFound(directory, found));
        return true;
      } finally {
        grip.close();
      }
    } catch (error) {
      return this.#couldNot(directory, error);
    }
  }

  unwatch(directory: string): void {
    this.#watched.get(directory)?.watcher.close();
    this.#watched.delete(directory);
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
    burst.watchers.delete(this);
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
    this.#wake();
  }

  overflowed(): void {
    this.#overflow = true;
    this.#wake();
  }

  #watchFound(directory: string, found: Directory): Watched {
    const path = found.at('');
    // The path leads through an open descriptor, so that what is watched is the directory that was found, whatever its name leads to by now.
    const watcher = watch(path, (_event, name) => this.#heard(directory, watched, name));
    const watched: Watched = { watcher, stat: found.stat(), selfName: basename(path) };
    watcher.on('error', () => {
      if (this.#watched.get(directory) === watched) this.unwatch(directory);
      this.overflowed();
    });
    return watched;
  }

  #heard(directory: string, watched: Watched, name: string | null): void {
    countEvent();
    if (this.#watched.get(directory) !== watched) return;
    if (directory === '' && name === OWN) return;
    if (name === null || name.includes(REPLACEMENT)) return this.#hint(directory, null);
    // An event of the directory itself carries the last name of the path that it was watched by.
    if (name !== watched.selfName) return this.#hint(directory, name);
    this.#hint(directory, null);
    if (!this.#isStillThere(directory, watched)) this.#unwatchSubtree(directory);
  }

  #isStillThere(directory: string, { stat }: Watched): boolean {
    try {
      const grip = Grip.open(realFileSystem, this.#root);
      try {
        const found = directory === '' ? grip.root.stat() : this.#statOf(grip, directory);
        return found !== null && isSameInode(found, stat);
      } finally {
        grip.close();
      }
    } catch (error) {
      if (errnoOf(error) !== null || error instanceof HoldfastError) return false;
      throw error;
    }
  }

  #statOf(grip: Grip, directory: string): Stat | null {
    const spot = grip.spot(directory);
    return spot === null ? null : realFileSystem.lstat(spot.at);
  }

  /** Watches below a directory that moved would go on under paths that now mean other things. */
  #unwatchSubtree(directory: string): void {
    const prefix = directory === '' ? '' : `${directory}/`;
    for (const path of this.#watched.keys()) {
      if (path === directory || path.startsWith(prefix)) this.unwatch(path);
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
    this.#wake();
  }

  /** Node comes to this when it has delivered all that was queued: a burst wakes its taker once, not once for each event. */
  #wake(): void {
    if (this.#isWaking) return;
    this.#isWaking = true;
    setImmediate(() => {
      this.#isWaking = false;
      for (const wake of this.#waiting) wake();
    });
  }

  #couldNot(directory: string, error: unknown): boolean {
    if (hasErrno(error, 'ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM')) return false;
    // Not a path, no permission, or gone: whoever lists it learns which.
    if (error instanceof HoldfastError || hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM')) {
      this.#hint(directory, null);
      return true;
    }
    if (errnoOf(error) !== null) return false;
    throw error;
  }
}

/** All watchers of a thread share one event queue of the system, and so one count. */
const burst = { events: 0, limit: 0, watchers: new Set<DirectoryWatcher>() };

function countEvent(): void {
  if (burst.events === 0) {
    burst.limit ||= eventsMax();
    // Node delivers all queued events before it comes to this.
    setImmediate(() => {
      burst.events = 0;
    });
  }
  burst.events += 1;
  if (burst.events !== burst.limit) return;
  for (const watcher of burst.watchers) watcher.overflowed();
}

/** A machine may be set to a shorter queue. */
function eventsMax(): number {
  try {
    const queued = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'latin1'));
    return queued > 0 ? Math.min(BURST_EVENTS_MAX, Math.floor(queued * 0.95)) : BURST_EVENTS_MAX;
  } catch {
    return BURST_EVENTS_MAX;
  }
}

/** Which directories are watched. A watch follows the directory, not its path: after a move everything below is watched anew. */
import type { Log } from '#world/log.ts';
import type { Watcher } from '#world/watcher.ts';

export class Watches {
  readonly #watcher: Watcher;
  readonly #log: Log;
  readonly #watched = new Set<string>();
  #refused = false;

  constructor(watcher: Watcher, log: Log) {
    this.#watcher = watcher;
    this.#log = log;
  }

  /** Watch first, list second: whoever lists a directory calls this before. */
  ensure(directory: string): void {
    if (this.#watched.has(directory) && this.#watcher.isWatching(directory)) return;
    if (this.#watcher.watch(directory)) {
      // What is not there is not watched, and is no reason to complain: a listing tells.
      if (this.#watcher.isWatching(directory)) this.#watched.add(directory);
      else this.#watched.delete(directory);
      return;
    }
    if (this.#refused) return;
    this.#refused = true;
    this.#log.warn('the system watches no more directories; changes in the others are found by looking once a minute', {
      directory,
      remedy:
        'raise fs.inotify.max_user_watches; where not even the first is watched, fs.inotify.max_user_instances or the limit of open files (ulimit -n)',
    });
  }

  /** Some directories are not watched: scans must come more often. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Its watch has ended by itself, and so have those below it. */
  hasEnded(directory: string): boolean {
    return this.#watched.has(directory) && !this.#watcher.isWatching(directory);
  }

  /** It may be another directory than the one that was watched. */
  forget(directory: string): void {
    if (!this.#watched.delete(directory)) return;
    this.#watcher.unwatch(directory);
  }

  forgetAll(): void {
    for (const path of this.#watched) this.#watcher.unwatch(path);
    this.#watched.clear();
  }

  /** A directory is no longer where it was, and nothing below it. */
  dropBelow(directory: string): void {
    const prefix = `${directory}/`;
    for (const path of this.#watched) {
      if (path !== directory && !path.startsWith(prefix)) continue;
      this.#watcher.unwatch(path);
      this.#watched.delete(path);
    }
  }
}

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
    if (this.#watched.has(directory)) return;
    if (this.#watcher.watch(directory)) {
      this.#watched.add(directory);
      return;
    }
    if (this.#refused) return;
    this.#refused = true;
    this.#log.warn('the system watches no more directories; changes in the others are found by looking once a minute', {
      directory,
      remedy: 'raise fs.inotify.max_user_watches',
    });
  }

  /** Some directories are not watched: scans must come more often. */
  get refused(): boolean {
    return this.#refused;
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

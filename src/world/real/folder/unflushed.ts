/**
 * What was changed since it was last made durable. Few changes are kept open and fsynced in parallel; many are left to one
 * `sync -f`, which costs a process and all dirty pages of the file system, but no wait for each file.
 */
import type { FileSystem } from '../../file-system.ts';
import { hasErrno, holdfastErrorOf } from './failure.ts';
import { Grip, type Directory } from './grip.ts';
import { OWN } from './path.ts';

/** From about here on one process and one journal commit are cheaper than the fsyncs. */
const FEW = 32;
/** As many as Node's thread pool works on at a time. */
const PARALLEL = 4;

type Changes = {
  /** Open files and directories; null once there were too many. */
  held: number[] | null;
  readonly files: Set<string>;
  readonly directories: Set<string>;
};

export class Unflushed {
  readonly #fs: FileSystem;
  readonly #rootPath: string;
  #changes: Changes = noChanges();

  constructor(fs: FileSystem, rootPath: string) {
    this.#fs = fs;
    this.#rootPath = rootPath;
  }

  /** Takes over an open file that was written and put at `path`. */
  file(path: string, fd: number): void {
    this.#changes.files.add(path);
    this.#hold(() => fd, fd);
  }

  /** Names in it came or went. */
  directory(directory: Directory): void {
    if (!this.#fs.traits.syncsDirectories || this.#changes.directories.has(directory.path)) return;
    this.#changes.directories.add(directory.path);
    this.#hold(() => this.#fs.open(directory.at(''), 'list'), null);
  }

  /** Something that others made, as far as it is there and can be opened; of what cannot, its name alone is made durable. */
  madeByOthers(grip: Grip, path: string): void {
    const spot = grip.spot(path);
    if (spot === null) return;
    this.directory(spot.directory);
    if (this.#fs.lstat(spot.at)?.kind !== 'file') return;
    try {
      this.file(path, this.#fs.open(spot.at, 'read'));
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES', 'EPERM')) throw error;
    }
  }

  /** A folder was moved: what its path meant before is held open already, and what it means now is another directory. */
  forgetPaths(): void {
    if (this.#changes.held !== null) this.#changes.directories.clear();
  }

  /**
   * Rejects where the disk failed: then nothing that was changed since the last flush may be called durable. It is not tried again, since
   * the system may have dropped what it could not write.
   */
  async flush(): Promise<void> {
    const changes = this.#changes;
    this.#changes = noChanges();
    try {
      if (changes.held !== null) return await fsyncAll(this.#fs, changes.held);
      if (await this.#fs.syncAll(this.#rootPath)) return;
      await this.#fsyncPaths(changes);
    } catch (error) {
      throw holdfastErrorOf(error, '');
    }
  }

  close(): void {
    for (const fd of this.#changes.held ?? []) this.#fs.close(fd);
    this.#changes = noChanges();
  }

  #hold(open: () => number, given: number | null): void {
    const { held } = this.#changes;
    if (held !== null && held.length < FEW) {
      try {
        held.push(open());
        return;
      } catch (error) {
        // A directory that may be changed but not read: only the file system as a whole can be synced.
        if (!hasErrno(error, 'EACCES', 'ENOENT', 'EMFILE')) throw error;
      }
    }
    for (const fd of held ?? []) this.#fs.close(fd);
    if (given !== null) this.#fs.close(given);
    this.#changes.held = null;
  }

  async #fsyncPaths({ files, directories }: Changes): Promise<void> {
    const grip = Grip.open(this.#fs, this.#rootPath);
    try {
      await inTurn(files, async (path) => {
        const end = path.lastIndexOf('/');
        const directory = directoryOf(grip, path.slice(0, Math.max(end, 0)));
        if (directory !== null)
          await fsyncAll(
            this.#fs,
            opened(() => this.#fs.open(directory.at(path.slice(end + 1)), 'read')),
          );
      });
      await inTurn(directories, async (path) => {
        const directory = directoryOf(grip, path);
        if (directory === null) return;
        await fsyncAll(
          this.#fs,
          opened(() => this.#fs.open(directory.at(''), 'list')),
        );
      });
    } finally {
      grip.close();
    }
  }
}

function noChanges(): Changes {
  return { held: [], files: new Set(), directories: new Set() };
}

function directoryOf(grip: Grip, path: string): Directory | null {
  const isOwn = path === OWN || path.startsWith(`${OWN}/`);
  return isOwn ? grip.ownIfThere(path.slice(OWN.length + 1)) : grip.directory(path);
}

/** Nothing where it is no longer there: what moved on since is somebody else's change, and will be observed as one. */
function opened(open: () => number): readonly number[] {
  try {
    return [open()];
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return [];
    throw error;
  }
}

async function inTurn(paths: Iterable<string>, work: (path: string) => Promise<void>): Promise<void> {
  let running: Promise<void>[] = [];
  for (const path of paths) {
    running.push(work(path));
    if (running.length < PARALLEL) continue;
    await Promise.all(running);
    running = [];
  }
  await Promise.all(running);
}

/** Syncs and closes all of them, then throws the first error there was. */
async function fsyncAll(fs: FileSystem, fds: readonly number[]): Promise<void> {
  const results = await Promise.allSettled(fds.map((fd) => fs.fsyncAndClose(fd)));
  for (const result of results) {
    // Some file systems have nothing to sync in a directory, and say so like this.
    if (result.status === 'rejected' && !hasErrno(result.reason, 'EINVAL', 'ENOTSUP')) throw result.reason;
  }
}

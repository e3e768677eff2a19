/** The disk of a device: a root that is a file system of its own, the programs of people, and those of Holdfast. */
import type { FileSystem } from '#world/file-system.ts';
import { deviceProfiles, SimFileSystem, type DeviceProfile } from '#world/sim/sim-file-system.ts';
import { SystemError } from '#world/sim/files/system-error.ts';
import type { ProcessFiles } from '#world/sim/files/process-files.ts';
import type { Device } from '#world/sim/files/device.ts';
import type { SimWatcherOptions } from '#world/sim/sim-watcher.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';
import type { SimProcess } from '#world/sim/scheduler.ts';

const ROOT = '/sync';
const ROOM_CALLS = new Set(['write', 'mkdir', 'symlink', 'link', 'ftruncate']);
const DISK_CALLS = new Set([
  'read',
  'write',
  'fsync',
  'readdir',
  'lstat',
  'stat',
  'open',
  'rename',
  'link',
  'unlink',
  'mkdir',
]);

export type FilesOptions = {
  readonly random: SimRandom;
  readonly nowMs: () => number;
  readonly elapsedMs: () => number;
  readonly profile: DeviceProfile;
};

export class Files {
  readonly #options: FilesOptions;
  readonly #machine: SimFileSystem;
  readonly #disk: Device;
  #isMounted = false;
  #full = false;
  #errorShare = 0;
  /** How well watchers do that are made from now on. */
  hints: Pick<SimWatcherOptions, 'lostOfThousand' | 'watchesMax' | 'queueMax'> = {};

  constructor(options: FilesOptions) {
    this.#options = options;
    this.#machine = new SimFileSystem({ nowMs: options.nowMs, elapsedMs: options.elapsedMs });
    this.#disk = this.#machine.addDisk(options.profile);
    this.#machine.user.makeFolder(ROOT);
    this.#machine.user.sync(ROOT);
    this.mount();
  }

  get profile(): DeviceProfile {
    return this.#options.profile;
  }

  /** As people's programs see it. */
  get people(): ProcessFiles {
    return this.#machine.user.files;
  }

  /** For one process of Holdfast, which may not read everything. */
  open(process: SimProcess, step: <T>(name: string, effect: () => T) => Promise<T>): ProcessFiles {
    const files = this.#machine.openProcess({ step, before: (syscall) => this.#fail(syscall) });
    process.onEnd(() => files.kill());
    return files;
  }

  #fail(syscall: string): void {
    if (this.#full && ROOM_CALLS.has(syscall)) throw new SystemError('ENOSPC', syscall);
    if (this.#errorShare > 0 && DISK_CALLS.has(syscall) && this.#options.random.chance(this.#errorShare))
      throw new SystemError('EIO', syscall);
  }

  powerCut(): void {
    const { random } = this.#options;
    this.#machine.powerCut(random);
  }

  /** No room for Holdfast's files. */
  set full(full: boolean) {
    this.#full = full;
  }

  /** Share of calls that fail. */
  set errorShare(share: number) {
    this.#errorShare = share;
  }

  /** Nobody but people may read it until it is opened again. */
  close(path: string): () => void {
    const { user } = this.#machine;
    user.setMode(path, 0);
    return () => {
      try {
        // Something else may lie in its place by now.
        if (user.files.lstat(path)?.kind === 'folder') user.setMode(path, 0o755);
      } catch (error) {
        // So may something else in the place of what it lay in.
        if (!(error instanceof SystemError)) throw error;
      }
    };
  }

  /** Those that were closed may lie elsewhere by now. */
  openAll(folders: readonly string[]): void {
    for (const path of folders) this.#machine.user.setMode(path, 0o755);
  }

  get isMounted(): boolean {
    return this.#isMounted;
  }

  mount(): void {
    if (!this.#isMounted) this.#machine.mount(ROOT, this.#disk, this.#options.random);
    this.#isMounted = true;
  }

  unmount(): void {
    if (this.#isMounted) this.#machine.unmount(this.#disk);
    this.#isMounted = false;
  }
}

/** A disk on which nothing goes wrong. */
export function plainFileSystem(): FileSystem {
  let nowMs = 0;
  const machine = new SimFileSystem({ profile: deviceProfiles.ext4, nowMs: () => nowMs++, elapsedMs: () => nowMs });
  machine.user.makeFolder(ROOT);
  return machine.user.files;
}

/**
 * The file systems of one simulated machine, in memory: the same calls give the same answers, and every error that a real one gives. Its
 * processes see it by the door `FileSystem`; its users by `SimUser`. Killing a process takes nothing from it but open descriptors; a
 * power cut takes what was not synced, as the profile of the disk says.
 */
import { assert, must } from '#core/assert.ts';
import type { FileSystemTraits } from '../file-system.ts';
import { Device } from './files/device.ts';
import type { Inode } from './files/inode.ts';
import { cutPower, type Chance } from './files/power-cut.ts';
import { ProcessFiles, type ProcessOptions } from './files/process-files.ts';
import { deviceProfiles, type DeviceProfile } from './files/profile.ts';
import { SimUser } from './files/sim-user.ts';
import { tell } from './files/watch.ts';

export { ProcessEnded, ProcessFiles } from './files/process-files.ts';
export { deviceProfiles, type DeviceProfile } from './files/profile.ts';
export { SystemError, type ErrorNumber } from './files/system-error.ts';
export type { Chance } from './files/power-cut.ts';
export type { SimUser, Tree, TreeThing } from './files/sim-user.ts';

export type SimFileSystemOptions = {
  /** Of the disk that holds everything where no other is mounted. */
  readonly profile?: DeviceProfile;
  /** The machine's wall clock, which stamps files; may be set. */
  readonly nowMs: () => number;
  /** Never set: by it the system writes what is old enough. */
  readonly elapsedMs: () => number;
  readonly traits?: FileSystemTraits;
};

const LINUX: FileSystemTraits = { holds: true, syncsDirectories: true, linksSymlinks: true, windowsNames: false };

export class SimFileSystem {
  readonly disk: Device;
  /** Somebody at this machine whom no permission stops. */
  readonly user: SimUser;
  readonly #options: SimFileSystemOptions;
  readonly #devices: Device[] = [];
  readonly #processes = new Set<ProcessFiles>();

  constructor(options: SimFileSystemOptions) {
    this.#options = options;
    this.disk = this.addDisk(options.profile ?? deviceProfiles.ext4);
    this.user = new SimUser(this.openProcess({ obeysModes: false, umask: 0o022 }));
  }

  /** Another disk of the machine, to be mounted. */
  addDisk(profile: DeviceProfile): Device {
    const number = BigInt(2049 + this.#devices.length);
    const device = new Device(number, profile, this.#options.nowMs, this.#options.elapsedMs);
    this.#devices.push(device);
    return device;
  }

  /** What lies in the folder cannot be reached by its path while the disk is mounted over it. `chance`: in which order things on it are looked up. */
  mount(path: string, device: Device, chance?: Chance): void {
    if (chance) device.renumber((count) => chance.below(count));
    const folder = must(this.#folderAt(path), 'a disk is mounted over a folder');
    folder.over = device.root;
    device.mountedOver = folder;
  }

  /** What was opened on it before stays as it is. `quietly`: its watches hear nothing of it, as of a disk that was torn out. */
  unmount(device: Device, quietly = false): void {
    assert(device.root.over === null, 'what lies over it is unmounted first');
    must(device.mountedOver, 'it is mounted').over = null;
    device.mountedOver = null;
    if (!quietly) for (const inode of watchedBelow(device.root)) tell(inode, null);
  }

  openProcess(options: Partial<Omit<ProcessOptions, 'root' | 'traits' | 'onEnd'>> = {}): ProcessFiles {
    const files: ProcessFiles = new ProcessFiles({
      root: this.disk.root,
      traits: this.#options.traits ?? LINUX,
      obeysModes: true,
      umask: 0o022,
      descriptorsMax: 1024,
      bytesPerCallMax: Number.MAX_SAFE_INTEGER,
      step: async (_name, effect) => effect(),
      before: null,
      ...options,
      onEnd: () => this.#processes.delete(files),
    });
    this.#processes.add(files);
    return files;
  }

  /**
   * Ends every process. The user comes back and finds the disks as they are after the next start; what they had begun to write, and not
   * ended, must not go on. Mounted disks stay mounted.
   */
  powerCut(chance: Chance): void {
    for (const files of this.#processes) {
      if (files === this.user.files) files.loseDescriptors();
      else files.end();
    }
    for (const device of this.#devices) {
      cutPower(device, chance);
      device.renumber((count) => chance.below(count));
    }
  }

  #folderAt(path: string): Inode | null {
    return this.user.files.folderBelow(path, []);
  }
}

function watchedBelow(root: Inode): readonly Inode[] {
  const watched: Inode[] = [];
  const folders = [root];
  for (const folder of folders) {
    if (folder.listeners !== null && folder.listeners.size > 0) watched.push(folder);
    for (const { inode } of folder.entries?.values() ?? []) if (inode.kind === 'folder') folders.push(inode);
  }
  return watched;
}

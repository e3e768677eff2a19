/** The very code that works on real folders, on simulated disks of every kind, by the contract of the door. */
import { folderContract, type FolderUnderTest, type OtherProgram } from '../folder.contract.ts';
import type { FileSystemTraits } from '../file-system.ts';
import { inlineFolder, type Turns } from '../real/folder/inline.ts';
import { FolderWork } from '../real/folder/work.ts';
import { nodePrimitives } from '../real/primitives.ts';
import { deviceProfiles, SimFileSystem, type DeviceProfile, type SimUser } from './sim-file-system.ts';

const mac: FileSystemTraits = { holds: false, syncsDirectories: true, linksSymlinks: false, windowsNames: false };

folderContract('on a simulated disk', () => simulated(deviceProfiles.ext4));
folderContract('on a simulated disk, a few bytes at a time', () => simulated(deviceProfiles.ext4, { bytes: 100_000 }));
folderContract('on a simulated disk with clones', () => simulated(deviceProfiles.btrfs));
folderContract('on a simulated disk of a Mac', () => simulated(deviceProfiles.apfs, { traits: mac }));
folderContract('on a simulated disk without hard links', () => simulated({ ...deviceProfiles.exfat, stampMs: null }));

function simulated(
  profile: DeviceProfile,
  { traits, bytes }: { readonly traits?: FileSystemTraits; readonly bytes?: number } = {},
): FolderUnderTest {
  let nowMs = 1_700_000_000_000;
  const clock = { nowMs: () => nowMs, elapsedMs: () => nowMs };
  const machine = new SimFileSystem({ profile, ...clock, ...(traits === undefined ? {} : { traits }) });
  machine.user.makeFolder('/base/root');
  let opened = 0;
  const turns: Turns = {
    step: async (_name, effect) => {
      nowMs += 25;
      return effect();
    },
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
  return {
    other: programOf(machine.user),
    hasHardLinks: profile.hardLinks,
    primitives: nodePrimitives,
    open: () => {
      const fileSystem = machine.openProcess({ step: turns.step, bytesPerCallMax: bytes ?? Number.MAX_SAFE_INTEGER });
      const wait = (ms: number): void => {
        nowMs += ms;
      };
      opened += 1;
      const work = new FolderWork({
        rootPath: '/base/root',
        primitives: nodePrimitives,
        fileSystem,
        instance: `process-${opened}`,
        nowMs: clock.nowMs,
        wait,
      });
      return inlineFolder(work, turns);
    },
    cleanUp: () => {},
  };
}

function programOf(user: SimUser): OtherProgram {
  const at = (path: string): string => `/base/${path}`;
  return {
    write: (path, bytes) => user.write(at(path), bytes),
    read: (path) => (user.exists(at(path)) ? user.readText(at(path)) : null),
    readBytes: (path) => (user.exists(at(path)) ? user.read(at(path)) : null),
    makeFolder: (path) => user.makeFolder(at(path)),
    makeSymlink: (target, path) => user.symlink(target, at(path)),
    rename: (from, to) => user.rename(at(from), at(to)),
    remove: (path) => user.remove(at(path)),
    names: (path) => (user.exists(at(path)) ? user.names(at(path)) : []),
  };
}

/** Disks that are not like Linux's own, mounted from image files by programs in user space: any kernel with FUSE has them. */
import { execFileSync } from 'node:child_process';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';

const IMAGE_BYTES = 64 * 1024 * 1024;

type OtherDisk = {
  readonly make: (device: string) => void;
  readonly mount: (device: string, folder: string) => void;
};

const exfat = (masks: string): OtherDisk => ({
  make: (device) => void run('mkfs.exfat', device),
  mount: (device, folder) => void run('mount.exfat-fuse', '-o', masks, device, folder),
});

export const otherDisks = {
  /**
   * Letter case is kept and does not count; an inode has a number for each spelling, and another after the next mount; no births, no hard links, no symlinks,
   * no execute bit.
   */
  exfat: exfat('fmask=0133'),
  /** The same as a desktop mounts it: every file is executable. */
  exfatExec: exfat('fmask=0022'),
  /** Shows every name in lower case, whatever it was given. */
  ntfs: {
    make: (device) => void run('mkntfs', '-F', '-Q', '-q', device),
    mount: (device, folder) => void run('lowntfs-3g', '-o', 'ignore_case,windows_names,fmask=0133', device, folder),
  },
} as const satisfies Record<string, OtherDisk>;

/** Mounts an empty one. Call what it answers with when nobody works in it any more. */
export function mountOther(kind: keyof typeof otherDisks, folder: string): () => void {
  const image = `${folder}.image`;
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  const device = run('losetup', '--find', '--show', image).trim();
  const detach = () => {
    run('losetup', '--detach', device);
    rmSync(image);
  };
  try {
    otherDisks[kind].make(device);
    otherDisks[kind].mount(device, folder);
  } catch (error) {
    detach();
    throw error;
  }
  return () => {
    // Lazily: whoever died in it may hold it open still.
    run('umount', '--lazy', folder);
    detach();
  };
}

/** As after it was pulled out and put in again. Nobody may work in it. */
export function mountAnew(kind: keyof typeof otherDisks, folder: string): void {
  const device = run('findmnt', '-no', 'SOURCE', folder).trim();
  run('umount', folder);
  otherDisks[kind].mount(device, folder);
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

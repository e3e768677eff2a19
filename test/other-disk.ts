/** Disks that are not like Linux's own, mounted from image files by programs in user space: any kernel with FUSE has them. */
import { execFileSync } from 'node:child_process';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';

const IMAGE_BYTES = 64 * 1024 * 1024;

export const otherDisks = {
  /** Letter case is kept and does not count; an inode has a number for each spelling; no hard links, no symlinks, no execute bit. */
  exfat: (device: string, folder: string) => {
    run('mkfs.exfat', device);
    run('mount.exfat-fuse', '-o', 'fmask=0133', device, folder);
  },
  /** The same as a desktop mounts it: every file is executable. */
  exfatExec: (device: string, folder: string) => {
    run('mkfs.exfat', device);
    run('mount.exfat-fuse', '-o', 'fmask=0022', device, folder);
  },
  /** Shows every name in lower case, whatever it was given. */
  ntfs: (device: string, folder: string) => {
    run('mkntfs', '-F', '-Q', '-q', device);
    run('lowntfs-3g', '-o', 'ignore_case,windows_names,fmask=0133', device, folder);
  },
} as const;

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
    otherDisks[kind](device, folder);
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

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

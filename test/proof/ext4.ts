/** An ext4 file system of one's own, in a file, whose power can be cut. Needs root, mkfs.ext4 and python3. */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { atEnd, type Ending } from '../holdfast.ts';
import { CUT_POWER } from './points.ts';

const SPARSE_BYTES = 1 << 30;
const UNMOUNT_MS_MAX = 60_000;

export type Ext4 = {
  readonly mountPoint: string;
  /** Mounted again, after the journal was replayed. Whoever had files open there has ended. */
  remount(): Promise<void>;
};

export async function makeExt4(ending: Ending, mountPoint: string): Promise<Ext4> {
  const image = `${mountPoint}.ext4`;
  mkdirSync(mountPoint, { recursive: true });
  const file = openSync(image, 'w');
  ftruncateSync(file, SPARSE_BYTES);
  closeSync(file);
  execFileSync('mkfs.ext4', ['-q', '-F', image]);
  const mount = (): void => void execFileSync('mount', ['-o', 'loop', image, mountPoint]);
  mount();
  atEnd(ending, () => unmount(mountPoint));
  return {
    mountPoint,
    remount: async () => {
      await unmount(mountPoint);
      mount();
    },
  };
}

export function cutPower(disks: readonly Ext4[]): void {
  execFileSync('python3', [CUT_POWER, ...disks.map(({ mountPoint }) => mountPoint)]);
}

/** The kernel may take a moment to let go of what a killed process had open. */
async function unmount(mountPoint: string): Promise<void> {
  const deadline = performance.now() + UNMOUNT_MS_MAX;
  for (;;) {
    try {
      execFileSync('umount', [mountPoint], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

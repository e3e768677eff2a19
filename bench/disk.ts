import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';

/** Puts what was prepared on the disk, so that the kernel does not write it out while the clock runs. */
export function flush(path: string): void {
  execFileSync('sync', ['-f', path]);
}

/** Throws where less is free. */
export function requireDisk(path: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(path);
  if (bavail * bsize < bytes) throw new Error(`needs ${Math.ceil(bytes / 1e9)} GB free on the disk`);
}

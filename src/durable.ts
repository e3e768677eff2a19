import { closeSync, fsyncSync, openSync, statSync } from 'node:fs';

/** A file, or a directory's names. */
export function syncPath(path: string): void {
  const file = openSync(path, statSync(path).isDirectory() ? 'r' : 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * How a command tells the client of a linked folder that it has left something for it in its state: by touching a file that the client watches.
 * A bell that is not heard costs a minute: the client looks by itself.
 */
import { mkdirSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directoryOf = (linkDirectory: string): string => join(linkDirectory, 'bell');

export function ringLink(linkDirectory: string): void {
  mkdirSync(directoryOf(linkDirectory), { recursive: true, mode: 0o700 });
  writeFileSync(join(directoryOf(linkDirectory), 'rung'), '');
}

/** Calls `onRing` until the answer is called. */
export function hearLink(linkDirectory: string, onRing: () => void): () => void {
  mkdirSync(directoryOf(linkDirectory), { recursive: true, mode: 0o700 });
  try {
    const watcher = watch(directoryOf(linkDirectory), { persistent: false }, onRing);
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    // The system watches no more directories.
    return () => {};
  }
}

/** `FolderWork` on this machine's own file system and clock. */
import { randomBytes } from 'node:crypto';
import { FolderWork } from './work.ts';
import type { FileSystem } from '../../file-system.ts';
import { realFileSystem } from '../file-system.ts';
import { nodePrimitives } from '../primitives.ts';

export function openFolderWork(rootPath: string, fileSystem: FileSystem = realFileSystem): FolderWork {
  return new FolderWork({
    rootPath,
    primitives: nodePrimitives,
    fileSystem,
    instance: randomBytes(8).toString('hex'),
    nowMs: Date.now,
    wait: block,
  });
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

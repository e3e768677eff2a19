/** The files that the throughput of a cluster is measured with. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MIB } from '#core/limits.ts';
import { noise } from '../noise.ts';

export const FILES = 16;

export function fileBytes(scale: number): number {
  return Math.max(1, Math.round(64 * scale)) * MIB;
}

/** A folder of incompressible files; another seed, other bytes. */
export function makeFiles(folder: string, seed: string, scale: number): void {
  mkdirSync(folder, { recursive: true });
  const bytes = noise(seed);
  for (let index = 0; index < FILES; index++) {
    const file = openSync(join(folder, `${String(index).padStart(2, '0')}.bin`), 'wx');
    for (let at = 0; at < fileBytes(scale); at += MIB) writeSync(file, bytes(MIB));
    closeSync(file);
  }
}

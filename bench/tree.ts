/** Folders as the workloads see them. Names that begin with a dot are the systems' own (markers, temporary files). */
import { hash, createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const SMALL_BYTES_MAX = 4 << 20;

async function digest(path: string): Promise<string> {
  if (lstatSync(path).size <= SMALL_BYTES_MAX) return hash('sha256', readFileSync(path));
  const digester = createHash('sha256');
  const file = await open(path);
  const buffer = Buffer.allocUnsafe(SMALL_BYTES_MAX);
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return digester.digest('hex');
      digester.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

async function digestTree(root: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      found.set(path, entry.isDirectory() ? 'folder' : await digest(join(root, path)));
    }
  }
  return found;
}

/** The first thing in which two trees differ, by the SHA-256 of every file; null where they hold the same. */
export async function difference(a: string, b: string): Promise<string | null> {
  try {
    const [wanted, found] = [await digestTree(a), await digestTree(b)];
    for (const [path, content] of wanted) {
      const other = found.get(path);
      if (other !== content) return `${path} ${other === undefined ? 'is missing' : 'differs'} in B`;
    }
    for (const path of found.keys()) if (!wanted.has(path)) return `${path} is in B only`;
    return null;
  } catch (error) {
    // A system that is still at work may take away what was just listed.
    return `unreadable: ${String(error)}`;
  }
}

/** Whether a folder has all these names and, where a size is given, files of these sizes. */
export function hasNames(folder: string, sizes: ReadonlyMap<string, number | null>): boolean {
  try {
    const names = new Set(readdirSync(folder));
    for (const name of sizes.keys()) if (!names.has(name)) return false;
    for (const [name, size] of sizes) if (size !== null && lstatSync(join(folder, name)).size !== size) return false;
    return true;
  } catch {
    return false;
  }
}

export type Sample = { readonly at: number; readonly bytes: Buffer };

/** Whether a file has this size and these bytes at these places. */
export function hasBytes(path: string, size: number, samples: readonly Sample[]): boolean {
  if (lstatSync(path, { throwIfNoEntry: false })?.size !== size) return false;
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return false;
  }
  try {
    return samples.every(({ at, bytes }) => {
      const found = Buffer.alloc(bytes.length);
      return readSync(file, found, 0, found.length, at) === bytes.length && found.equals(bytes);
    });
  } finally {
    closeSync(file);
  }
}

export function isGone(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined;
}

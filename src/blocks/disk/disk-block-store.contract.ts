/** A store on a real directory, to be opened again and again by tests. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import type { NodeId } from '#core/ids.ts';
import type { Disk } from '#world/disk.ts';
import type { Log } from '#world/log.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { realDisk } from '#world/real/disk.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import type { Block } from '../block-store.ts';
import type { NodeBlockStore } from '../node-block-store.ts';
import { openDiskBlockStore, type DiskBlockStoreOptions } from './disk-block-store.ts';
import { INDEX_NAME } from './open-index.ts';

export const TEST_NODE = '000102030405060708090a0b0c0d0e0f' as NodeId;

/** Collects what was logged, as `level: message`. */
export function recordingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return { lines, info: at('info'), warn: at('warn'), error: at('error') };
}

const top = mkdtempSync(path.join(tmpdir(), 'holdfast-blocks-'));
const opened: NodeBlockStore[] = [];
after(async () => {
  for (const store of opened) await store.close();
  rmSync(top, { recursive: true, force: true });
});
let made = 0;

export function newDirectory(): string {
  const directory = path.join(top, String(made++));
  mkdirSync(directory);
  return directory;
}

export type OpenedStore = { readonly store: NodeBlockStore; readonly lines: readonly string[] };

export async function openIn(
  directory: string,
  options: Partial<DiskBlockStoreOptions> = {},
  wrap: (disk: Disk) => Disk = (disk) => disk,
): Promise<OpenedStore> {
  const log = recordingLog();
  const store = await openDiskBlockStore({
    disk: wrap(realDisk(directory)),
    sql: sqliteOpener,
    indexPath: path.join(directory, INDEX_NAME),
    node: TEST_NODE,
    log,
    checksum: realChecksum,
    primitives: nodePrimitives,
    ...options,
  });
  opened.push(store);
  return { store, lines: log.lines };
}

export function segmentFiles(directory: string): readonly string[] {
  return readdirSync(path.join(directory, 'segments'))
    .sort()
    .map((name) => path.join(directory, 'segments', name));
}

export function removeIndex(directory: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path.join(directory, INDEX_NAME + suffix), { force: true });
}

const { signal } = new AbortController();

export async function expectFound(store: NodeBlockStore, blocks: readonly Block[]): Promise<void> {
  const got = await store.get(
    blocks.map(({ id }) => id),
    signal,
  );
  got.forEach((result, index) => assert.deepEqual(result, { kind: 'found', bytes: blocks[index]?.bytes }));
}

export async function filled(directory: string, blocks: readonly Block[], options = {}): Promise<void> {
  const { store } = await openIn(directory, options);
  for (const block of blocks) assert.deepEqual(await store.put([block], 1, signal), ['stored']);
  await store.close();
}

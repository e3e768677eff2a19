import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { BlockId, NodeId } from '#core/ids.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import type { LogItem } from '../node-log.ts';
import { openDiskBlockStore } from './disk-block-store.ts';
import { readNodeLog } from './read-node-log.ts';

const top = mkdtempSync(path.join(tmpdir(), 'holdfast-log-'));
after(() => rmSync(top, { recursive: true, force: true }));
const node = 'a'.repeat(32) as NodeId;
const never = new AbortController().signal;

function block(length: number) {
  const bytes = new Uint8Array(randomBytes(length));
  return { id: createHash('sha256').update(bytes).digest('hex') as BlockId, bytes };
}

/** Some small segments; the last one has no footer. */
async function filled(count: number) {
  const directory = mkdtempSync(path.join(top, 'node-'));
  const disk = realDisk(directory);
  const store = await openDiskBlockStore({
    disk,
    sql: sqliteOpener,
    indexPath: path.join(directory, 'index.db'),
    node,
    log: stderrLog('silent'),
    checksum: realChecksum,
    primitives: nodePrimitives,
    segmentRecordsMax: 4,
  });
  const blocks = Array.from({ length: count }, (_, index) => block(100 + index));
  for (const one of blocks) await store.put([one], 0, never);
  await store.close();
  rmSync(path.join(directory, 'index.db'));
  const log = readNodeLog({ disk, checksum: realChecksum, primitives: nodePrimitives });
  const segments = readdirSync(path.join(directory, 'segments')).map((name) => path.join(directory, 'segments', name));
  return { log, blocks, segments };
}

async function scan(log: ReturnType<typeof readNodeLog>) {
  const items: LogItem[] = [];
  for await (const item of log.scan())
    items.push(item.kind === 'block' ? { ...item, bytes: item.bytes.slice() } : item);
  return items;
}

test('every block is found without an index, and read again by its place', async () => {
  const { log, blocks, segments } = await filled(10);
  assert.ok(segments.length > 1);
  const items = await scan(log);
  const found = items.flatMap((item) => (item.kind === 'block' ? [item] : []));
  assert.deepEqual(
    found.map(({ id, bytes, node: of }) => ({ id, bytes, of })),
    blocks.map(({ id, bytes }) => ({ id, bytes, of: node })),
  );
  assert.ok(items.every(({ kind }) => kind === 'block'));
  for (const item of found) assert.deepEqual(await log.read(item.id, item), item.bytes);
  const [one, other] = found;
  assert.ok(one && other);
  assert.equal(await log.read(other.id, one), null, 'another block lies there');
  assert.equal(
    await log.size(),
    segments.reduce((sum, name) => sum + statSync(name).size, 0),
  );
});

test('a flipped bit, a cut segment and a damaged header cost what they hit, nothing more', async () => {
  const { log, blocks, segments } = await filled(16);
  const change = (at: number, edit: (bytes: Buffer) => Buffer): void => {
    const name = segments[at] as string;
    writeFileSync(name, edit(readFileSync(name)));
  };
  const victim = blocks[1] as (typeof blocks)[number];
  change(0, (bytes) => {
    const place = bytes.indexOf(victim.bytes);
    bytes[place] = (bytes[place] as number) ^ 1;
    return bytes;
  });
  change(1, (bytes) => {
    bytes[3] = 9;
    return bytes;
  });
  change(2, (bytes) => bytes.subarray(0, bytes.length - 1));
  const items = await scan(log);
  const found = new Set(items.flatMap((item) => (item.kind === 'block' ? [item.id] : [])));
  assert.deepEqual(
    blocks.filter(({ id }) => !found.has(id)).map(({ id }) => id),
    [victim.id],
  );
  assert.ok(items.filter(({ kind }) => kind === 'damaged').length >= 3);
});

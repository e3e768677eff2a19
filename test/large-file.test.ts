/** Large files stream with bounded memory, and a transfer that was cut goes on where it stopped. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, untilInSync, type Listed } from './cluster.ts';
import { runJson, service, until, type Service } from './holdfast.ts';

const MIB = 1024 * 1024;
const RSS_BYTES_MAX = 300 * MIB;

/** Incompressible bytes, written through one buffer. */
function writeRandomFile(path: string, sizeMib: number): void {
  const file = openSync(path, 'w');
  const buffer = Buffer.allocUnsafe(8 * MIB);
  for (let done = 0; done < sizeMib; done += 8)
    writeSync(file, randomFillSync(buffer), 0, Math.min(8, sizeMib - done) * MIB);
  closeSync(file);
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: MIB })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** The most memory that a process had resident so far: VmHWM. */
function peakRssBytes(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}

test('2 GiB cross with a heap of 64 MiB and less than 300 MiB resident in every process', {
  timeout: 600_000,
}, async (context) => {
  const env = { NODE_OPTIONS: '--max-old-space-size=64' };
  const cluster = await startCluster(context, { folder: false, env });
  const first = await addDevice(context, cluster, 'first');
  const second = await addDevice(context, cluster, 'second');
  const outside = join(cluster.directory, 'made-outside.bin');
  writeRandomFile(outside, 2048);
  const hash = await hashOfFile(outside);
  renameSync(outside, join(first.folder, 'large.bin'));
  const arrived = join(second.folder, 'large.bin');
  const listing = await until(
    'it is listed while it is uploaded',
    () => runJson<Listed[]>(['fetch'], cluster.owner),
    (rows) => rows.some((row) => row.state === 'updating' || row.state === 'stored'),
    60_000,
  );
  assert.equal(listing[0]?.path, 'large.bin');
  if (listing[0]?.state === 'updating')
    assert.equal(listing[0].device, 'first', 'a listing says which device is uploading');
  await until('it arrived', () => existsSync(arrived), Boolean, 400_000);
  assert.equal(await hashOfFile(arrived), hash);
  for (const [name, pid] of [
    ['up', cluster.up.process.pid],
    ['first', first.sync.process.pid],
    ['second', second.sync.process.pid],
  ] as const) {
    const peak = peakRssBytes(pid as number);
    context.diagnostic(`${name}: peak ${(peak / MIB).toFixed(0)} MiB resident`);
    assert.ok(peak < RSS_BYTES_MAX, `${name} had ${(peak / MIB).toFixed(0)} MiB resident`);
  }
});

/** Bytes of sealed blocks that the nodes of a cluster hold. */
function storedBytes(data: string): number {
  // It ends with 1 where a file goes while it is counted, and has counted the rest.
  const { stdout } = spawnSync('du', ['-sb', join(data, 'nodes')], { encoding: 'utf8' });
  return Number(/^(\d+)/.exec(stdout)?.[1] ?? 0);
}

test('an upload killed half-way sends at most 64 MiB again', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const device = await addDevice(context, cluster, 'sender');
  const outside = join(cluster.directory, 'made-outside.bin');
  writeRandomFile(outside, 512);
  const hash = await hashOfFile(outside);
  mkdirSync(join(device.folder, 'sub'));
  renameSync(outside, join(device.folder, 'sub/large.bin'));
  await until(
    'half of it is on the node',
    () => storedBytes(cluster.data),
    (bytes) => bytes > 256 * MIB,
    120_000,
  );
  await device.sync.kill();
  const held = storedBytes(cluster.data);
  device.sync = await service(context, ['sync'], device.at);
  await until(
    'it is stored',
    () => runJson<Listed[]>(['fetch'], cluster.owner),
    (rows) => rows.some((row) => row.state === 'stored'),
    120_000,
  );
  const sent = writtenBytes(device.sync);
  const missing = 512 * MIB - held;
  context.diagnostic(
    `held ${(held / MIB).toFixed(0)} MiB when it was killed; ${(sent / MIB).toFixed(0)} MiB were written afterwards`,
  );
  assert.ok(
    sent < missing + 64 * MIB,
    `${(sent / MIB).toFixed(0)} MiB were sent, ${(missing / MIB).toFixed(0)} were missing`,
  );
  const second = await addDevice(context, cluster, 'receiver');
  await until('it arrived', () => existsSync(join(second.folder, 'sub/large.bin')), Boolean, 120_000);
  assert.equal(await hashOfFile(join(second.folder, 'sub/large.bin')), hash);
  await untilInSync(second.at);
});

/** All that this process has written, to its server above all: what else it writes, its state and its log, is little. */
function writtenBytes({ process: { pid } }: Service): number {
  return Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

/** A file whose newer revision is on its way: listed as updating, fetched as it last was, or waited for. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, untilInSync, type Listed } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

const MIB = 1024 * 1024;

test('a file that is being uploaded is listed as updating; fetch brings the last complete revision, or waits', {
  timeout: 240_000,
}, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const device = await addDevice(context, cluster, 'laptop');
  const path = join(device.folder, 'film.bin');
  const before = randomBytes(3 * MIB);
  writeFileSync(path, before);
  const list = () => runJson<Listed[]>(['fetch'], cluster.owner);
  const film = (rows: readonly Listed[]) => rows.find((row) => row.path === 'film.bin');
  await until('the first revision is stored', list, (rows) => film(rows)?.state === 'stored');
  await untilInSync(device.at);

  const after = Buffer.concat(Array.from({ length: 6 }, () => randomBytes(64 * MIB)));
  writeFileSync(path, after);
  const rows = await until('the second is on its way', list, (seen) => film(seen)?.state === 'updating');
  // The sender stands still: whatever follows happens while the upload is half done.
  device.sync.process.kill('SIGSTOP');
  assert.deepEqual(
    { size: film(rows)?.size, device: film(rows)?.device, pool: film(rows)?.pool },
    { size: before.length, device: 'laptop', pool: 'others' },
  );
  const fetched = await run(['fetch', 'film.bin'], cluster.owner);
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.match(fetched.stderr, /film\.bin is being updated by laptop; this is the last complete revision/);
  assert.ok(readFileSync(join(cluster.directory, 'target_folder/film.bin')).equals(before));

  const waiting = run(['fetch', 'film.bin', '--wait', '--to', 'waited'], cluster.owner, 120_000);
  assert.equal(film(await list())?.state, 'updating');
  device.sync.process.kill('SIGCONT');
  const waited = await waiting;
  assert.equal(waited.code, 0, waited.stderr);
  assert.ok(readFileSync(join(cluster.directory, 'waited/film.bin')).equals(after), '--wait brings the new revision');
  assert.equal(film(await list())?.state, 'stored');
});

test('a first upload is listed, and cannot be fetched before it is complete', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const device = await addDevice(context, cluster, 'laptop');
  writeFileSync(join(device.folder, 'new.bin'), Buffer.concat(Array.from({ length: 6 }, () => randomBytes(64 * MIB))));
  const list = () => runJson<Listed[]>(['fetch'], cluster.owner);
  await until('it is on its way', list, (rows) =>
    rows.some((row) => row.path === 'new.bin' && row.state === 'updating'),
  );
  device.sync.process.kill('SIGSTOP');
  const refused = await run(['fetch', 'new.bin'], cluster.owner);
  assert.equal(refused.code, 3, refused.stderr);
  assert.match(refused.stderr, /uploaded by laptop for the first time/);
  device.sync.process.kill('SIGCONT');
  await until(
    'it is stored',
    list,
    (rows) => rows.some((row) => row.path === 'new.bin' && row.state === 'stored'),
    60_000,
  );
});

/** A person is asked, with real processes: a headless `sync --once` says so and ends, and `holdfast holds` decides. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync, type Cluster } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

type Hold = { hold: string; reasons: string[]; files: number; device: { name: string }; paths: string[] };
type Status = { inSync: boolean; problems: { code: string; message: string }[]; held: Hold[] };

/** Everything that is in the index came to be a week earlier. */
async function age(cluster: Cluster): Promise<void> {
  assert.equal(await cluster.up.stop(), 0);
  const index = new DatabaseSync(join(cluster.data, 'server', 'meta.db'));
  index.prepare('UPDATE entry SET made_ms = made_ms - ?').run(7 * 24 * 3_600_000);
  index.close();
  await cluster.restart();
}

function empty(folder: string): void {
  for (const name of readdirSync(folder)) if (name !== '.holdfast') rmSync(join(folder, name), { recursive: true });
}

test('an emptied folder waits for a yes; a headless client ends and says so; nothing is lost either way', async (context) => {
  const cluster = await startCluster(context);
  mkdirSync(join(cluster.folder, 'deep/er'), { recursive: true });
  for (let index = 0; index < 40; index++)
    writeFileSync(join(cluster.folder, index % 2 ? 'deep/er' : '', `${index}.txt`), `text ${index}`);
  const laptop = await addDevice(context, cluster, 'laptop');
  const before = await untilIdentical([cluster.folder, laptop.folder]);
  await untilInSync(laptop.at);
  assert.equal(await laptop.sync.stop(), 0);
  await age(cluster);

  empty(laptop.folder);
  const once = await run(['sync', '--once'], laptop.at);
  assert.equal(once.code, 5, once.stderr);
  assert.match(once.stderr, /^holdfast: .*holdfast holds.*\n$/);
  assert.deepEqual(treeOf(cluster.folder), before);
  assert.equal(treeOf(laptop.folder).size, 0, 'nothing comes back unasked');

  const status = await runJson<Status>(['status'], laptop.at);
  assert.equal(status.inSync, false);
  assert.ok(status.problems.some(({ code }) => code === 'held'));
  const [held, ...more] = await runJson<Hold[]>(['holds'], cluster.owner);
  assert.ok(held && more.length === 0);
  assert.deepEqual([held.reasons, held.files, held.device.name], [['emptied'], 40, 'laptop']);
  assert.deepEqual(status.held, [held]);
  const shown = await run(['holds', 'list'], cluster.owner);
  assert.match(shown.stdout, new RegExp(`${held.hold}.*laptop.*40 files deleted`));

  assert.equal((await run(['holds', 'reject', 'ffff'], cluster.owner)).code, 3);
  await runJson(['holds', 'reject', held.hold.slice(0, 6)], cluster.owner);
  assert.equal((await run(['holds', 'approve', held.hold], cluster.owner)).code, 5, 'it was decided');
  const restored = await run(['sync', '--once'], laptop.at);
  assert.equal(restored.code, 0, restored.stderr);
  assert.deepEqual(treeOf(laptop.folder), before);
  assert.deepEqual(await runJson<Hold[]>(['holds'], cluster.owner), []);

  empty(laptop.folder);
  assert.equal((await run(['sync', '--once'], laptop.at)).code, 5);
  await runJson(['holds', 'approve'], cluster.owner);
  await until(
    'it is empty everywhere',
    () => treeOf(cluster.folder).size,
    (size) => size === 0,
  );
  const last = await run(['sync', '--once'], laptop.at);
  assert.equal(last.code, 0, last.stderr);
  assert.deepEqual(
    (await untilInSync(cluster.owner)).problems.map(({ code }) => code),
    [],
  );
});

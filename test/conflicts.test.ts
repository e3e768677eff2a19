/** Two edits of one file on two devices: kept both and listed; or one text, where the owner asked for that. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, untilIdentical, untilInSync } from './cluster.ts';
import { run, runJson, service, until } from './holdfast.ts';

type Conflicts = { inSync: boolean; problems: unknown[]; conflicts: Record<string, string>[] };

const BASE = 'one\ntwo\nthree\n';

test('conflicts are listed until they are resolved, and texts merge once that is turned on', {
  timeout: 180_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const laptop = await addDevice(context, cluster, 'laptop');
  const here = join(cluster.folder, 'plan.md');
  const there = join(laptop.folder, 'plan.md');
  const editBoth = async () => {
    writeFileSync(here, BASE);
    await until(
      'the base crossed',
      () => readFileSync(there, 'utf8'),
      (text) => text === BASE,
    );
    await untilInSync(laptop.at);
    await laptop.sync.stop();
    writeFileSync(here, BASE.replace('one', 'one, here'));
    await until(
      'the first edit is in the space',
      () => runJson<{ path: string; size: number }[]>(['fetch'], cluster.owner),
      (rows) => rows.some((row) => row.path === 'plan.md' && row.size === BASE.length + ', here'.length),
    );
    writeFileSync(there, BASE.replace('three', 'three, there'));
    laptop.sync = await service(context, ['sync'], laptop.at);
    await untilIdentical([cluster.folder, laptop.folder]);
    await untilInSync(laptop.at);
    await untilInSync(cluster.owner);
  };

  writeFileSync(there, BASE);
  await untilIdentical([cluster.folder, laptop.folder]);
  await editBoth();
  const status = await runJson<Conflicts>(['status'], cluster.owner);
  assert.equal(status.inSync, true);
  assert.deepEqual(status.problems, []);
  const [conflict, ...others] = status.conflicts;
  assert.deepEqual(others, []);
  assert.match(conflict?.['path'] ?? '', /^plan \(conflicted copy, laptop, \d{4}-\d\d-\d\d\)\.md$/);
  assert.equal(conflict?.['of'], 'plan.md');
  assert.equal(conflict['device'], 'laptop');
  assert.equal(conflict['path'], `plan (conflicted copy, laptop, ${conflict['date']}).md`);
  const text = (await run(['status'], cluster.owner)).stdout;
  assert.ok(text.includes(`${conflict['path']}: a copy of plan.md, from laptop, ${conflict['date']}`), text);
  rmSync(join(cluster.folder, conflict['path'] as string));
  await until(
    'it is off the list',
    () => runJson<Conflicts>(['status'], laptop.at),
    (seen) => seen.inSync && seen.conflicts.length === 0,
  );

  const on = await runJson<{ extensions: string[] }>(['merge', 'on', '.MD', '*.txt'], cluster.owner);
  assert.deepEqual(on, { extensions: ['md', 'txt'] });
  assert.deepEqual(await runJson(['merge', 'off', 'txt'], laptop.at), { extensions: ['md'] });
  assert.deepEqual(await runJson(['merge'], cluster.owner), { extensions: ['md'] });
  await editBoth();
  assert.equal(readFileSync(here, 'utf8'), 'one, here\ntwo\nthree, there\n');
  assert.deepEqual((await runJson<Conflicts>(['status'], cluster.owner)).conflicts, []);
  assert.match((await run(['merge', 'on', 'a/b'], cluster.owner)).stderr, /extensions/);
});

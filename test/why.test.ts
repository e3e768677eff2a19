/** The story of a file, told with real processes and two devices. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

type Story = {
  path: string;
  kind: string;
  deleted: { device: { name: string }; with: string | null } | null;
  placed: {
    pool: string;
    poolWanted: string;
    rule: { rule: string } | null;
    moved: { from: string } | null;
    copies: number;
    nodes: { pool: string; blocks: number }[];
  } | null;
  events: { kind: string; device: { name: string }; size: number | null; path: string; from: string | null }[];
};

test('why: devices, rule, nodes and moves of a file; who deleted it; and what never was', async (context) => {
  const cluster = await startCluster(context, { env: { HOLDFAST_DEVICE_NAME: 'desk' } });
  const laptop = await addDevice(context, cluster, 'laptop');
  const why = (path: string) => runJson<Story>(['why', path], cluster.owner);
  mkdirSync(join(cluster.folder, 'docs'));
  writeFileSync(join(cluster.folder, 'docs/plan.txt'), 'first');
  await untilIdentical([cluster.folder, laptop.folder]);
  writeFileSync(join(laptop.folder, 'docs/plan.txt'), 'second, longer');
  await untilIdentical([cluster.folder, laptop.folder]);
  renameSync(join(laptop.folder, 'docs/plan.txt'), join(laptop.folder, 'docs/plan.pdf'));
  await untilIdentical([cluster.folder, laptop.folder]);
  const moved = await until(
    'its bytes are in the other pool',
    () => why('docs/plan.pdf'),
    ({ placed }) => placed?.pool === 'pdf',
  );
  assert.deepEqual(
    moved.events.map(({ kind, device, size, from }) => [kind, device.name, size, from]),
    [
      ['created', 'desk', 5, null],
      ['changed', 'laptop', 14, null],
      ['renamed', 'laptop', 14, 'docs/plan.txt'],
    ],
  );
  assert.deepEqual(
    [moved.placed?.rule?.rule, moved.placed?.poolWanted, moved.placed?.moved?.from, moved.placed?.copies],
    ['pdf', 'pdf', 'txt', 1],
  );
  assert.deepEqual(moved.placed?.nodes[0], { ...moved.placed?.nodes[0], pool: 'pdf', blocks: 1 });
  const text = await run(['why', './docs/plan.txt'], laptop.at);
  assert.equal(text.code, 0, text.stderr);
  for (const line of [
    /^docs\/plan\.pdf: a file of 14 B\.$/m,
    /^It was docs\/plan\.txt once\.$/m,
    /^In pool pdf, by rule pdf \(\*\.pdf\): 1 block, .* stored, 1 copy\.$/m,
    /^Moved there from pool txt on \d{4}-/m,
    /^ {2}node .* holds 1 of 1$/m,
    /desk +created as docs\/plan\.txt, 5 B$/m,
    /laptop +renamed from docs\/plan\.txt$/m,
  ])
    assert.match(text.stdout, line);

  rmSync(join(laptop.folder, 'docs'), { recursive: true });
  await until(
    'it is gone',
    () => treeOf(cluster.folder).size,
    (size) => size === 0,
  );
  const gone = await why('docs/plan.pdf');
  assert.equal(gone.deleted?.device.name, 'laptop');
  assert.match((await run(['why', 'docs/plan.pdf'], cluster.owner)).stdout, /Deleted by laptop on .*in the trash/);
  assert.equal((await why('docs')).deleted?.device.name, 'laptop');

  writeFileSync(join(cluster.folder, 'report.txt'), 'x');
  await untilInSync(cluster.owner);
  const never = await run(['why', 'reprot.txt'], cluster.owner);
  assert.equal(never.code, 3);
  assert.match(never.stderr, /^holdfast: there never was "reprot\.txt".*report\.txt\n$/);
});

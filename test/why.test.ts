/** The story of a file, told with real processes and two devices. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync } from './cluster.ts';
import { CopiesPlace } from './copies-place.ts';
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

type Mended = {
  placed: {
    faults: { node: string; why: string; blocks: number }[];
    repairs: { from: string[]; to: string[]; blocks: number }[];
  };
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

test('why: bytes that were flipped on a node, found by a read and made anew from the other copy', async (context) => {
  const place = await CopiesPlace.start(context, 2, []);
  place.write(30, 'file', () => 100_000);
  await place.inSync();
  await place.untilWhole();
  assert.equal(await place.node('a').stop(), 0);
  const segments = join(place.dataOf('a'), 'segments');
  for (const name of readdirSync(segments)) {
    const bytes = readFileSync(join(segments, name));
    for (let at = 50_000; at < bytes.length; at += 50_000) bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(join(segments, name), bytes);
  }
  await place.startNode('a');
  await until(
    'it answers',
    () => place.row('a'),
    (row) => row?.state === 'ok',
  );
  await place.checkFetch(null);
  await place.untilWhole();
  await place.checkFetch(2);
  const device = { ...place.owner, home: join(place.directory, 'home-device') };
  const found = await until(
    'a file tells of it',
    async () => {
      for (let index = 0; index < 30; index++) {
        const path = `file-${index}.dat`;
        const { placed } = await runJson<Mended>(['why', path], device);
        if (placed.faults.length > 0) return { path, ...placed };
      }
      return null;
    },
    (one) => one !== null,
    10_000,
  );
  assert.ok(found);
  assert.deepEqual(
    found.faults.map(({ node, why, blocks }) => [node, why, blocks]),
    [['a', 'corrupt', 1]],
  );
  assert.equal(found.repairs.length, 1);
  assert.ok(found.repairs[0]?.blocks === 1 && found.repairs[0].from.every((node) => node !== 'a'));
  const { stdout } = await run(['why', found.path], device);
  assert.match(stdout, /^On \d{4}-.* node a had damaged its copy of 1 block\.$/m);
  assert.match(stdout, /^Repaired on \d{4}-.*: 1 block copied from [bc] to [abc]\.$/m);
});

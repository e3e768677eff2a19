/**
 * Files that Holdfast keeps for itself and finds damaged, cut, emptied, missing or another's when it starts: it says which, changes nothing,
 * and goes on when the file is back; what can be made anew is.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { everyFile, startCluster, treeOf, untilInSync, type Cluster, type Listed } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

/** What it holds is stored, and nothing runs. */
async function stoppedCluster(context: TestContext): Promise<Cluster> {
  const cluster = await startCluster(context);
  for (let index = 0; index < 5; index++)
    writeFileSync(join(cluster.folder, `${index}.txt`), `text ${index} `.repeat(500));
  await untilInSync(cluster.owner);
  await cluster.up.stop();
  return cluster;
}

function upArgs(cluster: Cluster): readonly string[] {
  const ports = ['--port', String(cluster.port), '--node-ports', cluster.nodePorts.join(',')];
  return ['up', cluster.folder, '--data', cluster.data, ...ports];
}

const portOf = ({ nodePorts }: Cluster, pool: string) => nodePorts[['mp3', 'txt', 'pdf', 'others'].indexOf(pool)];

/** All files by path, but for locks and the companions of databases. */
function contentsOf(directory: string): Readonly<Record<string, string>> {
  const files = everyFile(directory).filter(({ path }) => !/\/lock|-wal$|-shm$/.test(path));
  return Object.fromEntries(files.map(({ path, bytes }) => [path, bytes.toString('base64')]));
}

const flipAt = (path: string, at: number): void => {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ 0x10;
  writeFileSync(path, bytes);
};
const flipped = (path: string): void => flipAt(path, 3);
const halved = (path: string): void => truncateSync(path, Math.floor(readFileSync(path).length / 2));
const emptied = (path: string): void => truncateSync(path, 0);
const ofLater = (path: string): void =>
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"version": *1/, '"version": 2'));
const shown = (path: string): void => chmodSync(path, 0o644);
const removed = (path: string): void => rmSync(path);

test('a storage node whose key is missing, damaged or another’s does not start, and makes no new one', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await stoppedCluster(context);
  const key = join(cluster.data, 'nodes/txt/key.json');
  const whole = readFileSync(key);
  const others = readFileSync(join(cluster.data, 'nodes/mp3/key.json'));
  for (const damage of [removed, emptied, halved, flipped, () => writeFileSync(key, others)]) {
    damage(key);
    const before = contentsOf(join(cluster.data, 'nodes/txt'));
    const refused = await run(upArgs(cluster), cluster.owner);
    assert.equal(refused.code, 7, refused.stderr);
    assert.match(refused.stderr, /nodes\/txt\/key\.json/);
    assert.deepEqual(contentsOf(join(cluster.data, 'nodes/txt')), before);
    writeFileSync(key, whole);
  }
  await cluster.restart();
  assert.equal((await run(['fetch', '1.txt'], cluster.owner)).code, 0);
});

test('where the data directory is an empty one, as of a disk that is not mounted, no second cluster begins', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await stoppedCluster(context);
  const away = `${cluster.data}-unmounted`;
  renameSync(cluster.data, away);
  mkdirSync(cluster.data);
  const home = contentsOf(cluster.owner.home);
  for (const args of [upArgs(cluster), ['server', '--data', cluster.data, '--port', String(cluster.port)]]) {
    const refused = await run(args, cluster.owner);
    assert.equal(refused.code, 7, refused.stderr);
    assert.match(refused.stderr, /is its disk mounted\?/);
    assert.deepEqual(readdirSync(cluster.data), []);
  }
  assert.deepEqual(contentsOf(cluster.owner.home), home);
  rmSync(cluster.data, { recursive: true });
  renameSync(away, cluster.data);
  await cluster.restart();
  assert.equal((await run(['fetch', '1.txt'], cluster.owner)).code, 0);
});

test('a storage node of `up` whose disk is not mounted is waited for, and no empty one takes its place', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await stoppedCluster(context);
  const directory = join(cluster.data, 'nodes/txt');
  const away = `${directory}-unmounted`;
  renameSync(directory, away);
  mkdirSync(directory);
  await cluster.restart();
  assert.match(cluster.up.stderr(), /storage node txt is not in .*nodes\/txt: is its disk mounted\?/);
  assert.deepEqual(
    cluster.up.ready['nodes'],
    ['mp3', 'pdf', 'others'].map((pool) => ({ pool, port: portOf(cluster, pool) })),
  );
  writeFileSync(join(cluster.folder, 'meanwhile.txt'), 'waits for its node');
  writeFileSync(join(cluster.folder, 'meanwhile.bin'), 'waits for nobody');
  const list = () => runJson<Listed[]>(['fetch'], cluster.owner);
  await until('what others keep is stored', list, (rows) => rows.some(({ path }) => path === 'meanwhile.bin'));
  assert.equal((await run(['fetch', '1.txt'], cluster.owner)).code, 6);
  assert.deepEqual(readdirSync(directory), []);
  await cluster.up.stop();
  rmSync(directory, { recursive: true });
  renameSync(away, directory);
  await cluster.restart();
  await untilInSync(cluster.owner);
  for (const name of ['1.txt', 'meanwhile.txt']) assert.equal((await run(['fetch', name], cluster.owner)).code, 0);
  assert.equal((await runJson<unknown[]>(['nodes'], cluster.owner)).length, 4);

  // Lost for good: a person says so, and the next start makes a new one.
  await cluster.up.stop();
  rmSync(directory, { recursive: true });
  await cluster.restart();
  assert.equal((await run(['nodes', 'remove', 'txt', '--lost'], cluster.owner)).code, 0);
  await cluster.up.stop();
  await cluster.restart();
  assert.equal((cluster.up.ready['nodes'] as unknown[]).length, 4);
  await untilInSync(cluster.owner);
});

/** By what it ends in, and what it says then: which file, and what to do. */
const refusals: readonly (readonly [file: string, damages: readonly ((path: string) => void)[], says: RegExp])[] = [
  ['server/meta.db', [flipped, halved], /server\/meta\.db cannot be used.*backup restore/],
  ['server/meta.db', [emptied, removed], /database is missing or empty/],
  ['server/root.key', [flipped, halved, emptied], /root\.key is damaged.*put a good copy in its place/],
  ['server/root.key', [shown], /others can read the root key .*chmod 600/],
  ['server/root.key', [removed], /root key of this database is missing/],
  ['nodes/txt/node.json', [flipped, halved, emptied], /node\.json of the storage node is damaged/],
  ['nodes/txt/key-list', [flipped, halved, emptied], /key-list of the storage node is damaged/],
  ['nodes/txt/segments/seg-0000000000000001.hfs', [removed], /is its disk mounted\?/],
  ['nodes/txt/key.json', [ofLater], /key\.json was written by a newer version/],
  ['identity.json', [ofLater], /identity\.json was written by a newer version/],
  ['link.json', [ofLater], /link\.json was written by a newer version/],
  ['identity.json', [flipped, halved, emptied], /identity\.json is/],
  ['link.json', [flipped, halved, emptied], /link\.json is/],
  ['state.db', [flipped, halved], /state\.db\); nothing was changed: move the file away/],
];

test('a damaged file of any kind is named, and nothing is changed; whole again, all goes on', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await stoppedCluster(context);
  const ours = everyFile(cluster.directory).map(({ path }) => path);
  const files = treeOf(cluster.folder);
  for (const [name, damages, says] of refusals) {
    const path = ours.find((one) => one.endsWith(`/${name}`));
    assert.ok(path, name);
    const bytes = readFileSync(path);
    for (const damage of damages) {
      damage(path);
      const damaged: Buffer | null = existsSync(path) ? readFileSync(path) : null;
      const refused = await run(upArgs(cluster), cluster.owner);
      assert.equal(refused.code, 7, `${name} ${damage.name}: ${refused.stderr}`);
      assert.match(refused.stderr, says);
      if (damaged?.length) assert.deepEqual(readFileSync(path), damaged);
      writeFileSync(path, bytes, { mode: 0o600 });
      chmodSync(path, 0o600);
    }
  }
  await cluster.restart();
  await untilInSync(cluster.owner);
  assert.deepEqual(treeOf(cluster.folder), files);
  assert.equal((await run(['fetch', '1.txt'], cluster.owner)).code, 0);
});

test('what a file held that can be made anew is made anew: an index of blocks, what a device knows', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await stoppedCluster(context);
  const files = treeOf(cluster.folder);
  const state = everyFile(cluster.owner.home).find(({ path }) => path.endsWith('/state.db'))?.path;
  assert.ok(state);
  const index = join(cluster.data, 'nodes/txt/index.db');
  for (const [path, damage] of [
    [index, flipped],
    [index, halved],
    [index, emptied],
    [state, emptied],
    [state, removed],
  ] as const) {
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
    damage(path);
    await cluster.restart();
    await untilInSync(cluster.owner);
    assert.deepEqual(treeOf(cluster.folder), files, 'no conflict, nothing deleted');
    const listed = await runJson<Listed[]>(['fetch'], cluster.owner);
    assert.equal(listed.length, files.size);
    rmSync(join(cluster.directory, 'target_folder'), { recursive: true, force: true });
    assert.equal((await run(['fetch', ...files.keys()], cluster.owner)).code, 0);
    await cluster.up.stop();
  }
});

/**
 * Pools with copies on real node processes: nodes are killed, stopped, wiped, damaged and copied under a device that works on. No acknowledged
 * file is lost, no read fails that has a good copy, and the copies come back to the number asked by themselves.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilInSync, type Listed, type Status } from './cluster.ts';
import { freePorts, run, runJson, scratch, service, until, type Service, type Surroundings } from './holdfast.ts';

type Row = {
  node: string;
  name: string;
  state: string;
  standing: string;
  blocks: number;
  quarantined: number;
  drain: { blocksLeft: number } | null;
};
type Job = { name: string; done: number; left: number | null; ratePerS: number; secondsLeft: number | null };
type Full = Status & { nodes: Row[]; jobs: Job[] };

class Place {
  readonly context: TestContext;
  readonly directory: string;
  readonly owner: Surroundings;
  readonly folder: string;
  readonly nodes = new Map<string, { port: number; running: Service }>();
  readonly #ports: number[];
  readonly #options: readonly string[];
  server!: Service;

  static async start(context: TestContext, copies: number, options: readonly string[]): Promise<Place> {
    const directory = scratch(context);
    const place = new Place(context, directory, [...(await freePorts(8))], options);
    await place.startServer();
    // All else goes to `others`; the pool of this test is one that was made.
    const set = await runJson<{ made: boolean; nodes: number }>(
      ['pools', 'set', 'safe', '--copies', String(copies)],
      place.owner,
    );
    assert.deepEqual([set.made, set.nodes], [true, 0]);
    await runJson(['rules', 'add', 'dat', '--pool', 'safe'], place.owner);
    await Promise.all(['a', 'b', 'c'].map((name) => place.joinNode(name)));
    const { invite } = await runJson<{ invite: string }>(['invite'], place.owner);
    const at = { ...place.owner, home: join(directory, 'home-device') };
    mkdirSync(place.folder);
    await service(context, ['join', invite, place.folder], at);
    return place;
  }

  constructor(context: TestContext, directory: string, ports: number[], options: readonly string[]) {
    this.context = context;
    this.directory = directory;
    this.owner = { home: join(directory, 'home-owner'), cwd: directory };
    this.folder = join(directory, 'drive');
    this.#ports = ports;
    this.#options = options;
    this.#serverPort = ports.pop() as number;
  }

  readonly #serverPort: number;

  async startServer(): Promise<void> {
    const data = join(this.directory, 'data-server');
    const args = ['server', '--data', data, '--port', String(this.#serverPort), ...this.#options];
    this.server = await service(this.context, args, this.owner);
  }

  dataOf(name: string): string {
    return join(this.directory, `data-${name}`);
  }

  async joinNode(name: string): Promise<void> {
    const { invite } = await runJson<{ invite: string }>(['invite', '--node'], this.owner);
    await this.startNode(name, ['--join', invite, '--pool', 'safe', '--name', name]);
  }

  async startNode(name: string, more: readonly string[] = []): Promise<void> {
    const port = this.nodes.get(name)?.port ?? (this.#ports.shift() as number);
    const args = ['node', '--data', this.dataOf(name), '--port', String(port), ...more];
    this.nodes.set(name, { port, running: await service(this.context, args, this.owner) });
  }

  node(name: string): Service {
    const found = this.nodes.get(name);
    assert.ok(found);
    return found.running;
  }

  write(count: number, prefix: string, bytes: () => number): void {
    for (let index = 0; index < count; index++)
      writeFileSync(join(this.folder, `${prefix}-${index}.dat`), randomBytes(bytes()));
  }

  status(): Promise<Full> {
    return runJson<Full>(['status'], { ...this.owner, home: join(this.directory, 'home-device') });
  }

  untilWhole(): Promise<Full> {
    return until(
      'all copies are there',
      () => this.status(),
      ({ copiesAtRisk, jobs }) => copiesAtRisk === 0 && jobs.every(({ name }) => name === 'scrub'),
      60_000,
    );
  }

  async inSync(): Promise<void> {
    await untilInSync({ ...this.owner, home: join(this.directory, 'home-device') }, 60_000);
  }

  async row(name: string): Promise<Row | undefined> {
    return (await runJson<Row[]>(['nodes', 'list'], this.owner)).find((row) => row.name === name);
  }

  /** Everything that is in the folder comes back from the nodes, byte for byte. */
  async checkFetch(copies: number | null): Promise<void> {
    const listed = await runJson<Listed[]>(['fetch'], this.owner);
    const names = readdirSync(this.folder).filter((name) => name.endsWith('.dat'));
    assert.deepEqual(listed.map(({ path }) => path).sort(), names.sort());
    if (copies !== null) for (const { path, copies: counted } of listed) assert.equal(counted, copies, path);
    const to = join(this.directory, `fetched-${randomInt(2 ** 40)}`);
    const ran = await run(['fetch', ...names, '--to', to], this.owner);
    assert.equal(ran.code, 0, ran.stderr);
    for (const name of names) assert.equal(hashOf(join(to, name)), hashOf(join(this.folder, name)), name);
    rmSync(to, { recursive: true });
  }
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Further apart than any block is long, so that each damages another one. Resolves with how many. */
const FLIPS_APART = 2_500_000;

function flipBits(directory: string): number {
  const segments = join(directory, 'segments');
  const [name] = readdirSync(segments).sort();
  assert.ok(name, 'the node has a segment');
  const bytes = readFileSync(join(segments, name));
  let flips = 0;
  for (let at = 5000 + randomInt(10_000); at < bytes.length; at += FLIPS_APART, flips++)
    bytes[at] = (bytes[at] as number) ^ (1 << randomInt(8));
  writeFileSync(join(segments, name), bytes, { flag: 'r+' });
  return flips;
}

test('three copies: a node killed in an upload, one that stands still, one whose disk goes bad', {
  timeout: 120_000,
}, async (context) => {
  const place = await Place.start(context, 3, ['--lost-after', '600', '--scrub-days', '0.00005']);
  place.write(5, 'before', () => 300_000);
  await place.inSync();
  await place.checkFetch(3);

  // Killed at any moment of an upload.
  place.write(20, 'during', () => randomInt(1, 600_000));
  place.write(2, 'large', () => 6_000_000);
  await sleep(randomInt(600));
  await place.node('a').kill();
  await place.inSync();
  place.write(3, 'after', () => 1000);
  await place.inSync();
  const down = await place.status();
  assert.ok(down.copiesAtRisk > 0);
  await place.checkFetch(null);
  await place.startNode('a');
  await place.untilWhole();
  await place.checkFetch(3);

  // One stands still: it delays, and nothing fails.
  const still = place.node('b').process;
  still.kill('SIGSTOP');
  await place.checkFetch(null);
  place.write(3, 'still', () => 50_000);
  await place.inSync();
  still.kill('SIGCONT');
  await place.untilWhole();
  await place.checkFetch(3);

  // Bits flip on the third; scrub finds what nobody reads.
  const flips = flipBits(place.dataOf('c'));
  assert.ok(flips > 3);
  const found = () =>
    [...place.server.stderr().matchAll(/made anew blocks=(\d+)/g)].reduce((sum, [, blocks]) => sum + Number(blocks), 0);
  await until('every damaged block is found', found, (blocks) => blocks === flips, 60_000);
  await place.untilWhole();
  // What it holds now stands alone.
  for (const name of ['a', 'b']) await place.node(name).kill();
  await place.checkFetch(null);
});

test('two copies: a disk is wiped, a node joins, another drains and leaves, a directory is copied; the server restarts in between', {
  timeout: 120_000,
}, async (context) => {
  const place = await Place.start(context, 2, ['--lost-after', '2']);
  place.write(30, 'file', () => randomInt(1, 400_000));
  place.write(1, 'large', () => 5_000_000);
  await place.inSync();
  await place.checkFetch(2);

  // What it would cost is what it costs: the node is gone with its disk.
  const foretold = await runJson<{
    filesLost: number;
    filesWithOneCopy: number;
    blocksToCopy: number;
    bytesToCopy: number;
  }>(['nodes', 'whatif', 'a'], place.owner);
  assert.equal(foretold.filesLost, 0);
  assert.ok(foretold.filesWithOneCopy > 5);
  const heldBefore = (await place.row('a'))?.blocks ?? 0;
  assert.equal(foretold.blocksToCopy, heldBefore);
  await place.node('a').kill();
  rmSync(place.dataOf('a'), { recursive: true });
  assert.ok(
    (
      await until(
        'its copies are missed',
        () => place.status(),
        ({ copiesAtRisk }) => copiesAtRisk > 0,
      )
    ).copiesAtRisk <= heldBefore,
  );
  await until(
    'it is lost',
    () => place.row('a'),
    (row) => row?.standing === 'lost',
    30_000,
  );
  await place.server.kill();
  await place.startServer();
  await place.untilWhole();
  await place.checkFetch(2);
  const refused = await run(['nodes', 'drain', 'b'], place.owner);
  assert.equal(refused.code, 5, refused.stderr);
  await runJson(['nodes', 'remove', 'a', '--lost'], place.owner);
  assert.equal(await place.row('a'), undefined);

  // Another joins and gets its share; then one leaves.
  await place.joinNode('d');
  await place.untilWhole();
  await until(
    'it has its share',
    () => place.row('d'),
    (row) => (row?.blocks ?? 0) > 5,
  );
  await place.checkFetch(2);
  assert.equal((await run(['nodes', 'remove', 'b'], place.owner)).code, 5);
  await runJson(['nodes', 'drain', 'd'], place.owner);
  await place.server.kill();
  await place.startServer();
  await until(
    'it is empty',
    () => place.row('d'),
    (row) => row?.drain?.blocksLeft === 0,
    30_000,
  );
  await runJson(['nodes', 'remove', 'd'], place.owner);
  await place.node('d').kill();
  await place.checkFetch(2);

  // A copy of a node's directory is started beside it.
  cpSync(place.dataOf('b'), place.dataOf('copy'), { recursive: true, filter: (path) => !path.endsWith('lock') });
  await place.startNode('copy');
  const warned = await until(
    'the copy is noticed',
    () => place.status(),
    ({ problems }) => problems.some(({ code }) => code === 'node_cloned'),
  );
  assert.ok(
    warned.problems.some(({ message }) => message.includes('two processes have the identity of the storage node b')),
  );
  await place.node('copy').kill();
  await place.checkFetch(2);
});

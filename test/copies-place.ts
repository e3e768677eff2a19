/** Server, three nodes of one pool and a device that syncs a folder into it, each a process of its own. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { BadLine } from './bad-line.ts';
import { untilInSync, type Listed, type Status } from './cluster.ts';
import { freePorts, run, runJson, scratch, service, until, type Service, type Surroundings } from './holdfast.ts';
import { DETOURS, SLOW_READS_FILE } from './proof/troubles.ts';

const troubles = fileURLToPath(new URL('./proof/troubles-preload.ts', import.meta.url));

type Row = {
  node: string;
  name: string;
  site: string | null;
  state: string;
  standing: string;
  blocks: number;
  freeBytes: number;
  quarantined: number;
  drain: { blocksLeft: number } | null;
};
type Job = { name: string; done: number; left: number | null; ratePerS: number; secondsLeft: number | null };
type Full = Status & { nodes: Row[]; jobs: Job[] };

export class CopiesPlace {
  readonly context: TestContext;
  readonly directory: string;
  readonly owner: Surroundings;
  readonly folder: string;
  readonly nodes = new Map<string, { port: number; running: Service }>();
  readonly #ports: number[];
  readonly #options: readonly string[];
  server!: Service;

  static async start(
    context: TestContext,
    copies: number,
    options: readonly string[],
    troubled = false,
  ): Promise<CopiesPlace> {
    const directory = scratch(context);
    const place = new CopiesPlace(context, directory, [...(await freePorts(8))], options);
    if (troubled) await place.#layLines();
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
  /** Of a place with troubles: by the node's name the line between it and the server. */
  readonly lines = new Map<string, BadLine>();
  readonly #portsBehindLines = new Map<string, number>();
  #env: Readonly<Record<string, string>> = {};

  async #layLines(): Promise<void> {
    const detours: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      const [port, nodePort] = this.#ports.splice(0, 2) as [number, number];
      this.#portsBehindLines.set(name, nodePort);
      this.lines.set(name, await BadLine.open(this.context, port, nodePort));
      detours.push(`${nodePort}=${port}`);
    }
    this.#env = { NODE_OPTIONS: `--import=${troubles}`, [DETOURS]: detours.join(',') };
  }

  /** While it is there, every read of the node's segments takes a second. */
  slowFileOf(name: string): string {
    return join(this.directory, `slow-${name}`);
  }

  async startServer(): Promise<void> {
    const data = join(this.directory, 'data-server');
    const args = ['server', '--data', data, '--port', String(this.#serverPort), ...this.#options];
    this.server = await service(this.context, args, { ...this.owner, env: this.#env });
  }

  dataOf(name: string): string {
    return join(this.directory, `data-${name}`);
  }

  async joinNode(name: string, more: readonly string[] = []): Promise<void> {
    const { invite } = await runJson<{ invite: string }>(['invite', '--node', '--pool', 'safe'], this.owner);
    await this.startNode(name, ['--join', invite, '--name', name, ...more]);
  }

  async startNode(name: string, more: readonly string[] = []): Promise<void> {
    const chosen = this.nodes.get(name)?.port ?? this.#portsBehindLines.get(name);
    const port = chosen ?? (this.#ports.shift() as number);
    const args = ['node', '--data', this.dataOf(name), '--port', String(port), ...more];
    const env = { ...this.#env, [SLOW_READS_FILE]: this.slowFileOf(name) };
    this.nodes.set(name, { port, running: await service(this.context, args, { ...this.owner, env }) });
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

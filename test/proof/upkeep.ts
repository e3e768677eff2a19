/**
 * Kills the server at each step of a change of rules, of the move that comes of it, and of collecting what the move left behind, one after the other in
 * one piece of work. Every file reads as it is all the while; at the end it is where the rules want it, nothing more is kept, and all verifies.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Listed } from '../cluster.ts';
import { run, runJson, until, type Ending } from '../holdfast.ts';
import type { UpkeepPoint } from './points.ts';
import { arm, disarm, hasEnded, restart, startRoles, type Role, type Roles } from './roles.ts';

const FILES = 60;
const POINT_MS_MAX = 60_000;
const POOLS = ['others', 'txt'] as const;

type Status = { server: { garbageCopies: number; rulesPending: boolean; moving: { files: number; looking: boolean } } };
type Story = { placed: { nodes: { pool: string }[] } };
export type UpkeepCounts = {
  readonly passes: number;
  readonly kills: number;
  readonly byPoint: Readonly<Record<string, number>>;
  readonly reads: number;
};

/** Each pass moves everything to the other pool, with a kill at each of its points, in the order of their work: what was not durable is done once more. */
export async function runUpkeep(
  ending: Ending,
  directory: string,
  passes: readonly (readonly UpkeepPoint[])[],
): Promise<UpkeepCounts> {
  const roles = await startRoles(ending, directory, { serverOptions: ['--collect-every', '1'] });
  const upkeep = new Upkeep(ending, roles, directory);
  await upkeep.fill();
  let pool: string = POOLS[0];
  for (const [pass, points] of passes.entries()) {
    pool = POOLS[(pass + 1) % 2] as string;
    await upkeep.pass(pool, points);
  }
  await upkeep.expectNothingLeft(pool);
  return { passes: passes.length, ...upkeep.counts() };
}

class Upkeep {
  readonly #ending: Ending;
  readonly #roles: Roles;
  readonly #directory: string;
  readonly #server: Role;
  readonly #files = new Map<string, Buffer>();
  readonly #byPoint: Record<string, number> = {};
  #kills = 0;
  #reads = 0;

  constructor(ending: Ending, roles: Roles, directory: string) {
    this.#ending = ending;
    this.#roles = roles;
    this.#directory = directory;
    const server = roles.all.find(({ victim }) => victim === 'server');
    assert.ok(server);
    this.#server = server;
  }

  counts() {
    return { kills: this.#kills, byPoint: this.#byPoint, reads: this.#reads };
  }

  async fill(): Promise<void> {
    const [folder] = this.#roles.folders as [string];
    mkdirSync(join(folder, 'some'));
    for (let index = 0; index < FILES; index++) {
      const path = `some/${index}.bin`;
      this.#files.set(path, randomBytes(1000 + 37 * index));
      writeFileSync(join(folder, path), this.#files.get(path) as Buffer);
    }
    await until(
      'all are stored',
      () => this.#listed(),
      (rows) => rows.length === FILES && rows.every(({ state }) => state === 'stored'),
      60_000,
    );
  }

  async pass(pool: string, points: readonly UpkeepPoint[]): Promise<void> {
    const rules = join(this.#directory, 'rules.json');
    writeFileSync(rules, JSON.stringify([{ extensions: ['bin'], pool }]));
    // Who was not answered asks again.
    let applied = false;
    const apply = async (): Promise<void> => {
      applied ||= (await run(['rules', 'apply', '--file', rules], this.#roles.reader)).code === 0;
    };
    for (const point of points) {
      arm(this.#server, point, 1);
      if (point === 'server: mark begun') this.#leaveStray();
      await this.#start();
      await apply();
      applied ||= point === 'server: rules changed, not answered';
      await this.#untilDead(point);
    }
    await this.#start();
    await apply();
    assert.ok(applied, 'the rules were applied');
    await this.#expectDone(pool);
  }

  /** Something that a device put and never committed, found long ago: it is removed in the transaction that condemns what has moved. */
  #leaveStray(): void {
    const index = new DatabaseSync(join(this.#directory, 'server/data/server/meta.db'));
    index.exec(
      `insert into presence (space, block, pool, length, holders, owed, condemned_mark, condemned_ms)
       select space, randomblob(32), pool, length, holders, owed, 1, 1 from presence limit 1`,
    );
    index.close();
  }

  async #start(): Promise<void> {
    if (hasEnded(this.#server)) await restart(this.#ending, this.#server);
  }

  async #untilDead(point: UpkeepPoint): Promise<void> {
    const deadline = performance.now() + POINT_MS_MAX;
    while (!hasEnded(this.#server)) {
      assert.ok(performance.now() < deadline, `it never came to: ${point}`);
      await this.#read(1);
    }
    assert.ok(disarm(this.#server), `it died elsewhere than at: ${point}`);
    this.#kills += 1;
    this.#byPoint[point] = (this.#byPoint[point] ?? 0) + 1;
  }

  /** Some files, in turn; a read fails only where the server died over it. */
  async #read(count: number): Promise<void> {
    const to = join(this.#directory, 'read');
    const names = [...this.#files.keys()];
    const some = Array.from({ length: count }, (_, index) => names[(this.#reads + index) % FILES] as string);
    this.#reads += count;
    const ran = await run(['fetch', ...some, '--to', to], this.#roles.reader);
    if (ran.code !== 0) {
      await until(ran.stderr, () => hasEnded(this.#server), Boolean, 1000);
      return;
    }
    for (const name of some) assert.ok(readFileSync(join(to, name)).equals(this.#files.get(name) as Buffer), name);
    rmSync(to, { recursive: true });
  }

  async #expectDone(pool: string): Promise<void> {
    await until(
      'everything has moved',
      () => runJson<Status>(['status'], this.#roles.reader),
      ({ server: { moving } }) => moving.files === 0 && !moving.looking,
      60_000,
    );
    // Condemned rows are still rows; what was theirs is garbage only then.
    for (const path of [...this.#files.keys()].slice(0, 3))
      await until(
        'the former pool is not named any more',
        () => runJson<Story>(['why', path], this.#roles.reader),
        ({ placed }) => placed.nodes.every((node) => node.pool === pool),
        60_000,
      );
    await until(
      'what was in it is gone',
      () => runJson<Status>(['status'], this.#roles.reader),
      ({ server }) => server.garbageCopies === 0,
      60_000,
    );
    const rows = await this.#listed();
    assert.equal(rows.length, FILES);
    for (const { path, pool: listed, state } of rows) assert.deepEqual([listed, state], [pool, 'stored'], path);
    await this.#read(FILES);
    const report = await runJson<{ ok: boolean; findings: unknown[] }>(['verify', '--full'], this.#roles.reader);
    assert.deepEqual([report.ok, report.findings], [true, []]);
  }

  /** By what the nodes themselves have written down, once nobody runs any more. Of the metadata every pool has blocks as well. */
  async expectNothingLeft(pool: string): Promise<void> {
    for (const role of this.#roles.all) await role.running.stop();
    const index = new DatabaseSync(join(this.#directory, 'server/data/server/meta.db'));
    const blocks = index.prepare('select distinct block from presence').all();
    assert.equal(blocks.length, FILES);
    index.close();
    for (const one of POOLS) {
      const node = new DatabaseSync(join(this.#directory, `node-${one}/data/index.db`));
      const find = node.prepare('select 1 from block where id = ?');
      const held = blocks.filter(({ block }) => find.get(block as Uint8Array) !== undefined);
      assert.equal(held.length, one === pool ? FILES : 0, one);
      node.close();
    }
  }

  #listed(): Promise<Listed[]> {
    return runJson<Listed[]>(['fetch'], this.#roles.reader);
  }
}

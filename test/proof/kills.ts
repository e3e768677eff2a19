/**
 * Kills roles under load, at named points and at random moments, against a ledger outside the system. At the end every acknowledged
 * content is on both devices and can be fetched from the nodes, the devices are identical, and nothing was invented.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { untilIdentical, type Listed } from '../cluster.ts';
import { run, runJson, until, type Ending } from '../holdfast.ts';
import { hashOf, Ledger } from './ledger.ts';
import { points, POINTS, victimOf, type Between, type Point } from './points.ts';
import { choices, type Choices } from './random.ts';
import { arm, disarm, hasEnded, restart, startRoles, type Role, type Roles } from './roles.ts';

const POINT_SHARE = 0.75;
/** Where fewer kills than that were at points so far, the next one is to be, whatever chance says. */
const POINT_SHARE_MIN = 0.6;
const SECOND_VICTIM_SHARE = 0.1;
/** How long a role may take to come to its point, with load going on; after that it is killed wherever it is. */
const POINT_MS_MAX = 15_000;
const SMALL_BYTES_MAX = 40_000;
const LARGE_BYTES = 5_000_000;
const FETCHED_AT_ONCE = 200;

export type KillCounts = {
  readonly cycles: number;
  readonly kills: number;
  readonly atPoints: number;
  readonly byRole: Readonly<Record<string, number>>;
  readonly byPoint: Readonly<Record<string, number>>;
  readonly byBetween: Readonly<Record<string, number>>;
  readonly files: number;
  readonly acknowledged: number;
};

export async function runKills(
  ending: Ending,
  options: { readonly directory: string; readonly cycles: number; readonly seed: number },
): Promise<KillCounts> {
  const { directory, cycles } = options;
  const random = choices(options.seed);
  const ledger = new Ledger(join(directory, 'ledger.jsonl'));
  const roles = await startRoles(ending, directory);
  const load = new Load(roles, ledger, random);
  const count = new Counts();
  for (let cycle = 0; cycle < cycles; cycle++) {
    const byChance = random.next() < POINT_SHARE;
    const died = await killOne(roles, load, ledger, random, byChance || count.pointShare < POINT_SHARE_MIN);
    count.add(died);
    if (random.next() < SECOND_VICTIM_SHARE) {
      const second = random.of(roles.all.filter(({ name }) => name !== died.role.name));
      await second.running.kill();
      const also = { role: second, point: null };
      ledger.note({ killed: second.name, at: 'a random moment' });
      count.add(also);
      await restart(ending, second);
    }
    if (cycle % 5 === 4) load.burst(); // while one is missing
    await restart(ending, died.role);
    if (cycle % 5 === 4) await noteListed(roles, ledger);
  }
  await expectAll(roles, ledger, directory);
  return { cycles, ...count.all(), files: ledger.paths.length, acknowledged: ledger.acknowledged };
}

type Died = { readonly role: Role; readonly point: Point | null };

async function killOne(roles: Roles, load: Load, ledger: Ledger, random: Choices, atPoint: boolean): Promise<Died> {
  if (!atPoint) {
    const role = random.of(roles.all);
    load.burst();
    await pause(random.below(250));
    await role.running.kill();
    ledger.note({ killed: role.name, at: 'a random moment' });
    return { role, point: null };
  }
  const wanted = random.of(points);
  const role = random.of(roles.all.filter(({ victim }) => victim === victimOf(wanted)));
  arm(role, wanted, 1 + random.below(3));
  const deadline = performance.now() + POINT_MS_MAX;
  while (!hasEnded(role) && performance.now() < deadline) {
    load.burst(wanted === 'device: large blocks put, commit not sent' ? role.folder : null);
    for (let waited = 0; waited < 300 && !hasEnded(role); waited += 10) await pause(10);
  }
  await role.running.kill();
  const point = disarm(role) ? wanted : null;
  ledger.note({ killed: role.name, at: point ?? 'a random moment' });
  return { role, point };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** People's work in both folders: files of their own, made, changed, renamed and deleted. */
class Load {
  readonly #roles: Roles;
  readonly #ledger: Ledger;
  readonly #random: Choices;
  readonly #own = new Map<string, string[]>();
  readonly #sizes = new Set<string>();
  #files = 0;

  constructor(roles: Roles, ledger: Ledger, random: Choices) {
    this.#roles = roles;
    this.#ledger = ledger;
    this.#random = random;
  }

  burst(largeIn: string | null = null): void {
    for (let left = 1 + this.#random.below(8); left > 0; left--) this.#work(this.#random.of(this.#roles.folders));
    if (largeIn !== null) this.#make(largeIn, LARGE_BYTES);
  }

  #work(folder: string): void {
    const own = this.#own.get(folder) ?? [];
    this.#own.set(folder, own);
    const choice = this.#random.next();
    if (choice < 0.7 || own.length === 0) {
      own.push(this.#make(folder, this.#random.next() < 0.03 ? LARGE_BYTES : 0));
      return;
    }
    const index = this.#random.below(own.length);
    const path = own[index] as string;
    if (choice < 0.85) this.#write(folder, path, 0);
    else if (choice < 0.93) {
      const to = this.#freshPath(path.slice(path.lastIndexOf('.')));
      mkdirSync(dirname(join(folder, to)), { recursive: true });
      this.#ledger.renamed(path, to);
      renameSync(join(folder, path), join(folder, to));
      own[index] = to;
    } else {
      this.#ledger.deleted(path);
      rmSync(join(folder, path));
      own.splice(index, 1);
    }
  }

  #make(folder: string, atLeastBytes: number): string {
    const path = this.#freshPath(this.#random.next() < 0.3 ? '.txt' : '.bin');
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    this.#write(folder, path, atLeastBytes);
    return path;
  }

  /** No two contents of a path have one size: by it the ledger knows which of them a listing speaks of. */
  #write(folder: string, path: string, atLeastBytes: number): void {
    let size = atLeastBytes + this.#random.below(SMALL_BYTES_MAX);
    while (this.#sizes.has(`${path} ${size}`)) size += 1;
    this.#sizes.add(`${path} ${size}`);
    const bytes = randomBytes(size);
    this.#ledger.wrote(path, bytes);
    writeFileSync(join(folder, path), bytes);
  }

  #freshPath(extension: string): string {
    return `d${this.#random.below(5)}/f${this.#files++}${extension}`;
  }
}

/** Nothing is written meanwhile, so that the listing speaks of what the ledger has. */
export async function noteListed(roles: Roles, ledger: Ledger): Promise<void> {
  const ran = await run(['fetch', '--json'], roles.reader);
  // The server may be the one that is missing.
  if (ran.code === 0) ledger.listed(JSON.parse(ran.stdout) as Listed[]);
}

export async function expectAll(roles: Roles, ledger: Ledger, directory: string): Promise<void> {
  const expected = ledger.paths.length;
  const rows = await until(
    'every file is listed as stored',
    () => runJson<Listed[]>(['fetch'], roles.reader),
    (seen) => seen.length === expected && seen.every(({ state }) => state === 'stored'),
    180_000,
  );
  const tree = await untilIdentical(roles.folders, 180_000);
  assert.deepEqual(ledger.differences(tree).slice(0, 20), []);
  ledger.listed(rows);
  const standing = ledger.standing;
  assert.equal(standing.size, expected, 'the ledger is no empty promise');
  const target = join(directory, 'fetched');
  const paths = [...standing.keys()];
  for (let at = 0; at < paths.length; at += FETCHED_AT_ONCE) {
    const some = paths.slice(at, at + FETCHED_AT_ONCE);
    const fetched = await run(['fetch', ...some, '--to', target], roles.reader, 120_000);
    assert.equal(fetched.code, 0, fetched.stderr);
    for (const path of some) assert.equal(hashOf(readFileSync(join(target, path))), standing.get(path), path);
  }
}

class Counts {
  readonly #byRole: Record<string, number> = {};
  readonly #byPoint: Record<string, number> = {};
  readonly #byBetween: Record<string, number> = {};
  #kills = 0;
  #atPoints = 0;

  get pointShare(): number {
    return this.#kills === 0 ? 0 : this.#atPoints / this.#kills;
  }

  add({ role, point }: Died): void {
    const between: Between | 'random' = point === null ? 'random' : POINTS[point];
    const name = point ?? `${role.victim}: a random moment`;
    this.#kills += 1;
    if (point !== null) this.#atPoints += 1;
    this.#byRole[role.victim] = (this.#byRole[role.victim] ?? 0) + 1;
    this.#byPoint[name] = (this.#byPoint[name] ?? 0) + 1;
    this.#byBetween[between] = (this.#byBetween[between] ?? 0) + 1;
  }

  all() {
    return {
      kills: this.#kills,
      atPoints: this.#atPoints,
      byRole: this.#byRole,
      byPoint: this.#byPoint,
      byBetween: this.#byBetween,
    };
  }
}

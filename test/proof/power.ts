/**
 * Cuts the power of machines under load: server, storage nodes and devices have ext4 file systems of their own, which end at a named point or at
 * a random moment without anything more reaching them; the processes are killed, the journals replayed, everything started again. After every cut
 * each content that was acknowledged before it, or synced to the disk by whoever wrote it, is on both devices, and nothing torn is.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { differences, treeOf, type Listed, type Status } from '../cluster.ts';
import { runJson, until, type Ending } from '../holdfast.ts';
import { cutPower, makeExt4, type Ext4 } from './ext4.ts';
import { expectAll, noteListed } from './kills.ts';
import { Ledger } from './ledger.ts';
import { points, victimOf, type Point } from './points.ts';
import { choices, type Choices } from './random.ts';
import { arm, disarm, hasEnded, noteCut, restart, startRoles, type Places, type Role, type Roles } from './roles.ts';

const POINT_SHARE = 0.5;
const ALL_SHARE = 0.1;
const POINT_MS_MAX = 15_000;
const SMALL_BYTES_MAX = 60_000;
const LARGE_BYTES = 5_000_000;
const CONVERGED_MS_MAX = 120_000;

export type CutCounts = {
  readonly cuts: number;
  readonly machines: Readonly<Record<string, number>>;
  readonly byPoint: Readonly<Record<string, number>>;
  readonly files: number;
  readonly acknowledged: number;
};

type Machines = ReadonlyMap<string, readonly Ext4[]>;

export async function runCuts(
  ending: Ending,
  options: { readonly directory: string; readonly cuts: number; readonly seed: number },
): Promise<CutCounts> {
  const { directory } = options;
  const random = choices(options.seed);
  const ledger = new Ledger(join(directory, 'ledger.jsonl'));
  const { machines, placesOf } = await makeMachines(ending, directory);
  const roles = await startRoles(ending, directory, { placesOf, cutDisks: true });
  const load = new Load(roles, ledger, random);
  const byMachine: Record<string, number> = {};
  const byPoint: Record<string, number> = {};
  for (let cut = 0; cut < options.cuts; cut++) {
    load.burst();
    await pause(random.below(1500));
    await noteListed(roles, ledger);
    const { cutRoles, point } = await cutSome(roles, machines, ledger, load, random);
    const what = cutRoles.map(({ name }) => name).join(', ');
    ledger.note({ cut: what, at: point ?? 'a random moment' });
    for (const role of cutRoles) byMachine[role.name] = (byMachine[role.name] ?? 0) + 1;
    byPoint[point ?? 'a random moment'] = (byPoint[point ?? 'a random moment'] ?? 0) + 1;
    for (const role of cutRoles) for (const disk of machines.get(role.name) ?? []) await disk.remount();
    for (const role of cutRoles) {
      noteCut(role, cut + 1);
      await restart(ending, role);
    }
    await expectConverged(roles, ledger, load.uncertainOf(cutRoles), `cut ${cut} of ${what} at ${point ?? 'random'}`);
  }
  await expectAll(roles, ledger, directory);
  return {
    cuts: options.cuts,
    machines: byMachine,
    byPoint,
    files: ledger.paths.length,
    acknowledged: ledger.acknowledged,
  };
}

/** A device keeps its state on the disk of its folder, the other on another one: a cut takes both. */
async function makeMachines(
  ending: Ending,
  directory: string,
): Promise<{ machines: Machines; placesOf: (name: string) => Places }> {
  const disk = (name: string): Promise<Ext4> => makeExt4(ending, join(directory, name));
  const [a, bHome, bFolder] = [await disk('device-a'), await disk('device-b'), await disk('device-b-folder')];
  const machines = new Map<string, readonly Ext4[]>([
    ['server', [await disk('server')]],
    ['node others', [await disk('node-others')]],
    ['node txt', [await disk('node-txt')]],
    ['device a', [a]],
    ['device b', [bHome, bFolder]],
  ]);
  const placesOf = (name: string): Places => {
    const [home, folder = home] = machines.get(name) as readonly [Ext4, Ext4?];
    return { home: home.mountPoint, folder: join(folder.mountPoint, 'folder') };
  };
  return { machines, placesOf };
}

async function cutSome(
  roles: Roles,
  machines: Machines,
  ledger: Ledger,
  load: Load,
  random: Choices,
): Promise<{ cutRoles: readonly Role[]; point: Point | null }> {
  if (random.next() < POINT_SHARE) {
    const wanted = random.of(points);
    const role = random.of(roles.all.filter(({ victim }) => victim === victimOf(wanted)));
    arm(role, wanted, 1 + random.below(3));
    const deadline = performance.now() + POINT_MS_MAX;
    while (!hasEnded(role) && performance.now() < deadline) {
      load.burst(wanted === 'device: large blocks put, commit not sent' ? role.folder : null, role.folder);
      for (let waited = 0; waited < 300 && !hasEnded(role); waited += 10) await pause(10);
      // An answer that was received was given before the power went.
      await noteListed(roles, ledger);
    }
    if (disarm(role)) {
      // It cuts its disk's power, and ends itself: ended before, it would leave the cutting to whatever the disk is used for by then.
      while (!hasEnded(role)) await pause(10);
      await role.running.kill();
      return { cutRoles: [role], point: wanted };
    }
    // It did not come to pass: its power is cut wherever it is.
    return { cutRoles: await cutNow(machines, [role]), point: null };
  }
  load.burst();
  await pause(random.below(700));
  return {
    cutRoles: await cutNow(machines, random.next() < ALL_SHARE ? roles.all : [random.of(roles.all)]),
    point: null,
  };
}

async function cutNow(machines: Machines, cutRoles: readonly Role[]): Promise<readonly Role[]> {
  cutPower(cutRoles.flatMap(({ name }) => machines.get(name) ?? []));
  for (const role of cutRoles) await role.running.kill();
  return cutRoles;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Files made and saved again, in place and by a rename over them; half of it synced to the disk by whoever wrote. */
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

  /** A machine whose power may go in this very moment has nothing written to it: `leaveOut` alone of it. */
  burst(largeIn: string | null = null, mayEnd: string | null = null): void {
    for (let left = 1 + this.#random.below(6); left > 0; left--)
      this.#guarded(mayEnd, this.#random.of(this.#roles.folders), (folder) => this.#work(folder));
    if (largeIn !== null)
      this.#guarded(mayEnd, largeIn, (folder) => this.#write(folder, this.#freshPath(folder), LARGE_BYTES));
  }

  /** Paths of which nobody promised anything. */
  uncertainOf(roles: readonly Role[]): ReadonlySet<string> {
    const paths = roles.flatMap(({ folder }) => (folder === null ? [] : (this.#own.get(folder) ?? [])));
    return new Set(paths.filter((path) => this.#ledger.isUncertain(path)));
  }

  /** Where the power is gone before the writer was done, what it wrote is uncertain. */
  #guarded(mayEnd: string | null, folder: string, work: (folder: string) => void): void {
    try {
      work(folder);
    } catch (error) {
      if (folder !== mayEnd || !['EIO', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  #work(folder: string): void {
    const own = this.#own.get(folder) ?? [];
    if (this.#random.next() < 0.6 || own.length === 0)
      this.#write(folder, this.#freshPath(folder), this.#random.next() < 0.05 ? LARGE_BYTES : 0);
    else this.#write(folder, this.#random.of(own), 0);
  }

  #write(folder: string, path: string, atLeastBytes: number): void {
    let size = atLeastBytes + 1 + this.#random.below(SMALL_BYTES_MAX);
    while (this.#sizes.has(`${path} ${size}`)) size += 1;
    this.#sizes.add(`${path} ${size}`);
    const bytes = randomBytes(size);
    const full = join(folder, path);
    const synced = this.#random.next() < 0.5;
    const aside = existsSync(full) && this.#random.next() < 0.5;
    this.#ledger.wrote(path, bytes, false);
    mkdirSync(dirname(full), { recursive: true });
    const written = aside ? `${full}.aside~` : full;
    // One of before a cut, that nobody renamed any more.
    const isLeft = aside && existsSync(written);
    const file = openSync(written, 'w');
    writeSync(file, bytes);
    if (synced) fsyncSync(file);
    closeSync(file);
    if (aside) renameSync(written, full);
    if (isLeft) this.#ledger.deleted(`${path}.aside~`);
    if (!synced) return;
    syncDirectories(dirname(full), folder);
    this.#ledger.wrote(path, bytes, true);
  }

  #freshPath(folder: string): string {
    const own = this.#own.get(folder) ?? [];
    this.#own.set(folder, own);
    const path = `d${this.#random.below(5)}/f${this.#files++}${this.#random.next() < 0.3 ? '.txt' : '.bin'}`;
    own.push(path);
    return path;
  }
}

/** From where the file is up to the folder itself. */
function syncDirectories(from: string, folder: string): void {
  for (let directory = from; ; directory = dirname(directory)) {
    const handle = openSync(directory, 'r');
    fsyncSync(handle);
    closeSync(handle);
    if (directory === folder) return;
  }
}

async function expectConverged(
  roles: Roles,
  ledger: Ledger,
  uncertain: ReadonlySet<string>,
  what: string,
): Promise<void> {
  const [a, b] = roles.folders as [string, string];
  await until(
    `${what}: both devices are in sync and identical`,
    async () => {
      const statuses = [];
      for (const { at } of roles.devices) statuses.push(await runJson<Status>(['status'], at));
      const rows = await runJson<Listed[]>(['fetch'], roles.reader);
      return {
        statuses,
        open: rows.filter(({ state }) => state !== 'stored'),
        differ: differences(treeOf(a), treeOf(b)),
      };
    },
    ({ statuses, open, differ }) => statuses.every(({ inSync }) => inSync) && open.length === 0 && differ.length === 0,
    CONVERGED_MS_MAX,
  );
  const tree = treeOf(a);
  for (const path of uncertain) ledger.became(path, tree.has(path) ? readFileSync(join(a, path)) : null);
  // What an application had written aside and not yet renamed when the power went is its own; a device that lost the memory of its
  // last commits takes what it meets for another's, and keeps both.
  for (const [path, hash] of tree)
    if (path.endsWith('.aside~') || ledger.isEarlierVersion(path, hash))
      ledger.became(path, readFileSync(join(a, path)));
  assert.deepEqual(ledger.differences(tree).slice(0, 20), [], what);
}

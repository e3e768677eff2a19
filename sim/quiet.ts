/** Waiting until nothing is left to be done, and what must hold then. Numbers are those of the invariants in ARCHITECTURE.md. */
import { must } from '#core/assert.ts';
import { TRASH_ENTRY, ROOT_ENTRY } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';
import { Decisions } from './decisions.ts';
import type { DeviceMachine } from './device-machine.ts';
import { difference, sameTree, type Programs, type Tree, type TreeNode } from './programs.ts';
import type { World } from './world.ts';

/** Longer than the time between two full scans and every backoff. */
const QUIET_MS_MAX = 75 * 60_000;
const TASKS_MAX = 600_000;
/** Longer than it takes to believe that something is gone, and to tell. */
const CLOSED_MS = 3000;
/** How long until all folders are read and compared again: longer each time, since the next full scan may be what all wait for. */
const LOOK_MS = { min: 50, max: 20_000 };

/** True where every device says that it is in sync and all folders hold the same within bounded time: convergence. */
export async function untilQuiet(world: World): Promise<boolean> {
  let lookMs = Number.NEGATIVE_INFINITY;
  let pauseMs = LOOK_MS.min;
  const inSync = inSyncOf(world);
  const quiet = () => {
    if (!inSync()) return false;
    if (world.scheduler.nowMs < lookMs) return false;
    lookMs = world.scheduler.nowMs + pauseMs;
    pauseMs = Math.min(pauseMs * 1.5, LOOK_MS.max);
    const [first, ...others] = world.devices;
    const whole = must(first, 'there is a device').tree();
    return others.every((device) => sameTree(wantedOf(whole, device), device.tree()));
  };
  if (await world.scheduler.run(quiet, boundedTime(world))) return true;
  const [first, ...others] = world.devices;
  const whole = must(first, 'there is a device').tree();
  const lines = others.flatMap((device, at) =>
    difference(wantedOf(whole, device), device.tree()).map((line) => `  1|${at + 2} ${line}`),
  );
  world.violate([notInSync(world), ...lines.slice(0, 12)].join('\n'));
  return false;
}

/** True where every device says that it is in sync within bounded time, whatever folders hold. */
export async function untilInSync(world: World): Promise<boolean> {
  if (await world.scheduler.run(inSyncOf(world), boundedTime(world))) return true;
  world.violate(notInSync(world));
  return false;
}

/** What is held meanwhile somebody decides on. */
function inSyncOf(world: World): () => boolean {
  const decisions = new Decisions(world);
  return () => {
    if (world.devices.every((device) => device.isUp && device.inSync)) return true;
    decisions.look();
    return false;
  };
}

const boundedTime = ({ scheduler }: World) => ({ untilMs: scheduler.nowMs + QUIET_MS_MAX, tasksMax: TASKS_MAX });

function notInSync({ devices }: World): string {
  return ['convergence: not in sync in bounded time', ...devices.map((device) => device.explain())].join('\n');
}

/** Of all that is in the space, what this device is to have. */
function wantedOf(whole: Tree, device: DeviceMachine): Tree {
  const notWanted = device.notWanted();
  if (notWanted.size === 0) return whole;
  const paths = new Set(notWanted.values());
  return new Map([...whole].filter(([path]) => !paths.has(path)));
}

/** What holds whenever all is quiet. `expected`: what one person alone made of a synced folder, exactly. */
export async function checkQuiet(world: World, expected: Tree | null): Promise<void> {
  const tree = must(world.devices[0], 'there is a device').tree();
  checkContents(world, tree);
  for (const device of world.devices)
    for (const fault of device.treeFaults()) world.violate(`the trees of ${device.name}: ${fault}`);
  if (expected && !sameTree(withoutOthers(expected), withoutOthers(tree)))
    world.violate(
      ['one person alone worked, and something else came of it', ...difference(expected, tree).slice(0, 12)].join(
        '\n  ',
      ),
    );
  await checkServerTree(world, tree);
}

/** 2 and 4: every content that nobody gave up is there, and none that nobody wrote. */
function checkContents(world: World, tree: Tree): void {
  const present = new Set<string>();
  for (const [path, node] of tree) {
    if (path.split('/').some((name) => name.startsWith('.holdfast') && !name.startsWith(IGNORE_FILE)))
      world.violate(`a name of Holdfast's own is visible: ${path}`);
    if (node.kind !== 'file') continue;
    present.add(node.text);
    if (!world.ledger.knows(node.text))
      world.violate(`invented content in ${path}: ${JSON.stringify(node.text.slice(0, 40))} of ${node.text.length}`);
  }
  for (const content of world.ledger.alive())
    if (!present.has(content.text))
      world.violate(
        `lost content ${JSON.stringify(content.text.slice(0, 24))} of ${content.text.length} by ${content.by}`,
      );
}

export type ServerTree = ReadonlyMap<string, { readonly entry: string; readonly kind: string }>;

/** 6: the server's tree is well-formed, and is what the devices show. */
async function checkServerTree(world: World, tree: Tree): Promise<void> {
  const paths = await serverTree(world);
  if (!paths) return;
  const shown = withoutOthers(tree);
  for (const [path, node] of shown)
    if (paths.get(path)?.kind !== node.kind)
      world.violate(`the devices have a ${node.kind} at ${path}, the server ${paths.get(path)?.kind ?? 'nothing'}`);
  for (const [path, { kind }] of paths)
    if (!shown.has(path)) world.violate(`the server has a ${kind} at ${path}, the devices nothing`);
}

/** By path, what is live. Null where the server is down. */
export async function serverTree(world: World): Promise<ServerTree | null> {
  const { meta } = world.server;
  if (!meta) return null;
  type Row = { entry: Uint8Array; parent: Uint8Array; name: Uint8Array; kind: string };
  const rows = await world.drive(
    meta.read(
      async ({ db }) => (await db.selectFrom('entry').select(['entry', 'parent', 'name', 'kind']).execute()) as Row[],
    ),
  );
  const byId = new Map(rows.map((row) => [hex(row.entry), row]));
  const paths = new Map<string, { readonly entry: string; readonly kind: string }>();
  for (const row of rows) {
    const names: string[] = [];
    let at: Row | undefined = row;
    for (let depth = 0; ; depth++) {
      if (depth > 1000) {
        world.violate('the server has a cycle');
        break;
      }
      names.unshift(Buffer.from(at.name).toString('utf8'));
      const parent: string = hex(at.parent);
      if (parent === TRASH_ENTRY) break;
      if (parent === ROOT_ENTRY) {
        const path = names.join('/');
        if (paths.has(path)) world.violate(`the server has two entries at ${path}`);
        paths.set(path, { entry: hex(row.entry), kind: row.kind });
        break;
      }
      at = byId.get(parent);
      if (!at) {
        world.violate('the server has an orphan');
        break;
      }
    }
  }
  return paths;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Sockets and the like stay on their device. */
export function withoutOthers(tree: Tree): Tree {
  return new Map([...tree].filter(([, node]) => node.kind !== 'other'));
}

/** 8: looked at again from scratch, a synced system does nothing; also where a folder of somebody cannot be read at first, and can be later. */
export async function checkStillness(world: World, random: SimRandom): Promise<void> {
  const before = await head(world);
  for (const device of world.devices) device.kill();
  const open = random.pick(world.devices).closeFolder(random);
  for (const device of world.devices) world.bringUp(device);
  const openedMs = world.scheduler.nowMs + CLOSED_MS;
  await world.scheduler.run(() => world.scheduler.nowMs >= openedMs, { untilMs: openedMs, tasksMax: TASKS_MAX });
  open();
  if (!(await untilQuiet(world))) return;
  const after = await head(world);
  if (before !== after) world.violate(`stillness: a restart of all devices made ${after - before} journal rows`);
}

async function head(world: World): Promise<number> {
  const { meta } = world.server;
  const row = await world.drive(
    must(meta, 'the server runs').read(({ db }) => db.selectFrom('space').select('head_seq').executeTakeFirst()),
  );
  return row?.head_seq ?? 0;
}

/** 12: with all power gone, every committed content can still be read, whole, by a device that has nothing yet. */
export async function checkDurability(world: World): Promise<void> {
  const tree = must(world.devices[0], 'there is a device').tree();
  for (const machine of [world.server, ...world.nodes]) machine.powerCut();
  for (const machine of [world.server, ...world.nodes]) world.bringUp(machine);
  await world.untilServed();
  const late = await world.addDevice('late');
  if (!(await untilQuiet(world))) return;
  const seen = late.tree();
  if (!sameTree(withoutOthers(tree), seen))
    world.violate(['a new device gets something else', ...difference(tree, seen).slice(0, 12)].join('\n  '));
}

/** A disk that holds the same, for what one person alone does. */
export function copyTree(tree: Tree, into: Programs): void {
  const known = new Map<string, string>();
  for (const [path, node] of tree) {
    if (node.kind === 'folder') into.makeFolder(path);
    else if (node.kind === 'symlink') into.symlink(node.target, path);
    else if (node.kind === 'file' && known.has(node.inode)) into.hardLink(known.get(node.inode) ?? '', path);
    else if (node.kind === 'file') {
      known.set(node.inode, path);
      into.write(path, node.text);
      if (node.exec) into.setExec(path, true);
    }
  }
}

export type { TreeNode };

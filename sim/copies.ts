/**
 * In some worlds a pool keeps copies on nodes that come and go, and its rule asks for others than the pool keeps, and no more for them. When all is quiet
 * every block must lie, as the rows say, on as many distinct nodes as its pool asks for, where the newest layout wants it.
 */
import { must } from '#core/assert.ts';
import { nodesFor, parseLayout, type Layout } from '#core/layout.ts';
import { allLayouts, allNodes, allRules, putPool, replaceRules } from '#meta/clusters.ts';
import { walkPresence, type PlacedPresence } from '#meta/copies.ts';
import { allJobs } from '#meta/jobs.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { addPlacingEverywhere, countMisplaced, isPlacing } from '#meta/placing.ts';
import { allSpaces } from '#meta/spaces.ts';
import { changeStanding, makePoolsOf, newLayout, poolsBeside, wantJobs } from '#server/standing.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { primitives } from './machines.ts';
import type { World } from './world.ts';

export const COPIES_POOL = 'txt';
const NODES_AT_FIRST = 3;
const NODES_MAX = 5;
/** Longer than it takes to give up a node, to find it again and to try everything once more. */
const SETTLED_MS_MAX = 30 * 60_000;
const TASKS_MAX = 600_000;
const LOOK_EVERY_MS = 1000;

export function keepsCopies(seed: string): boolean {
  return new SimRandom(`${seed} copies`).chance(0.3);
}

/** The pool's further nodes, and two copies. */
export async function buildCopies(world: World): Promise<void> {
  for (let number = 2; number <= NODES_AT_FIRST; number++)
    await world.addNode(`node-${COPIES_POOL}${number}`, COPIES_POOL);
  await changeCluster(world, (tools, writer) => setCopies(tools, writer, 2));
}

/** What somebody may do to the cluster while people work; nothing where the server is down just then. */
export function stirCopies(world: World, random: SimRandom): void {
  const act = random.pick(['drain', 'stop draining', 'copies', 'copies of the rule', 'join', 'nothing'] as const);
  const drawn = new SimRandom(`${random.below(2 ** 32)}`);
  const lengthMs = 1 + random.below(5000);
  world.scheduler.after(null, lengthMs, `cluster: ${act}`, () => {
    world.coverage.add(`cluster: ${act}`);
    const own = world.nodes.filter(({ pool }) => pool === COPIES_POOL);
    if (act === 'join' && own.length < NODES_MAX) {
      const server = world.server.server;
      if (server) void world.addNode(`node-${COPIES_POOL}${own.length + 1}`, COPIES_POOL).catch(() => undefined);
      return;
    }
    void changeCluster(world, async (tools, writer) => {
      const nodes = (await allNodes(writer)).filter(({ pool }) => pool === COPIES_POOL);
      const pools = await poolsBeside(writer, COPIES_POOL);
      const copies = pools.find(({ pool }) => pool === COPIES_POOL)?.copies ?? 1;
      const staying = nodes.filter(({ standing }) => standing === 'in');
      const draining = nodes.find(({ standing }) => standing === 'draining');
      if (act === 'copies') await setCopies(tools, writer, copies === 2 && staying.length > 2 ? 3 : 2);
      const possible = [1, 2, 3].filter((count) => count <= staying.length);
      if (act === 'copies of the rule') await ruleCopies(tools, writer, drawn.pick([undefined, ...possible]));
      if (act === 'drain' && staying.length > Math.max(...pools.map((pool) => pool.copies)))
        await changeStanding(tools, writer, drawn.pick(staying), 'draining');
      if (act === 'stop draining' && draining) await changeStanding(tools, writer, draining, 'in');
    }).catch(() => undefined);
  });
}

type Tools = Parameters<typeof changeStanding>[0];
type Writer = Parameters<typeof changeStanding>[1];

async function setCopies(tools: Tools, writer: Writer, copies: number): Promise<void> {
  await putPool(writer, { pool: COPIES_POOL, copies });
  await newLayout(tools, writer, COPIES_POOL);
  await wantJobs(tools, writer, [
    ['recount', COPIES_POOL],
    ['rebalance', COPIES_POOL],
  ]);
}

/** Of the rule that names the pool, applied to the files that there are. */
async function ruleCopies(tools: Tools, writer: Writer, copies: number | undefined): Promise<void> {
  const rules = (await allRules(writer)).map((rule) => (rule.pool === COPIES_POOL ? { ...rule, copies } : rule));
  await replaceRules(writer, rules);
  await makePoolsOf(tools, writer, rules);
  await addPlacingEverywhere(
    writer,
    (await allSpaces(writer)).map(({ space }) => space),
  );
}

/** As the server's verbs do it, without a device that asks. */
async function changeCluster(world: World, work: (tools: Tools, writer: Writer) => Promise<void>): Promise<void> {
  const { meta } = world.server;
  if (meta) await meta.write((writer) => work({ primitives, random: world.random }, writer));
}

/** 14: after failures heal every block has as many copies as asked, on the nodes that the newest layout names, and they are there. */
export async function checkCopies(world: World): Promise<void> {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let faults: readonly string[] = ['nobody looked'];
  let looking = false;
  const settled = () => {
    if (world.scheduler.nowMs - lookedMs >= LOOK_EVERY_MS && !looking) {
      lookedMs = world.scheduler.nowMs;
      looking = true;
      void look(world).then((found) => {
        faults = found;
        looking = false;
      });
    }
    return !looking && faults.length === 0;
  };
  const limits = { untilMs: world.scheduler.nowMs + SETTLED_MS_MAX, tasksMax: TASKS_MAX };
  if (!(await world.scheduler.run(settled, limits)))
    world.violate(['copies: not as asked in bounded time', ...faults.slice(0, 12)].join('\n  '));
}

async function look(world: World): Promise<readonly string[]> {
  const { meta } = world.server;
  if (!meta) return ['the server is down'];
  const { rows, faults, pools, numbers } = await meta.read(readAll);
  for (const row of rows) {
    const wanted = pools.get(row.pool);
    if (wanted) faults.push(...(await faultsOf(world, row, { ...wanted, numbers })));
    if (wanted && row.pool !== COPIES_POOL) world.coverage.add('copies: of a rule');
  }
  return faults;
}

async function readAll(reader: MetaReader) {
  const rows = await walkPresence(reader, null, 100_000);
  const faults = (await allJobs(reader))
    .filter(({ kind }) => kind !== 'scrub')
    .map((job) => `job ${JSON.stringify(job)}`);
  const nodes = (await allNodes(reader)).filter(({ pool }) => pool === COPIES_POOL);
  faults.push(...nodes.filter(({ standing }) => standing === 'lost').map(({ name }) => `${name} is lost`));
  // Nobody lies here, whatever disks, power and memory do.
  faults.push(...nodes.filter(({ standing }) => standing === 'distrusted').map(({ name }) => `${name} is distrusted`));
  if ((await countMisplaced(reader)) > 0 || (await isPlacing(reader)))
    faults.push('files are not where the rules want them');
  const layouts = await allLayouts(reader);
  const pools = new Map<string, Wanted>();
  for (const { pool, copies } of await poolsBeside(reader, COPIES_POOL)) {
    const newest = must(
      layouts.find((one) => one.pool === pool),
      'it has nodes',
    );
    const layout = must(parseLayout(newest.number, newest.nodes, newest.table), 'a layout is whole');
    pools.set(pool, { layout, copies });
  }
  return { rows, faults, pools, numbers: new Map(nodes.map((node) => [node.node, node.number])) };
}

type Wanted = { readonly layout: Layout; readonly copies: number };

async function faultsOf(
  world: World,
  row: PlacedPresence,
  { layout, copies, numbers }: Wanted & { readonly numbers: ReadonlyMap<string, number> },
): Promise<readonly string[]> {
  const wanted = nodesFor(layout, row.block)
    .slice(0, copies)
    .map((node) => numbers.get(node));
  const faults: string[] = [];
  if (row.owed !== 0) faults.push(`${row.block} owes ${row.owed}`);
  if (wanted.toSorted().join() !== row.holders.toSorted().join())
    faults.push(`${row.block} lies on ${row.holders.join()}, not on ${wanted.join()}`);
  for (const holder of row.holders) {
    const node = world.nodes.find(({ node: id }) => numbers.get(id) === holder);
    const [length] = (await node?.blocks?.lengths([row.block])) ?? [null];
    if (length !== row.length) faults.push(`${row.block} is not on ${node?.name ?? holder}, as its row says`);
  }
  return faults;
}

/** Rules that ask for another number of copies than their pool keeps: on the same nodes, and only for their files. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import { ROOT_ENTRY, type BlockId } from '#core/ids.ts';
import { walkPresence } from '#meta/copies.ts';
import { noteLie } from '#meta/lies.ts';
import {
  files as listFiles,
  nodesDrain,
  nodesList,
  nodesRemove,
  nodesWhatif,
  poolsList,
  poolsSet,
  rulesAdd,
  rulesApply,
  rulesList,
  rulesTest,
  rulesTry,
  serverStatus,
  type ProposedRule,
} from '#protocol/cluster.ts';
import { contents } from '#protocol/contents.ts';
import { why } from '#protocol/why.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { CollectWorld } from '../../test/collect-world.ts';
import { never, RigNode, type SealedFile } from '../../test/server-rig.ts';

const THREE: ProposedRule = { rule: 'safe', extensions: ['doc'], pool: 'others', copies: 3 };
const SCRATCH: ProposedRule = { rule: 'scratch', extensions: ['tmp'], pool: 'others', copies: 1 };

class World {
  readonly at: CollectWorld;
  readonly files = new Map<string, SealedFile>();

  constructor(at: CollectWorld) {
    this.at = at;
  }

  get server() {
    return this.at.rig.server;
  }

  ask = ((...of: Parameters<CollectWorld['one']['ask']>) => this.at.one.ask(...of)) as CollectWorld['one']['ask'];

  async write(names: readonly string[], bytes: () => Uint8Array = () => randomBytes(300)): Promise<void> {
    const made: SealedFile[] = [];
    const operations = names.map((name) => this.at.one.createFile(ROOT_ENTRY, name, made, bytes()));
    const { answers } = await this.at.one.each(operations, made);
    assert.deepEqual(new Set(answers.map(({ kind }) => kind)), new Set(['applied']));
    names.forEach((name, index) => this.files.set(name, made[index] as SealedFile));
  }

  async apply(rules: readonly ProposedRule[]): Promise<void> {
    await this.ask(rulesApply, { rules: [...rules] });
    await this.server.moveMisplaced();
    await this.server.settleCopies();
  }

  async collected(): Promise<void> {
    for (let round = 0; round < 4; round++) await this.at.cycle();
  }

  /** Nodes that have all of the file, by their own word. */
  async held(name: string): Promise<number> {
    const { blocks } = this.files.get(name) as SealedFile;
    const ids = blocks.map(({ id }) => id);
    const up = this.at.rig.nodes.filter(({ down }) => !down);
    const held = await Promise.all(up.map(({ store }) => store.has(ids, never)));
    return held.filter((one) => one.every(Boolean)).length;
  }

  /** As `fetch` shows it. */
  async listed(): Promise<Record<string, string>> {
    const { space } = this.at.one;
    const { files } = (await this.ask(listFiles, { space, after: null, limit: 1000 })).response;
    return Object.fromEntries(files.map(({ path, pool, copies }) => [path, `${pool}: ${copies}`]));
  }

  async pools(): Promise<Record<string, number>> {
    const { pools } = (await this.ask(poolsList, {})).response;
    return Object.fromEntries(pools.filter(({ nodes }) => nodes > 0).map(({ pool, copies }) => [pool, copies]));
  }

  async checkReadable(): Promise<void> {
    const manifests = [...this.files.values()].map(({ manifestId }) => manifestId);
    const { response } = await this.ask(contents, { space: this.at.one.space, manifests, budgetBytes: 4 << 20 });
    assert.deepEqual(new Set(response.items.map(({ kind }) => kind)), new Set(['found']));
  }

  rows() {
    return this.at.rig.meta.read((reader) => walkPresence(reader, null, 10_000));
  }

  /** Every row of these pools names as many nodes as it is to, and each has the block. */
  async checkRows(copies: Readonly<Record<string, number>>): Promise<void> {
    const rows = await this.rows();
    assert.deepEqual(new Set(rows.map(({ pool }) => pool)), new Set(Object.keys(copies)));
    for (const { block, pool, holders, owed } of rows) {
      assert.deepEqual([holders.length, new Set(holders).size, owed], [copies[pool], copies[pool], 0], pool);
      for (const number of holders) assert.ok(await this.#has(number, block), `${pool}: node ${number}`);
    }
  }

  async #has(number: number, block: BlockId): Promise<boolean> {
    const node = this.at.rig.nodes[number - 1] as RigNode;
    return !node.down && ((await node.store.has([block], never))[0] as boolean);
  }

  async join(node: RigNode): Promise<void> {
    (this.at.rig.nodes as RigNode[]).push(node);
    await this.at.rig.join(node);
    await this.server.greetNodes();
  }
}

/** `lostMs`: after so long a node that does not answer counts as lost. */
async function withWorld(nodes: number, work: (world: World) => Promise<void>, lostMs = 0): Promise<void> {
  const at = await CollectWorld.start({
    nodes: Array.from({ length: nodes }, () => new RigNode('others')),
    care: { lookMs: 1e8, retryMs: 1e8, lostMs },
  });
  try {
    await work(new World(at));
  } finally {
    await at.rig.close();
  }
}

test('the files of the rule get its copies, those that are there and new ones; others keep the pool’s', () =>
  withWorld(4, async (world) => {
    await world.write(['a.doc', 'b.bin']);
    const tried = (await world.ask(rulesTry, { rules: [THREE], after: null })).response;
    assert.deepEqual(
      tried.moves.map(({ from, to, files, copies, nodes }) => [from, to, files, copies, nodes]),
      [['others', 'others*3', 1, { before: 1, after: 3 }, 4]],
    );
    assert.deepEqual(await world.pools(), { others: 1 }, 'a dry run makes nothing');
    await world.apply([THREE]);
    await world.write(['c.doc', 'd.bin']);
    assert.deepEqual(await world.pools(), { others: 1, 'others*3': 3 });
    const { placed } = (await world.ask(why, { space: world.at.one.space, path: 'a.doc' })).response;
    assert.deepEqual(
      [placed?.pool, placed?.copies, placed?.copiesWanted, placed?.rule?.copies, placed?.moved?.from],
      ['others*3', 3, 3, 3, 'others'],
    );
    assert.ok(placed?.nodes.every(({ pool, blocks }) => pool === 'others' && blocks === 1));
    const expected = { 'a.doc': 'others*3: 3', 'b.bin': 'others: 1', 'c.doc': 'others*3: 3', 'd.bin': 'others: 1' };
    assert.deepEqual(await world.listed(), expected);
    await world.collected();
    await world.checkRows({ others: 1, 'others*3': 3 });
    for (const [name, copies] of [
      ['a.doc', 3],
      ['b.bin', 1],
      ['c.doc', 3],
      ['d.bin', 1],
    ] as const)
      assert.equal(await world.held(name), copies, name);
    const { rules } = (await world.ask(rulesList, {})).response;
    assert.deepEqual(
      rules.map(({ pool, copies }) => [pool, copies]),
      [['others', 3]],
    );
    assert.equal((await world.ask(rulesTest, { name: 'x.doc', size: 1 })).response.pool, 'others*3');
    await world.checkReadable();
  }));

test('where the rule goes, or asks for fewer, copies are given up; what another file has as well keeps its own', () =>
  withWorld(4, async (world) => {
    await world.apply([THREE]);
    const same = randomBytes(400);
    await world.write(['a.doc', 'both.doc', 'both.bin'], () => same);
    await world.write(['own.doc']);
    assert.deepEqual([await world.held('both.bin'), await world.held('own.doc')], [3, 3]);
    const fewer = (await world.ask(rulesTry, { rules: [], after: null })).response;
    assert.deepEqual(fewer.fewer.sort(), ['a.doc', 'both.doc', 'own.doc']);
    // The two files of one content are in two pools; the one copy of the other is no reason to take three away.
    await world.collected();
    await world.checkRows({ others: 1, 'others*3': 3 });
    await world.apply([]);
    await world.collected();
    await world.checkRows({ others: 1 });
    assert.deepEqual([await world.held('both.bin'), await world.held('own.doc')], [1, 1]);
    await world.checkReadable();
    // A pool that no rule has any more asks for nothing.
    assert.deepEqual((await world.ask(serverStatus, {})).response.problems, []);
  }));

test('fewer copies than the pool keeps, for what can be made again', () =>
  withWorld(3, async (world) => {
    await world.ask(poolsSet, { pool: 'others', copies: 2 });
    await world.apply([SCRATCH]);
    await world.write(['a.tmp', 'b.bin']);
    await world.collected();
    assert.deepEqual([await world.held('a.tmp'), await world.held('b.bin')], [1, 2]);
    await world.checkRows({ others: 2, 'others*1': 1 });
    // How many the pool itself keeps is another matter.
    await world.ask(poolsSet, { pool: 'others', copies: 3 });
    await world.server.settleCopies();
    await world.checkRows({ others: 3, 'others*1': 1 });
  }));

test('with too few nodes it says so, takes what is safe and makes the rest when one joins', () =>
  withWorld(2, async (world) => {
    await world.ask(rulesAdd, { extensions: ['doc'], pool: 'others', copies: 3, first: false });
    await world.write(['a.doc']);
    await world.server.settleCopies();
    const { problems, copiesAtRisk } = (await world.ask(serverStatus, {})).response;
    assert.deepEqual([copiesAtRisk, problems.map(({ code }) => code)], [1, ['too_few_nodes']]);
    assert.match(problems[0]?.message ?? '', /others\*3 asks for 3 copies and has 2 .*--pool others"/);
    await world.join(new RigNode('others'));
    await world.server.settleCopies();
    await world.checkRows({ 'others*3': 3 });
    const after = (await world.ask(serverStatus, {})).response;
    assert.deepEqual([after.copiesAtRisk, after.problems], [0, []]);
    const { node } = world.at.rig.nodes[0] as RigNode;
    await assert.rejects(world.ask(nodesRemove, { node, lost: false }), { code: 'conflict' });
  }));

test('a rule asks for its copies before it has a file, and no more once it is gone', () =>
  withWorld(2, async (world) => {
    const codes = async () => (await world.ask(serverStatus, {})).response.problems.map(({ code }) => code);
    await world.apply([{ ...THREE, copies: 2 }]);
    assert.deepEqual(await codes(), []);
    const { node } = world.at.rig.nodes[0] as RigNode;
    await assert.rejects(world.ask(nodesDrain, { node, drain: true }), /others\*2 asks for 2 copies/);
    await world.apply([THREE]);
    assert.deepEqual(await codes(), ['too_few_nodes']);
    await world.apply([]);
    assert.deepEqual(await codes(), []);
    await world.ask(nodesDrain, { node, drain: true });
  }));

test('a node that does not answer puts the copies of both at risk; what was written meanwhile is repaired', () =>
  withWorld(
    3,
    async (world) => {
      await world.apply([THREE]);
      await world.write(['a.doc', 'b.doc']);
      const away = world.at.rig.nodes[0] as RigNode;
      away.down = true;
      await world.server.greetNodes();
      await world.write(['c.doc']);
      assert.equal((await world.ask(serverStatus, {})).response.copiesAtRisk, 3);
      away.down = false;
      await world.server.greetNodes();
      await world.server.settleCopies();
      assert.equal((await world.ask(serverStatus, {})).response.copiesAtRisk, 0);
      await world.checkRows({ 'others*3': 3 });
      await world.write(Array.from({ length: 20 }, (_, index) => `${index}.doc`));
      // Its disk was changed for an empty one: whoever reads finds that out.
      away.store = new MemoryBlockStore(p);
      await world.checkReadable();
      assert.ok((await world.ask(serverStatus, {})).response.copiesAtRisk > 0);
      await world.server.settleCopies();
      assert.equal((await world.ask(serverStatus, {})).response.copiesAtRisk, 0);
      assert.ok((await world.rows()).every(({ owed }) => owed === 0));
    },
    1e8,
  ));

test('nodes come, drain, are lost and come back: the copies of all are kept', () =>
  withWorld(4, async (world) => {
    await world.apply([THREE, SCRATCH]);
    await world.ask(poolsSet, { pool: 'others', copies: 2 });
    const named = (count: number, ext: string) => Array.from({ length: count }, (_, index) => `${index}.${ext}`);
    // Where they lie is chance: so many are kept once that each node has some (but once in 30 million runs).
    const names = [...named(20, 'doc'), ...named(60, 'tmp'), ...named(20, 'bin')];
    await world.write(names);
    const wanted = { others: 2, 'others*1': 1, 'others*3': 3 };
    await world.checkRows(wanted);
    await world.join(new RigNode('others'));
    await world.server.settleCopies();
    await world.checkRows(wanted);

    const leaves = world.at.rig.nodes[0] as RigNode;
    await assert.rejects(world.ask(nodesRemove, { node: leaves.node, lost: false }), { code: 'conflict' });
    await world.ask(nodesDrain, { node: leaves.node, drain: true });
    await world.server.settleCopies();
    await world.checkRows(wanted);
    await world.ask(nodesRemove, { node: leaves.node, lost: false });
    leaves.down = true;
    await world.checkReadable();

    const lost = world.at.rig.nodes[1] as RigNode;
    const foretold = (await world.ask(nodesWhatif, { node: lost.node })).response;
    lost.down = true;
    await world.server.greetNodes();
    const alone = (await Promise.all(names.map((name) => world.held(name)))).filter((copies) => copies === 0).length;
    assert.ok(alone > 0 && alone < 60, 'some of the files with one copy');
    assert.equal(foretold.filesLost, alone);
    assert.ok(foretold.blocksToCopy > 0 && foretold.blocksToCopy < 40, `${foretold.blocksToCopy} of 40`);
    await world.server.settleCopies();
    assert.equal((await world.ask(serverStatus, {})).response.copiesAtRisk, alone);
    for (const { pool, holders } of await world.rows())
      if (pool !== 'others*1')
        assert.deepEqual([holders.length, holders.includes(2)], [pool === 'others' ? 2 : 3, false], pool);
    lost.down = false;
    await world.server.greetNodes();
    await world.server.settleCopies();
    await world.checkRows(wanted);
    await world.checkReadable();
  }));

test('a liar that alone has what a rule keeps once is not taken out before that is moved away', () =>
  withWorld(3, async (world) => {
    await world.ask(poolsSet, { pool: 'others', copies: 2 });
    await world.apply([SCRATCH]);
    // So many that the liar has one of them: where they lie is chance.
    await world.write(Array.from({ length: 40 }, (_, index) => `${index}.tmp`));
    await world.write(['a.bin']);
    const blocks = [...world.files.values()].map((file) => (file.blocks[0] as { id: BlockId }).id);
    await world.at.rig.meta.write(async (writer) => {
      for (const block of blocks.slice(0, 3))
        await noteLie(writer, { number: 1, block, what: 'wrong_bytes', atMs: Date.UTC(2030, 0, 1) });
    });
    const standings: (string | undefined)[] = [];
    for (let minute = 0; minute < 3; minute++) {
      world.at.pass(60_000);
      await world.server.settleCopies();
      const { nodes } = (await world.ask(nodesList, {})).response;
      standings.push(nodes.find(({ node }) => node === (world.at.rig.nodes[0] as RigNode).node)?.standing);
    }
    assert.deepEqual(standings, ['draining', 'distrusted', 'distrusted']);
    await world.checkReadable();
    const rows = await world.rows();
    assert.ok(rows.every(({ holders, owed }) => owed === 0 && !holders.includes(1)));
  }));

test('no node joins such a pool, and no person sets or names it', () =>
  withWorld(3, async (world) => {
    await world.apply([THREE]);
    const refused = { code: 'invalid_field' };
    await assert.rejects(world.ask(poolsSet, { pool: 'others*3', copies: 2 }), refused);
    await assert.rejects(world.ask(rulesTry, { rules: [{ ...THREE, pool: 'others*3' }], after: null }), refused);
    for (const copies of [0, 9, 1.5])
      await assert.rejects(world.ask(rulesTry, { rules: [{ ...THREE, copies }], after: null }), refused);
    await assert.rejects(world.join(new RigNode('others*3')), refused);
  }));

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import {
  rulesAdd,
  rulesApply,
  rulesList,
  rulesPurge,
  serverStatus,
  type ProposedRule,
  type RulesPurged,
} from '#protocol/cluster.ts';
import { contents } from '#protocol/contents.ts';
import type { Operation } from '#protocol/sync.ts';
import { why } from '#protocol/why.ts';
import { CollectWorld } from '../../test/collect-world.ts';
import { folder, newId, type RigOptions, type SealedFile } from '../../test/server-rig.ts';

const CRITERIA = { extensions: [], pool: 'others' };

class PurgeWorld extends CollectWorld {
  static override async start(options: RigOptions = {}): Promise<PurgeWorld> {
    return CollectWorld.started(new PurgeWorld(), options);
  }

  async apply(operation: Operation, files: readonly SealedFile[] = []): Promise<number> {
    const { answers } = await this.one.each([operation], files);
    assert.ok(answers[0]?.kind === 'applied', JSON.stringify(answers));
    return answers[0].seq;
  }

  async create(name: string, parent = ROOT_ENTRY, bytes = 100) {
    const file = this.seal(randomBytes(bytes));
    const entry = newId<EntryId>();
    const content = { ...file.content, manifest: 0 };
    const state = { kind: 'file', content, mtimeUs: 1, exec: false } as const;
    const seq = await this.apply({ kind: 'create', entry, parent, name, state }, [file]);
    return { entry, seq, file };
  }

  async update(entry: EntryId, base: number, bytes = 100) {
    const file = this.seal(randomBytes(bytes));
    const content = { ...file.content, manifest: 0 };
    const seq = await this.apply({ kind: 'update', entry, base, content, target: null, mtimeUs: 2, exec: false }, [
      file,
    ]);
    return { seq, file };
  }

  async folder(name: string, parent = ROOT_ENTRY): Promise<EntryId> {
    const entry = newId<EntryId>();
    await this.apply(folder(parent, name, entry));
    return entry;
  }

  async delete(entry: EntryId): Promise<number> {
    return this.apply({ kind: 'delete', entry, basis: (await this.one.head()).seq });
  }

  async restore(entry: EntryId, base: number, name: string) {
    const { answers } = await this.one.each([{ kind: 'move', entry, base, parent: ROOT_ENTRY, name }]);
    return answers[0];
  }

  /** These rules come before the ones that there are. */
  async rule(...rules: readonly Partial<ProposedRule>[]): Promise<void> {
    for (const rule of rules.toReversed()) await this.one.ask(rulesAdd, { ...CRITERIA, ...rule, first: true });
    await this.one.ask(rulesApply, { rules: null });
  }

  /** What the dry run says of these rules; null: of those that hold. */
  async tried(rules: ProposedRule[] | null = null) {
    const sums = { revisions: 0, deleted: 0, bytes: 0 };
    for (let at: string | null = null; ; ) {
      const { revisions, deleted, next }: RulesPurged = (await this.one.ask(rulesPurge, { rules, at })).response;
      sums.revisions += revisions.count;
      sums.deleted += deleted.count;
      sums.bytes += revisions.bytes + deleted.bytes;
      if (next === null) return sums;
      at = next;
    }
  }

  /** Which of these files can be read. */
  async readable(files: readonly SealedFile[]): Promise<string> {
    const manifests = files.map(({ manifestId }) => manifestId);
    const { items } = (await this.one.ask(contents, { space: this.one.space, manifests, budgetBytes: 4 << 20 }))
      .response;
    return items.map(({ kind }) => (kind === 'found' ? 'x' : '-')).join('');
  }

  async collect(): Promise<void> {
    for (let round = 0; round < 3; round++) await this.cycle();
    await this.checkWhole();
  }

  async story(path: string) {
    return (await this.one.ask(why, { space: this.one.space, path })).response;
  }
}

async function withWorld(work: (world: PurgeWorld) => Promise<void>): Promise<void> {
  const world = await PurgeWorld.start();
  try {
    await work(world);
  } finally {
    await world.rig.close();
  }
}

test('older revisions end once they were overtaken for as many days as their rule says; the present one never does', () =>
  withWorld(async (world) => {
    await world.rule({ extensions: ['log'], historyDays: 2 });
    await world.days(1);
    const log = await world.create('a.log');
    const other = await world.create('b.bin');
    // Old, but overtaken only now.
    await world.days(5);
    const second = await world.update(log.entry, log.seq);
    const others = await world.update(other.entry, other.seq);
    await world.days(1);
    const third = await world.update(log.entry, second.seq);
    const all = [log.file, second.file, third.file, other.file, others.file];
    await world.days(1);
    await world.collect();
    assert.equal(await world.readable(all), 'xxxxx', 'two days are not over');
    assert.deepEqual(await world.tried(), { revisions: 0, deleted: 0, bytes: 0 });
    await world.days(1);
    await world.collect();
    assert.equal(await world.readable(all), '-xxxx');
    const kept = (await world.story('a.log')).events.map((event) => event.kept);
    assert.deepEqual(kept, [false, true, true]);
    await world.days(10);
    await world.collect();
    assert.equal(await world.readable(all), '--xxx');
  }));

test('what was deleted comes back within its time, and not after it; what no rule ends stays', () =>
  withWorld(async (world) => {
    await world.rule({ extensions: ['log'], historyDays: 3 });
    for (let other = 0; other < 20; other++) await world.create(`other ${other}`);
    const [back, gone, kept] = [
      await world.create('back.log'),
      await world.create('gone.log'),
      await world.create('k.bin'),
    ];
    await world.days(1);
    const [backAt, goneAt] = [await world.delete(back.entry), await world.delete(gone.entry)];
    await world.delete(kept.entry);
    await world.days(3);
    assert.equal((await world.restore(back.entry, backAt, 'back.log'))?.kind, 'applied');
    await world.days(1);
    const purged = await world.restore(gone.entry, goneAt, 'gone.log');
    assert.equal(purged?.kind === 'conflict' && purged.why, 'gone');
    await world.collect();
    assert.equal(await world.readable([back.file, gone.file, kept.file]), 'x-x');
    const { deleted: how, placed } = await world.story('gone.log');
    assert.deepEqual([how?.purged, placed], [true, null]);
    assert.equal((await world.story('k.bin')).deleted?.purged, false);
  }));

test('a folder in the trash is kept whole, for as long as the one of its files that is kept longest', () =>
  withWorld(async (world) => {
    await world.rule({ extensions: ['log'], historyDays: 1 }, { extensions: ['txt'], historyDays: 4 });
    const at = async (name: string, names: readonly string[]) => {
      const top = await world.folder(name);
      const below = await world.folder('below', top);
      const files = [];
      for (const one of names) files.push((await world.create(one, below)).file);
      return { top, below, files };
    };
    const short = await at('short', ['a.log', 'b.log']);
    const long = await at('long', ['a.log', 'b.txt']);
    const forever = await at('forever', ['a.log', 'b.bin']);
    const empty = await at('empty', []);
    for (const { top } of [short, long, forever, empty]) await world.delete(top);
    const files = [...short.files, ...long.files, ...forever.files];
    await world.days(2);
    await world.collect();
    assert.equal(await world.readable(files), '--xxxx');
    await world.days(2);
    await world.collect();
    assert.equal(await world.readable(files), '--xxxx');
    await world.days(1);
    await world.collect();
    assert.equal(await world.readable(files), '----xx');
    // Not as a whole, and no part of it.
    for (const { top, below } of [short, long])
      for (const entry of [top, below]) {
        const { rows } = await world.one.listAll(true);
        const row = rows.find((one) => one.kind === 'entry' && one.entry.entry === entry);
        assert.ok(row?.kind === 'entry');
        const answer = await world.restore(entry, row.entry.placed, 'again');
        assert.equal(answer?.kind === 'conflict' && answer.why, 'gone');
      }
    assert.equal((await world.story('long/below/b.txt')).deleted?.purged, true);
    await world.days(100);
    await world.collect();
    assert.equal(await world.readable(files), '----xx');
  }));

test('rows of purged revisions go with the horizon, and those of deleted entries stay', async () => {
  const world = await PurgeWorld.start({ journalKept: { days: 4, rows: 0, dayMs: 86_400_000 } });
  try {
    await world.rule({ glob: '*', historyDays: 1 });
    const file = await world.create('a');
    let { seq } = file;
    for (let round = 0; round < 3; round++) ({ seq } = await world.update(file.entry, seq));
    const gone = await world.create('b');
    const deletedAt = await world.delete(gone.entry);
    await world.days(2);
    assert.equal(await world.count('journal'), 6);
    await world.days(5);
    assert.equal(await world.count('journal'), 2, 'the present states of both');
    const rows = (await world.one.listAll(true)).rows.map((row) => row.seq);
    assert.deepEqual(rows.sort(), [seq, deletedAt].sort());
    // Below the horizon a row goes as soon as its revision does.
    await world.collect();
    const { seq: second } = await world.update(file.entry, seq);
    await world.update(file.entry, second);
    await world.days(2);
    assert.equal(await world.count('journal'), 3, 'the one above the horizon is still there');
    await world.days(5);
    assert.equal(await world.count('journal'), 2);
  } finally {
    await world.rig.close();
  }
});

test('rules by folder look at where something was when it was deleted', () =>
  withWorld(async (world) => {
    await world.rule({ folder: 'scratch/deep', historyDays: 1 });
    const scratch = await world.folder('scratch');
    const deep = await world.folder('deep', scratch);
    const [one, two] = [await world.create('one', deep), await world.create('two', scratch)];
    await world.delete(one.entry);
    await world.delete(two.entry);
    await world.delete(deep);
    await world.delete(scratch);
    await world.days(3);
    await world.collect();
    assert.equal(await world.readable([one.file, two.file]), '-x');
  }));

test('rules that nobody applied end nothing; the dry run says what would end, and that is what ends', () =>
  withWorld(async (world) => {
    const file = await world.create('a.txt', ROOT_ENTRY, 1000);
    const second = await world.update(file.entry, file.seq, 2000);
    const gone = await world.create('b.txt', ROOT_ENTRY, 300);
    await world.delete(gone.entry);
    await world.days(3);
    await world.one.ask(rulesAdd, { ...CRITERIA, glob: '*', historyDays: 2, first: true });
    await world.days(3);
    await world.collect();
    assert.equal(await world.readable([file.file, second.file, gone.file]), 'xxx');
    assert.deepEqual(await world.tried(), { revisions: 1, deleted: 1, bytes: 1300 });
    const rules = (await world.one.ask(rulesList, {})).response.rules.map(({ position: _position, ...rule }) => rule);
    const longer = rules.map((rule) => (rule.historyDays === undefined ? rule : { ...rule, historyDays: 30 }));
    assert.deepEqual(await world.tried(longer), { revisions: 0, deleted: 0, bytes: 0 });
    await world.one.ask(rulesApply, { rules: null });
    world.pass(60_000);
    await world.rig.server.purgeHistory();
    await world.collect();
    assert.equal(await world.readable([file.file, second.file, gone.file]), '-x-');
    assert.deepEqual(await world.tried(), { revisions: 0, deleted: 0, bytes: 0 });
  }));

test('a clock that jumps ends nothing; days are those on which the server runs', () =>
  withWorld(async (world) => {
    await world.rule({ glob: '*', historyDays: 5 });
    const file = await world.create('a.txt');
    await world.delete(file.entry);
    await world.days(2);
    world.jump(3650 * 86_400_000);
    await world.days(1);
    await world.rig.restart();
    world.jump(3650 * 86_400_000);
    await world.days(1);
    await world.collect();
    assert.equal(await world.readable([file.file]), 'x');
    await world.days(3);
    await world.collect();
    assert.equal(await world.readable([file.file]), '-');
  }));

test('a large folder is purged in bounded steps, also over a restart; what other revisions have as well is kept', () =>
  withWorld(async (world) => {
    await world.rule({ glob: '*', historyDays: 1 });
    const top = await world.folder('many');
    const shared = world.seal(randomBytes(500));
    const seals: SealedFile[] = [];
    const operations: Operation[] = [];
    const folders = Array.from({ length: 40 }, () => newId<EntryId>());
    for (const [index, entry] of folders.entries()) operations.push(folder(top, `f${index}`, entry));
    for (let index = 0; index < 700; index++)
      operations.push(world.one.createFile(folders[index % 40] as EntryId, `n${index}`, seals, randomBytes(20)));
    await world.one.each(operations, seals);
    const content = { ...shared.content, manifest: 0 };
    const state = { kind: 'file', content, mtimeUs: 1, exec: false } as const;
    const put = (name: string, parent: EntryId) =>
      world.apply({ kind: 'create', entry: newId<EntryId>(), parent, name, state }, [shared]);
    await put('twice', top);
    await put('stays', ROOT_ENTRY);
    await world.delete(top);
    await world.days(1);
    assert.deepEqual(await world.tried(), { revisions: 0, deleted: 0, bytes: 0 });
    world.pass(86_400_000);
    await world.rig.server.trimJournals();
    assert.deepEqual(await world.tried(), { revisions: 0, deleted: 701, bytes: 700 * 20 + 500 });
    world.pass(60_000);
    let steps = 0;
    for (; (await world.count('purging_folder')) === 0; steps++) await world.rig.server.purgeHistory(1);
    assert.ok(steps >= 4, `${steps} steps until it was found`);
    const { jobs } = (await world.one.ask(serverStatus, {})).response;
    assert.ok(
      jobs.some(({ name }) => name === 'purge'),
      JSON.stringify(jobs),
    );
    await world.rig.server.purgeHistory(1);
    assert.ok((await world.count('purging_folder')) > 0, 'it takes more than one step');
    await world.rig.restart();
    await world.rig.server.purgeHistory();
    assert.equal(await world.count('purging_folder'), 0);
    await world.collect();
    assert.equal(await world.readable([shared, ...seals.slice(0, 99)]), `x${'-'.repeat(99)}`);
    assert.equal(await world.count('content'), 1);
  }));

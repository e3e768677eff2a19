import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, type EntryId, type OpId, type SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { entriesWithAncestors } from '#meta/entries.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { holdsDecide, holdsList, holdsWithdraw } from '#protocol/holds.ts';
import { rulesAdd } from '#protocol/cluster.ts';
import { commit, pull, type Answer, type Operation } from '#protocol/sync.ts';
import { realClock } from '#world/real/clock.ts';
import { folder, newId, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';

/** A server whose day can be turned, and what lies in its index. */
class Day {
  readonly rig: ServerRig;
  readonly #turn: (ms: number) => void;
  readonly #meta: () => MetaStore;
  /** The write that fails, counted from now; 0: none. */
  failAtWrite = 0;

  static async start(): Promise<Day> {
    let aheadMs = 0;
    let meta: MetaStore | null = null;
    const clock = { ...realClock, nowMs: () => realClock.nowMs() + aheadMs };
    let day: Day | null = null;
    const wrapMeta = (store: MetaStore): MetaStore => {
      meta = store;
      return {
        read: (work) => store.read(work),
        write: async (work) => {
          if (day && day.failAtWrite > 0 && --day.failAtWrite === 0) throw new HoldfastError('disk_failed', 'no more');
          return store.write(work);
        },
        close: () => store.close(),
      };
    };
    const rig = await ServerRig.start({ clock, wrapMeta });
    const turn = (ms: number) => void (aheadMs += ms);
    return (day = new Day(rig, turn, () => meta as unknown as MetaStore));
  }

  private constructor(rig: ServerRig, turn: (ms: number) => void, meta: () => MetaStore) {
    this.rig = rig;
    this.#turn = turn;
    this.#meta = meta;
  }

  pass(ms: number = limits.holdYoungMs + 1000): void {
    this.#turn(ms);
  }

  async isLive(space: SpaceId, entry: EntryId): Promise<boolean> {
    const found = await this.#meta().read((reader) => entriesWithAncestors(reader, space, [entry]));
    const byId = new Map(found.map((one) => [one.entry, one]));
    for (let at = byId.get(entry); at; at = byId.get(at.parent)) if (at.parent === ROOT_ENTRY) return true;
    return false;
  }

  async content(space: SpaceId, entry: EntryId): Promise<string | undefined> {
    const found = await this.#meta().read((reader) => entriesWithAncestors(reader, space, [entry]));
    return found.find((one) => one.entry === entry)?.content?.contentId;
  }
}

async function withDay(work: (day: Day) => Promise<void>): Promise<void> {
  const day = await Day.start();
  try {
    await work(day);
  } finally {
    await day.rig.close();
  }
}

type Made = { readonly entry: EntryId; readonly name: string; readonly revision: number };

/** Files with one small text, made in commits as large as they may be. */
async function makeFiles(
  device: RigDevice,
  parent: EntryId,
  count: number,
  nameOf = (index: number) => `f${index}`,
  textOf: (index: number) => Uint8Array = () => Buffer.from('text'),
): Promise<Made[]> {
  const made: Made[] = [];
  for (let at = 0; at < count; at += 500) {
    const files: SealedFile[] = [];
    const operations = Array.from({ length: Math.min(500, count - at) }, (_, index) =>
      device.createFile(parent, nameOf(at + index), files, textOf(at + index)),
    );
    const { answers } = await device.each(operations, files);
    for (const [index, answer] of answers.entries()) {
      const operation = operations[index] as Extract<Operation, { kind: 'create' }>;
      assert.equal(answer.kind, 'applied');
      made.push({ entry: operation.entry, name: operation.name, revision: answer.kind === 'applied' ? answer.seq : 0 });
    }
  }
  return made;
}

async function makeFolder(device: RigDevice, parent: EntryId, name: string): Promise<EntryId> {
  const entry = newId<EntryId>();
  await device.each([folder(parent, name, entry)]);
  return entry;
}

const deletes = (entries: readonly EntryId[], basis: number): Operation[] =>
  entries.map((entry) => ({ kind: 'delete', entry, basis }));

/** In commits of a thousand, each telling of the whole batch as a device does. */
async function sendDeletes(device: RigDevice, entries: readonly EntryId[], declared = entries.length) {
  const answers: Answer[] = [];
  for (let at = 0; at < entries.length; at += 1000) {
    const groups = deletes(entries.slice(at, at + 1000), (await device.head()).seq).map((operation) => [operation]);
    answers.push(...(await device.commit(groups, [], { deletes: Math.max(0, declared - at) })).answers);
  }
  return answers;
}

async function rewrite(device: RigDevice, made: readonly Made[], bytesOf: (index: number) => Uint8Array, updates = 0) {
  const files: SealedFile[] = [];
  const operations = made.map(({ entry, revision }, index): Operation => {
    const file = device.seal(bytesOf(index));
    files.push(file);
    const content = { ...file.content, manifest: index };
    return { kind: 'update', entry, base: revision, content, target: null, mtimeUs: 2, exec: false };
  });
  return (
    await device.commit(
      operations.map((operation) => [operation]),
      files,
      { updates },
    )
  ).answers;
}

const kinds = (answers: readonly Answer[]) => [...new Set(answers.map(({ kind }) => kind))].sort();
const idsOf = (made: readonly Made[]) => made.map(({ entry }) => entry);
const text = (index: number) => Buffer.from(`a line of text that says ${index}\n`.repeat(30));
const noise = () => randomBytes(900);
const list = async (device: RigDevice) => (await device.ask(holdsList, {})).response.holds;
const decide = async (device: RigDevice, hold: string, decision: 'approve' | 'reject') =>
  (await device.ask(holdsDecide, { hold, decision })).response;

function holdOf(answers: readonly Answer[]): string {
  const held = answers.find((answer) => answer.kind === 'held');
  assert.ok(held, 'something is held');
  return held.hold;
}

test('a quarter and more than a thousand: held before the first of it, whatever the size of the commits; others see nothing', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 3000);
    day.pass();
    const before = await one.head();
    const answers = await sendDeletes(one, idsOf(made).slice(0, 1500));
    assert.deepEqual(kinds(answers), ['held']);
    assert.deepEqual(await one.head(), before, 'no row was written');
    const [hold, ...more] = await list(one);
    assert.equal(more.length, 0, 'one batch is one hold');
    assert.deepEqual(
      [hold?.hold, hold?.reasons, hold?.operations, hold?.files, hold?.rewrites, hold?.device.name],
      [holdOf(answers), ['deletes'], 1500, 1500, 0, 'one'],
    );
    assert.equal(hold?.paths[0], 'f0');
    // What is not much passes meanwhile, where it is no delete of what is old.
    const fresh = await makeFiles(one, ROOT_ENTRY, 1, () => 'fresh');
    assert.deepEqual(kinds(await sendDeletes(one, idsOf(fresh))), ['applied']);
  }));

test('a client that says nothing of its batch gets no further than a thousand', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 3000);
    day.pass();
    const answers = await sendDeletes(one, idsOf(made).slice(0, 1500), 0);
    assert.equal(answers.filter(({ kind }) => kind === 'applied').length, 1000);
    assert.equal(answers.filter(({ kind }) => kind === 'held').length, 500);
    // Another device is not concerned, and neither is this one when the time has passed.
    const two = await day.rig.link('two');
    assert.deepEqual(kinds(await sendDeletes(two, [(made[2000] as Made).entry])), ['applied']);
    assert.deepEqual(kinds(await sendDeletes(one, [(made[2001] as Made).entry])), ['held']);
    day.pass(limits.holdWindowMs + 1000);
    assert.deepEqual(kinds(await sendDeletes(one, [(made[2002] as Made).entry])), ['applied']);
  }));

test('a folder counts for all that lies below it; what is young, generated or moved out does not', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const keep = await makeFolder(one, ROOT_ENTRY, 'keep');
    await makeFiles(one, keep, 20);
    const photos = await makeFolder(one, ROOT_ENTRY, 'photos');
    const inner = newId<EntryId>();
    const [placed] = (await one.each([folder(photos, 'inner', inner)])).answers;
    assert.ok(placed?.kind === 'applied');
    await makeFiles(one, inner, 1200);
    const modules = await makeFolder(one, await makeFolder(one, ROOT_ENTRY, 'app'), 'node_modules');
    await makeFiles(one, modules, 1500);
    day.pass();
    const young = await makeFolder(one, ROOT_ENTRY, 'unpacked');
    await makeFiles(one, young, 1500);
    assert.deepEqual(kinds(await sendDeletes(one, [modules], 0)), ['applied']);
    assert.deepEqual(kinds(await sendDeletes(one, [young], 1500)), ['applied']);
    const refused = await sendDeletes(one, [photos], 0);
    assert.deepEqual(kinds(refused), ['held']);
    assert.equal((await list(one))[0]?.files, 1200);
    await decide(one, holdOf(refused), 'reject');
    const { seq } = await one.head();
    const move: Operation = {
      kind: 'move',
      entry: inner,
      base: placed.seq,
      parent: ROOT_ENTRY,
      name: 'saved',
    };
    const { answers } = await one.commit([[move], ...deletes([photos], seq).map((operation) => [operation])]);
    assert.deepEqual(kinds(answers), ['applied'], 'what was moved out before does not go');
  }));

test('a move that fails saves nothing from the delete after it', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const photos = await makeFolder(one, ROOT_ENTRY, 'photos');
    const inner = await makeFolder(one, photos, 'inner');
    await makeFiles(one, inner, 1200);
    day.pass();
    const { seq } = await one.head();
    const move: Operation = { kind: 'move', entry: inner, base: 1, parent: ROOT_ENTRY, name: 'saved' };
    const { answers } = await one.commit([[move], ...deletes([photos], seq).map((operation) => [operation])]);
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['conflict', 'held'],
    );
  }));

test('a space that would be emptied is held, however small; a single file is not', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 12);
    day.pass();
    const answers = await sendDeletes(one, idsOf(made));
    assert.deepEqual(kinds(answers), ['held']);
    assert.deepEqual((await list(one))[0]?.reasons, ['emptied']);
    await decide(one, holdOf(answers), 'approve');
    const [left] = await makeFiles(one, ROOT_ENTRY, 1, () => 'alone');
    day.pass();
    assert.deepEqual(kinds(await sendDeletes(one, [(left as Made).entry])), ['applied']);
  }));

test('hundreds of texts that become noise are held at the first commit of the batch; texts that become other texts pass', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 500, undefined, text);
    day.pass();
    assert.deepEqual(kinds(await rewrite(one, made.slice(300), (index) => text(index + 1), 500)), ['applied']);
    const before = await one.head();
    const answers = await rewrite(one, made.slice(0, 60), noise, 300);
    assert.deepEqual(kinds(answers), ['held']);
    assert.deepEqual(await one.head(), before);
    const [hold] = await list(one);
    assert.deepEqual([hold?.reasons, hold?.operations, hold?.rewrites], [['encrypts'], 60, 60]);
    // Again, with other bytes: what is held is replaced, not doubled.
    await rewrite(one, made.slice(0, 60), noise, 300);
    assert.equal((await list(one))[0]?.operations, 60);
    // The person put one back by hand: nothing of it is held any more.
    assert.deepEqual(kinds(await rewrite(one, made.slice(0, 1), (index) => text(index + 7))), ['applied']);
    assert.equal((await list(one))[0]?.operations, 59);
    // What is asked about is not deleted meanwhile.
    const { seq } = await one.head();
    assert.deepEqual(kinds(await sendDeletes(one, [(made[1] as Made).entry])), ['held']);
    assert.equal((await one.head()).seq, seq);
  }));

test('texts deleted beside new noise under their names are held; packed ones are not', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 600, (index) => `${index}.txt`, text);
    day.pass();
    await makeFiles(one, ROOT_ENTRY, 250, (index) => `${index}.txt.gz`, noise);
    assert.deepEqual(kinds(await sendDeletes(one, idsOf(made.slice(0, 250)))), ['applied']);
    await makeFiles(one, ROOT_ENTRY, 250, (index) => `${index + 300}.txt.locked`, noise);
    assert.deepEqual(kinds(await sendDeletes(one, idsOf(made.slice(300, 550)))), ['held']);
  }));

test('where a rule says that nothing is compressed, noise and texts are as long as one another, and prove nothing', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    await one.ask(rulesAdd, { extensions: ['plain'], pool: 'others', compression: 'none', first: true });
    const plain = await makeFiles(one, ROOT_ENTRY, 600, (index) => `${index}.plain`, text);
    const others = await makeFiles(one, ROOT_ENTRY, 300, (index) => `${index}.txt`, text);
    day.pass();
    assert.deepEqual(kinds(await rewrite(one, plain.slice(0, 300), noise)), ['applied']);
    await makeFiles(one, ROOT_ENTRY, 250, (index) => `${index + 300}.txt.plain`, noise);
    assert.deepEqual(kinds(await sendDeletes(one, idsOf(plain.slice(300, 550)))), ['applied']);
    assert.deepEqual(kinds(await rewrite(one, others, noise)), ['held']);
  }));

test('files emptied in place count like deleted ones', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 40);
    day.pass();
    assert.deepEqual(kinds(await rewrite(one, made.slice(0, 5), () => new Uint8Array())), ['applied']);
    const many = await makeFiles(one, ROOT_ENTRY, 1100, (index) => `many${index}`);
    day.pass();
    const first = await rewrite(one, many.slice(0, 1000), () => new Uint8Array());
    assert.deepEqual(kinds(first), ['applied'], 'not over a thousand');
    assert.deepEqual(kinds(await rewrite(one, many.slice(1000), () => new Uint8Array())), ['held']);
  }));

test('a checkout passes: git has just written its index, and stays', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const work = await makeFolder(one, ROOT_ENTRY, 'project');
    const git = await makeFolder(one, work, '.git');
    const [index] = await makeFiles(one, git, 1, () => 'index');
    const source = await makeFolder(one, work, 'src');
    const made = await makeFiles(one, source, 2000);
    day.pass();
    const refused = await sendDeletes(one, idsOf(made).slice(0, 1500));
    assert.deepEqual(kinds(refused), ['held'], 'git did nothing');
    await decide(one, holdOf(refused), 'reject');
    const [written] = await rewrite(one, [index as Made], () => Buffer.from('another branch'));
    assert.ok(index && written?.kind === 'applied');
    assert.deepEqual(kinds(await sendDeletes(one, idsOf(made).slice(0, 1500))), ['applied']);
    // The whole project, its .git with it, is not git's doing.
    await makeFiles(one, source, 1500, (number) => `new${number}`);
    day.pass();
    await rewrite(one, [{ ...index, revision: written.seq }], () => Buffer.from('a third branch'));
    const { seq } = await one.head();
    const { answers } = await one.commit(deletes([git, source], seq).map((operation) => [operation]));
    assert.deepEqual(kinds(answers), ['held']);
  }));

test('approving applies what was held as if its device had done it then; what anybody did since survives', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const two = await day.rig.link('two');
    const top = await makeFolder(one, ROOT_ENTRY, 'top');
    const made = await makeFiles(one, top, 1500);
    day.pass();
    const answers = await sendDeletes(one, [top]);
    const hold = holdOf(answers);
    await rewrite(two, [made[0] as Made], () => Buffer.from('edited elsewhere'));
    const [theirs] = await makeFiles(two, top, 1, () => 'made elsewhere');
    const [ours] = await makeFiles(one, top, 1, () => 'made again here');
    const start = await two.head();
    const decision = await decide(two, hold, 'approve');
    assert.deepEqual(decision, { decision: 'approved', applied: 1, lapsed: 0 });
    for (const { entry } of [made[0], theirs, ours] as Made[]) assert.ok(await day.isLive(one.space, entry));
    assert.ok(await day.isLive(one.space, top));
    for (const { entry } of made.slice(1, 20)) assert.ok(!(await day.isLive(one.space, entry)));
    const { rows } = await two.pullAll(start);
    assert.ok(rows.length > 0 && rows.every(({ device }) => device === one.device), 'the rows are its device’s own');
    assert.deepEqual(await decide(two, hold, 'approve'), { decision: 'approved', applied: 0, lapsed: 0 });
    await assert.rejects(decide(two, hold, 'reject'), { code: 'conflict' });
    assert.deepEqual(await list(two), []);
  }));

test('an approved rewrite is applied from the bytes that were kept; where others edited since, theirs stays', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const two = await day.rig.link('two');
    const made = await makeFiles(one, ROOT_ENTRY, 300, undefined, text);
    day.pass();
    const wanted = new Map<EntryId, string>();
    const files: SealedFile[] = [];
    const operations = made.map(({ entry, revision }, index): Operation => {
      const file = one.seal(noise());
      files.push(file);
      wanted.set(entry, file.content.contentId);
      return {
        kind: 'update',
        entry,
        base: revision,
        content: { ...file.content, manifest: index },
        target: null,
        mtimeUs: 2,
        exec: false,
      };
    });
    const { answers } = await one.commit(
      operations.map((operation) => [operation]),
      files,
    );
    assert.deepEqual(kinds(answers), ['held']);
    await rewrite(two, [made[0] as Made], () => Buffer.from('edited elsewhere'));
    assert.deepEqual(await decide(one, holdOf(answers), 'approve'), { decision: 'approved', applied: 299, lapsed: 1 });
    assert.notEqual(await day.content(one.space, (made[0] as Made).entry), wanted.get((made[0] as Made).entry));
    const last = made[299] as Made;
    assert.equal(await day.content(one.space, last.entry), wanted.get(last.entry));
  }));

test('rejecting applies nothing; approving what has gone meanwhile does nothing more', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 30);
    day.pass();
    const first = holdOf(await sendDeletes(one, idsOf(made)));
    const before = await one.head();
    assert.equal((await decide(one, first, 'reject')).decision, 'rejected');
    assert.deepEqual(await one.head(), before);
    await assert.rejects(decide(one, first, 'approve'), { code: 'conflict' });
    await assert.rejects(decide(one, 'ffffffffffffffff', 'approve'), { code: 'not_found' });
    const second = holdOf(await sendDeletes(one, idsOf(made)));
    const two = await day.rig.link('two');
    for (const { entry } of made.slice(0, 10)) await sendDeletes(two, [entry]);
    assert.deepEqual(await decide(two, second, 'approve'), { decision: 'approved', applied: 30, lapsed: 0 });
    for (const { entry } of made) assert.ok(!(await day.isLive(one.space, entry)));
  }));

test('a pull ends when a hold that it asks about is decided, and says how; strangers and unknown holds are withdrawn', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 30);
    day.pass();
    const hold = holdOf(await sendDeletes(one, idsOf(made)));
    const cursor = await one.head();
    const request = {
      cursors: [{ space: one.space, cursor, met: null }],
      waitMs: 60_000,
      rowsMax: 1000,
      holds: [hold],
    };
    const waiting = one.ask(pull, request);
    await decide(one, hold, 'reject');
    assert.deepEqual((await waiting).response.decided, [{ hold, decision: 'rejected', seq: cursor.seq }]);
    const two = await day.rig.link('two');
    const foreign = (await two.ask(pull, request)).response.decided;
    assert.deepEqual(foreign, [{ hold, decision: 'withdrawn', seq: 0 }]);
    const again = holdOf(await sendDeletes(one, idsOf(made)));
    const open = { ...request, waitMs: 0, holds: [again] };
    assert.deepEqual((await one.ask(pull, open)).response.decided, []);
    await one.ask(holdsWithdraw, { space: one.space });
    assert.deepEqual((await one.ask(pull, open)).response.decided, [
      { hold: again, decision: 'withdrawn', seq: cursor.seq },
    ]);
    await assert.rejects(decide(one, again, 'approve'), { code: 'conflict' });
  }));

test('holds are rows: they outlive a restart, and an approval that was broken off is carried on', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 1300);
    day.pass();
    const hold = holdOf(await sendDeletes(one, idsOf(made)));
    await day.rig.restart();
    assert.equal((await list(one))[0]?.operations, 1300);
    const { epoch } = await one.head();
    // The decision is written, a first part of it carried out, and then the disk fails.
    day.failAtWrite = 3;
    await assert.rejects(decide(one, hold, 'approve'), { code: 'disk_failed' });
    for (let decided = false; !decided; ) {
      const cursor = await one.head();
      assert.equal(cursor.epoch, epoch);
      const request = { cursors: [{ space: one.space, cursor, met: null }], waitMs: 5000, rowsMax: 1, holds: [hold] };
      decided = (await one.ask(pull, request)).response.decided[0]?.decision === 'approved';
    }
    for (const { entry } of made) assert.ok(!(await day.isLive(one.space, entry)));
  }));

test('the same request again gets the same answer, and is held once', () =>
  withDay(async (day) => {
    const one = await day.rig.link('one');
    const made = await makeFiles(one, ROOT_ENTRY, 30);
    day.pass();
    const request = {
      op: newId<OpId>(),
      ...(await one.standing()),
      totals: { plan: newId<OpId>(), creates: 0, updates: 0, moves: 0, deletes: 30 },
      uploads: [],
      groups: deletes(idsOf(made), (await one.head()).seq).map((operation) => [operation]),
      blocks: [],
    };
    const first = (await one.ask(commit, request)).response;
    assert.deepEqual(kinds(first.answers), ['held']);
    assert.deepEqual((await one.ask(commit, request)).response, first);
    assert.equal((await list(one))[0]?.operations, 30);
  }));

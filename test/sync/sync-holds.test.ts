/** What a person is asked about, and what becomes of it, with real folders. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { eventually, treeOf } from './sync-world.ts';
import { fill, noise, put, textOf, withHolds } from './hold-world.ts';

const small = (count: number) => (one: Parameters<typeof fill>[0]) => {
  fill(one, count, (index) => `papers/${index % 4}/${index}.txt`);
  put(one, 'top.txt', 'at the top');
};

/** All that lies in the folder's trash, by what it holds. */
function trashOf(folder: string): string[] {
  const trash = join(folder, '.holdfast/trash');
  if (!existsSync(trash)) return [];
  return readdirSync(trash, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
}

function empty(folder: string): void {
  for (const name of readdirSync(folder)) if (name !== '.holdfast') rmSync(join(folder, name), { recursive: true });
}

test('an emptied folder empties nothing elsewhere; rejected, everything comes back', () =>
  withHolds(small(60), async (world) => {
    const { one, two } = world;
    const before = two.tree();
    empty(one.folder);
    const hold = await world.held();
    assert.deepEqual([hold.reasons, hold.files], [['emptied'], 61]);
    assert.deepEqual(two.tree(), before);
    // It goes on with everything else, and neither asks again nor restores.
    const commits = one.gate.calls.filter((verb) => verb === 'commit').length;
    put(one, 'new.txt', 'made meanwhile');
    put(two, 'theirs.txt', 'made elsewhere');
    await eventually(
      () => two.tree()['new.txt'] === 'made meanwhile' && one.tree()['theirs.txt'] === 'made elsewhere',
      () => [one.tree(), one.client?.status()],
    );
    assert.deepEqual(one.tree(), { 'new.txt': 'made meanwhile', 'theirs.txt': 'made elsewhere' });
    assert.equal(one.gate.calls.filter((verb) => verb === 'commit').length, commits + 1);
    await one.stop();
    one.start();
    await world.held();
    assert.deepEqual(one.tree(), { 'new.txt': 'made meanwhile', 'theirs.txt': 'made elsewhere' });
    await world.decide(hold.hold, 'reject');
    await world.same({ ...before, 'new.txt': 'made meanwhile', 'theirs.txt': 'made elsewhere' });
  }));

test('approved, an emptied folder is emptied everywhere, but for what others changed meanwhile', () =>
  withHolds(small(60), async (world) => {
    const { one, two } = world;
    empty(one.folder);
    const hold = await world.held();
    await world.change(() => put(two, 'papers/1/1.txt', 'edited meanwhile'));
    await world.change(() => put(two, 'papers/2/fresh.txt', 'made meanwhile'));
    await world.decide(hold.hold, 'approve');
    await world.same({
      papers: '/',
      'papers/1': '/',
      'papers/1/1.txt': 'edited meanwhile',
      'papers/2': '/',
      'papers/2/fresh.txt': 'made meanwhile',
    });
  }));

test('what is made anew in a place that waits is an edit of what was there, and survives the approval', () =>
  withHolds(small(60), async (world) => {
    const { one, two } = world;
    empty(one.folder);
    const hold = await world.held();
    put(one, 'top.txt', 'made anew');
    put(one, 'papers/3/3.txt', 'made anew, deeper');
    await eventually(
      () => two.tree()['top.txt'] === 'made anew' && two.tree()['papers/3/3.txt'] === 'made anew, deeper',
      () => [two.tree(), one.client?.status()],
    );
    await world.held();
    await world.decide(hold.hold, 'approve');
    await world.same({ papers: '/', 'papers/3': '/', 'papers/3/3.txt': 'made anew, deeper', 'top.txt': 'made anew' });
  }));

for (const decision of ['approve', 'reject'] as const)
  test(`what others move into a folder whose delete waits goes there when it is back: ${decision}`, () =>
    withHolds(small(60), async (world) => {
      const { one, two } = world;
      const { 'top.txt': moved = '', ...before } = two.tree();
      rmSync(join(one.folder, 'papers'), { recursive: true });
      const hold = await world.held();
      await world.change(() => renameSync(two.path('top.txt'), two.path('papers/1/top.txt')));
      await world.held();
      assert.deepEqual(one.tree(), { 'top.txt': moved }, 'its folder is not here');
      await world.decide(hold.hold, decision);
      const kept = decision === 'reject' ? before : { papers: '/', 'papers/1': '/' };
      await world.same({ ...kept, 'papers/1/top.txt': moved });
    }));

test('a folder whose delete waits, made anew and renamed, gets back what was in it', () =>
  withHolds(small(60), async (world) => {
    const { one, two } = world;
    const before = Object.entries(two.tree());
    rmSync(join(one.folder, 'papers'), { recursive: true });
    await world.held();
    put(one, 'papers/new.txt', 'made meanwhile');
    await eventually(
      () => two.tree()['papers/new.txt'] === 'made meanwhile',
      () => [one.tree(), one.client?.status()],
    );
    renameSync(join(one.folder, 'papers'), join(one.folder, 'letters'));
    const renamed = before.map(([path, what]) => [path.replace(/^papers/, 'letters'), what]);
    await world.same({ ...Object.fromEntries(renamed), 'letters/new.txt': 'made meanwhile' });
    assert.deepEqual(await world.holds(), []);
  }));

test('texts that become noise stay what they were elsewhere; rejected, they come back, and the noise lies in the trash', () =>
  withHolds(
    (one) => fill(one, 300, (index) => `papers/${index}.txt`),
    async (world) => {
      const { one, two } = world;
      const before = two.tree();
      fill(one, 300, (index) => `papers/${index}.txt`, noise);
      const encrypted = one.tree();
      const hold = await world.held();
      assert.deepEqual(hold.reasons, ['encrypts']);
      assert.deepEqual(two.tree(), before);
      assert.deepEqual(one.tree(), encrypted, 'nothing is restored unasked');
      await world.decide(hold.hold, 'reject');
      await world.same(before);
      const kept = new Set(trashOf(one.folder));
      for (const [path, bytes] of Object.entries(encrypted)) if (bytes !== '/') assert.ok(kept.has(bytes), path);
    },
  ));

test('approved, the noise is what was wanted; where others edited meanwhile both are kept', () =>
  withHolds(
    (one) => fill(one, 260, (index) => `papers/${index}.txt`),
    async (world) => {
      const { one, two } = world;
      fill(one, 260, (index) => `papers/${index}.txt`, noise);
      const encrypted = one.tree();
      const hold = await world.held();
      await world.change(() => put(two, 'papers/7.txt', 'edited meanwhile'));
      await world.decide(hold.hold, 'approve');
      await world.same();
      const after = two.tree();
      assert.equal(after['papers/7.txt'], 'edited meanwhile');
      const copies = Object.keys(after).filter((path) => path.includes('conflicted copy'));
      assert.deepEqual(
        copies.map((path) => after[path]),
        [encrypted['papers/7.txt']],
      );
      for (const [path, bytes] of Object.entries(encrypted))
        if (path !== 'papers/7.txt') assert.equal(after[path], bytes);
    },
  ));

test('what a person puts right by hand waits no longer, and what he edits after a rejection is kept', () =>
  withHolds(
    (one) => fill(one, 260, (index) => `papers/${index}.txt`),
    async (world) => {
      const { one, two } = world;
      const before = two.tree();
      fill(one, 260, (index) => `papers/${index}.txt`, noise);
      const hold = await world.held();
      put(one, 'papers/3.txt', 'written anew');
      unlinkSync(one.path('papers/4.txt'));
      await eventually(
        () => two.tree()['papers/3.txt'] === 'written anew',
        () => one.client?.status(),
      );
      await world.held();
      assert.equal(two.tree()['papers/4.txt'], textOf(4), 'what is asked about is not deleted meanwhile');
      await world.decide(hold.hold, 'reject');
      await world.same({ ...before, 'papers/3.txt': 'written anew' });
    },
  ));

test('a crash while the noise is set aside deletes nothing', () =>
  withHolds(
    (one) => fill(one, 260, (index) => `papers/${index}.txt`),
    async (world) => {
      const { one, two } = world;
      const before = two.tree();
      fill(one, 260, (index) => `papers/${index}.txt`, noise);
      const hold = await world.held();
      let killed = false;
      one.gate.kill = () => !killed && (killed = true);
      await world.decide(hold.hold, 'reject');
      await eventually(
        () => one.killed,
        () => one.client?.status(),
      );
      await one.stop();
      assert.ok(Object.keys(one.tree()).length < 200, 'it was killed with files on their way');
      one.start();
      await world.same(before);
    },
  ));

test('a device that is linked anew asks no longer for what was held, and gets everything back', () =>
  withHolds(small(60), async (world) => {
    const { one, two } = world;
    const before = two.tree();
    empty(one.folder);
    const hold = await world.held();
    await one.stop();
    rmSync(one.statePath);
    rmSync(join(one.folder, '.holdfast'), { recursive: true });
    await one.link();
    one.start();
    await world.same(before);
    assert.deepEqual(await world.holds(), []);
    await assert.rejects(world.decide(hold.hold, 'approve'), { code: 'conflict' });
    assert.deepEqual(treeOf(two.folder), before);
  }));

test('whoever waits for the sync learns that something is held', () =>
  withHolds(small(30), async (world) => {
    const { one } = world;
    empty(one.folder);
    await world.held();
    const status = await one.client?.untilInSync(new AbortController().signal);
    assert.equal(status?.inSync, false);
    assert.deepEqual(
      status?.problems.map(({ code }) => code),
      ['held'],
    );
    assert.match(status?.problems[0]?.message ?? '', /holdfast holds/);
  }));

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Operation } from '#protocol/sync.ts';
import { why, type Story } from '#protocol/why.ts';
import { folder, newId, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';

async function withRig(work: (rig: ServerRig, one: RigDevice, two: RigDevice) => Promise<void>): Promise<void> {
  const rig = await ServerRig.start();
  try {
    await work(rig, await rig.link('laptop'), await rig.link('phone'));
  } finally {
    await rig.close();
  }
}

const ask = async (one: RigDevice, path: string): Promise<Story> =>
  (await one.ask(why, { space: one.space, path })).response;

async function apply(device: RigDevice, operation: Operation, files: readonly SealedFile[] = []): Promise<number> {
  const { answers } = await device.each([operation], files);
  assert.ok(answers[0]?.kind === 'applied', JSON.stringify(answers));
  return answers[0].seq;
}

async function create(device: RigDevice, parent: EntryId, name: string, size: number, entry = newId<EntryId>()) {
  const files: SealedFile[] = [];
  const seq = await apply(device, device.createFile(parent, name, files, randomBytes(size), entry), files);
  return { entry, seq };
}

function update(device: RigDevice, entry: EntryId, base: number, size: number) {
  const file = device.seal(randomBytes(size));
  const content = { ...file.content, manifest: 0 };
  return apply(device, { kind: 'update', entry, base, content, target: null, mtimeUs: 2, exec: false }, [file]);
}

const told = ({ events }: Story) =>
  events.map(({ kind, device, path, from, size }) => [kind, device.name, path, from, size]);

test('a life with two devices, a move to another pool, and what holds it now', () =>
  withRig(async (rig, one, two) => {
    const docs = newId<EntryId>();
    await apply(one, folder(ROOT_ENTRY, 'docs', docs));
    const { entry, seq } = await create(one, docs, 'song.mp3', 500);
    await update(two, entry, seq, 700);
    await apply(two, { kind: 'move', entry, base: seq, parent: ROOT_ENTRY, name: 'song.txt' });
    const before = await ask(one, 'song.txt');
    assert.deepEqual(
      [before.placed?.pool, before.placed?.poolWanted, before.placed?.rule?.rule],
      ['mp3', 'txt', 'txt'],
    );
    await rig.server.moveMisplaced();
    const story = await ask(one, 'song.txt');
    assert.deepEqual(told(story), [
      ['created', 'laptop', 'docs/song.mp3', null, 500],
      ['changed', 'phone', 'docs/song.mp3', null, 700],
      ['moved', 'phone', 'song.txt', 'docs/song.mp3', 700],
    ]);
    const { placed } = story;
    assert.deepEqual(
      [
        placed?.size,
        placed?.pool,
        placed?.poolWanted,
        placed?.moved?.from,
        placed?.blocks,
        placed?.copies,
        placed?.copiesWanted,
      ],
      [700, 'txt', 'txt', 'mp3', 1, 1, 1],
    );
    assert.deepEqual(
      placed?.nodes.map(({ name, pool, blocks }) => [name, pool, blocks]),
      [
        ['node-txt', 'txt', 1],
        ['node-mp3', 'mp3', 1],
      ],
    );
    assert.equal(story.deleted, null);
    assert.ok(story.events.every(({ atMs }) => Math.abs(atMs - Date.now()) < 60_000));
    // By the path that it had once; a folder has a story as well.
    const once = await ask(one, 'docs/song.mp3');
    assert.deepEqual([once.entry, once.path], [entry, 'song.txt']);
    const of = await ask(one, 'docs');
    assert.deepEqual([of.kind, of.placed, told(of)], ['folder', null, [['created', 'laptop', 'docs', null, null]]]);
    // Another file in its former place is what that path means now.
    const next = await create(two, docs, 'song.mp3', 10);
    assert.equal((await ask(one, 'docs/song.mp3')).entry, next.entry);
  }));

test('what was deleted says by whom, with what, and what came before', () =>
  withRig(async (_rig, one, two) => {
    const [docs, deep] = [newId<EntryId>(), newId<EntryId>()];
    await apply(one, folder(ROOT_ENTRY, 'docs', docs));
    await apply(one, folder(docs, 'deep', deep));
    const first = await create(one, deep, 'a.txt', 10);
    const second = await create(one, docs, 'b.txt', 20);
    await apply(two, { kind: 'delete', entry: second.entry, basis: (await one.head()).seq });
    const b = await ask(one, 'docs/b.txt');
    assert.deepEqual([b.path, b.deleted?.device.name, b.deleted?.with], ['docs/b.txt', 'phone', null]);
    assert.deepEqual(
      told(b).map(([kind]) => kind),
      ['created', 'deleted'],
    );
    await apply(two, { kind: 'delete', entry: docs, basis: (await one.head()).seq });
    const a = await ask(one, 'docs/deep/a.txt');
    assert.deepEqual(
      [a.entry, a.path, a.deleted?.device.name, a.deleted?.with],
      [first.entry, 'docs/deep/a.txt', 'phone', 'docs'],
    );
    assert.ok(a.deleted?.atMs && a.placed?.pool === 'txt');
    assert.equal((await ask(one, 'docs/b.txt')).deleted?.with, null, 'it was gone before its folder');
    // A new folder of that name comes before the deleted one, and the deleted is still found behind it.
    const again = newId<EntryId>();
    await apply(one, folder(ROOT_ENTRY, 'docs', again));
    assert.equal((await ask(one, 'docs')).entry, again);
    assert.equal((await ask(one, 'docs/deep/a.txt')).entry, first.entry);
    const restored = (await ask(one, 'docs/deep')).entry;
    assert.equal(restored, deep);
  }));

test('conflicts tell of one another; a path that never was names the nearest', () =>
  withRig(async (_rig, one) => {
    await create(one, ROOT_ENTRY, 'notes.txt', 10);
    const copy = 'notes (conflicted copy, phone, 2026-01-02).txt';
    await create(one, ROOT_ENTRY, copy, 10);
    await create(one, ROOT_ENTRY, 'notes (conflicted copy, phone).txt', 10);
    assert.deepEqual((await ask(one, 'notes.txt')).conflicts, [copy]);
    assert.deepEqual((await ask(one, copy)).conflictOf, { of: 'notes.txt', device: 'phone', date: '2026-01-02' });
    await assert.rejects(ask(one, 'note.txt'), { code: 'not_found', facts: { nearest: ['notes.txt'] } });
    for (const never of ['no/where/at.all', 'notes.txt/below', '/', '..'])
      await assert.rejects(ask(one, never), { code: 'not_found' });
  }));

/** Texts that two devices edited at once: merged where the space says so and the edits are apart, two files everywhere else. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { readState } from '#client/status.ts';
import type { JournalRow } from '#core/entry.ts';
import { TRASH_ENTRY, type SpaceId } from '#core/ids.ts';
import { chainStart, parseRow, parseRows } from '#core/journal-row.ts';
import { ask } from '#protocol/call.ts';
import { spaces } from '#protocol/account.ts';
import { mergeList, mergeSet } from '#protocol/merging.ts';
import { pull } from '#protocol/sync.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { killAtEveryPoint } from './sync-crashes.ts';
import { entryAt, sent } from './sync-state.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;
let c: Device;
const signal = new AbortController().signal;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  c = await world.device('carl');
  for (const device of [a, b, c]) device.start();
});
after(() => world.end());

beforeEach(async () => {
  for (const device of [a, b, c]) if (!device.client) device.start();
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b, c], {});
  await merge([]);
});

async function space(): Promise<SpaceId> {
  const { response } = await ask(a.peer(), spaces, {}, signal);
  return response.spaces[0]!.space;
}

/** For which extensions it is on from now on. */
async function merge(extensions: string[]): Promise<void> {
  await ask(a.peer(), mergeSet, { space: await space(), extensions }, signal);
}

/** All devices have it, and none runs. */
async function all(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    if (text === '/') mkdirSync(a.path(path));
    else writeFileSync(a.path(path), text);
  }
  await converged([a, b, c], tree);
  for (const device of [a, b, c]) await device.stop();
}

/** One after the other comes back. */
async function run(...devices: Device[]): Promise<Record<string, string>> {
  for (const device of devices) {
    device.start();
    await device.client?.untilInSync(signal);
  }
  for (const device of [a, b, c]) if (!device.client) device.start();
  await converged([a, b, c]);
  return a.tree();
}

/** Rows of the journal that concern entries. */
async function journal(): Promise<Extract<JournalRow, { kind: 'entry' }>[]> {
  const { response } = await ask(a.peer(), spaces, {}, signal);
  const { space, head } = response.spaces[0]!;
  const cursor = { ...head, seq: 0, chain: chainStart(nodePrimitives, space, head.epoch) };
  const asked = { cursors: [{ space, cursor, met: null }], waitMs: 0, rowsMax: 1000 };
  const pulled = await ask(a.peer(), pull, asked, signal);
  const answer = pulled.response.spaces[0];
  assert.ok(answer?.kind === 'rows' && !answer.more, JSON.stringify(answer));
  const rows = parseRows(pulled.parts[answer.part] as Uint8Array).map((bytes) => parseRow(bytes));
  return rows.filter((row) => row.kind === 'entry');
}

const BASE = 'one\ntwo\nthree\nfour\nfive\n';
const THEIRS = 'one!\ntwo\nthree\nfour\nfive\n';
const OURS = 'one\ntwo\nthree\nfour\nfive!\n';
const BOTH = 'one!\ntwo\nthree\nfour\nfive!\n';

test('it is off where nobody turned it on: two edits are two files', async () => {
  assert.deepEqual((await ask(a.peer(), mergeList, { space: await space() }, signal)).response.extensions, []);
  await all({ 'plan.txt': BASE });
  writeFileSync(a.path('plan.txt'), THEIRS);
  writeFileSync(b.path('plan.txt'), OURS);
  const tree = await run(a, b);
  assert.equal(tree['plan.txt'], THEIRS);
  assert.deepEqual(Object.values(tree).sort(), [OURS, THEIRS].sort());
});

test('edits of different lines become one text, and both parents stay in the history', async () => {
  await merge(['txt']);
  await all({ 'essay.txt': BASE });
  const entry = entryAt(a, 'essay.txt');
  writeFileSync(a.path('essay.txt'), THEIRS);
  writeFileSync(b.path('essay.txt'), OURS);
  assert.deepEqual(await run(a, b), { 'essay.txt': BOTH });
  assert.equal(entryAt(c, 'essay.txt'), entry);
  for (const device of [a, b, c]) assert.deepEqual(readState(sqliteOpener, device.statePath)?.conflicts, []);
  const rows = await journal();
  const own = rows.filter((row) => row.entry.entry === entry);
  assert.deepEqual(
    own.map((row) => row.entry.content?.size),
    [BASE.length, THEIRS.length, BOTH.length],
  );
  assert.equal(own[2]?.base, own[1]?.entry.revision, 'made from what another made');
  const copies = rows.filter((row) => row.entry.name.startsWith('essay (conflicted copy, bert, '));
  assert.deepEqual(
    copies.map((row) => [row.entry.content?.size, row.entry.parent === TRASH_ENTRY]),
    [
      [OURS.length, false],
      [OURS.length, true],
    ],
    'what was made here is an entry of its own, in the trash now',
  );
  const seqs = [copies[0], own[2], copies[1]].map((row) => row?.seq ?? 0);
  assert.deepEqual(
    seqs,
    seqs.toSorted((left, right) => left - right),
    'saved, merged, deleted: in this order',
  );
});

test('while both run', async () => {
  await merge(['md']);
  await all({ 'notes.md': BASE });
  a.start();
  await sent(a, () => writeFileSync(a.path('notes.md'), THEIRS));
  writeFileSync(b.path('notes.md'), OURS);
  b.start();
  c.start();
  await converged([a, b, c], { 'notes.md': BOTH });
});

test('edits of the same lines, other extensions, and what lies under .git are two files as ever', async () => {
  await merge(['txt']);
  const files = ['overlap.txt', 'other.md', '.git/in.txt', 'sub/.git/hooks/in.txt', 'binary.txt'];
  await all({
    '.git': '/',
    sub: '/',
    'sub/.git': '/',
    'sub/.git/hooks': '/',
    ...Object.fromEntries(files.map((path) => [path, BASE])),
  });
  for (const path of files) writeFileSync(a.path(path), THEIRS);
  for (const path of files) writeFileSync(b.path(path), OURS);
  writeFileSync(b.path('overlap.txt'), BASE.replace('one', 'uno'));
  writeFileSync(b.path('binary.txt'), `${OURS}\0`);
  const tree = await run(a, b);
  for (const path of files) {
    assert.equal(tree[path], THEIRS, path);
    const copy = Object.keys(tree).find((one) => one.startsWith(`${path.slice(0, path.lastIndexOf('.'))} (conflicted`));
    assert.ok(copy && tree[copy] !== THEIRS, path);
  }
});

test('two files that were made at one place have nothing in common to merge by', async () => {
  await merge(['txt']);
  await all({});
  writeFileSync(a.path('new.txt'), THEIRS);
  writeFileSync(b.path('new.txt'), OURS);
  assert.deepEqual(Object.values(await run(a, b)).sort(), [OURS, THEIRS].sort());
});

test('three edits on three devices are one text', async () => {
  await merge(['txt']);
  await all({ 'plan.txt': BASE });
  writeFileSync(a.path('plan.txt'), THEIRS);
  writeFileSync(b.path('plan.txt'), OURS);
  writeFileSync(c.path('plan.txt'), BASE.replace('three', 'three!'));
  assert.deepEqual(await run(a, b, c), { 'plan.txt': BOTH.replace('three', 'three!') });
});

test('three edits whose merges meet are one text too', async () => {
  await merge(['txt']);
  await all({ 'plan.txt': BASE });
  a.start();
  await sent(a, () => writeFileSync(a.path('plan.txt'), THEIRS));
  writeFileSync(b.path('plan.txt'), OURS);
  writeFileSync(c.path('plan.txt'), BASE.replace('three', 'three!'));
  b.start();
  c.start();
  await converged([a, b, c], { 'plan.txt': BOTH.replace('three', 'three!') });
});

test('a text with an execute bit keeps it; endings of lines stay what they are', async () => {
  await merge(['sh']);
  const crlf = (text: string) => text.replaceAll('\n', '\r\n');
  await all({});
  writeFileSync(a.path('run.sh'), crlf(BASE), { mode: 0o755 });
  await run(a, b, c);
  for (const device of [a, b, c]) await device.stop();
  writeFileSync(a.path('run.sh'), crlf(THEIRS));
  writeFileSync(b.path('run.sh'), crlf(OURS));
  assert.deepEqual(await run(a, b), { 'run.sh': crlf(BOTH) });
  for (const device of [a, b, c]) assert.ok(statSync(device.path('run.sh')).mode & 0o100, device.name);
});

test('a pool that is down when the conflict comes leaves two files', async () => {
  await merge(['txt']);
  // No other test's: what another pool holds as well can be had from there.
  const [base, theirs, ours] = [BASE, THEIRS, OURS].map((text) => text.replace('two', 'in a pool')) as [
    string,
    string,
    string,
  ];
  await all({ 'plan.txt': base });
  writeFileSync(a.path('plan.txt'), theirs);
  writeFileSync(b.path('plan.txt'), ours);
  a.start();
  await a.client?.untilInSync(signal);
  // Down from the moment that the other version is here: what both had before cannot be had.
  b.gate.after = (verb) => void (verb === 'merge-list' && world.down.add('txt'));
  b.start();
  await b.client?.untilInSync(signal);
  delete b.gate.after;
  world.down.delete('txt');
  c.start();
  await converged([a, b, c]);
  assert.deepEqual(Object.values(a.tree()).sort(), [ours, theirs].sort());
});

test('killed at every step, a merge is a merge or a conflict, and nothing is lost', async () => {
  await merge(['txt']);
  await c.stop();
  const nameOf = (round: number) => `killed ${round}.txt`;
  const entries = new Map<number, string | null>();
  const textsOf = (device: Device, round: number) =>
    Object.entries(device.tree())
      .filter(([path]) => path.startsWith(`killed ${round}.`) || path.startsWith(`killed ${round} `))
      .map(([, text]) => text)
      .sort();
  let merges = 0;
  const points = await killAtEveryPoint(b, {
    prepare: async (round) => {
      if (!b.client) b.start();
      writeFileSync(a.path(nameOf(round)), BASE);
      await converged([a, b]);
      entries.set(round, entryAt(b, nameOf(round)));
      await b.stop();
      await sent(a, () => writeFileSync(a.path(nameOf(round)), THEIRS));
      writeFileSync(b.path(nameOf(round)), OURS);
    },
    atOnce: (round, point) => {
      const there = readFileSync(b.path(nameOf(round)), 'utf8');
      assert.ok([OURS, THEIRS, BOTH].includes(there), point);
      const texts = textsOf(b, round);
      assert.ok(texts.includes(OURS) || texts.includes(BOTH), `${point}: what was made here is on this disk`);
    },
    atLast: async (round, point) => {
      await converged([a, b]);
      const texts = textsOf(a, round);
      if (texts.length === 1) merges++;
      assert.ok(
        [[BOTH], [OURS, THEIRS].sort(), [BOTH, OURS].sort()].some(
          (ends) => JSON.stringify(ends) === JSON.stringify(texts),
        ),
        `${point}: ${JSON.stringify(texts)}`,
      );
      assert.equal(entryAt(a, nameOf(round)), entries.get(round), point);
    },
  });
  assert.equal(merges, points.length, 'no kill came between for good');
  const places = points.filter((point) => point.startsWith('after place'));
  assert.equal(places.length, 2, `theirs, and the merge: ${points.join('; ')}`);
  assert.ok(points.includes('before remove') && points.includes('after remove'));
});

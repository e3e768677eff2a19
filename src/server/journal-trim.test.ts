import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { chainNext, parseRow, parseRows } from '#core/journal-row.ts';
import { list, type Operation } from '#protocol/sync.ts';
import type { Clock } from '#world/clock.ts';
import { realClock } from '#world/real/clock.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import type { JournalKept } from './journal-trim.ts';
import { folder, newId, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';

const DAY_MS = 24 * 3_600_000;
const YEARS_MS = 3650 * DAY_MS;

/** Both clocks, moved by hand. */
function handClock() {
  let wallMs = Date.UTC(2030, 0, 1);
  let monotonicMs = 0;
  const clock: Clock = {
    nowMs: () => wallMs,
    monotonicMs: () => monotonicMs,
    sleep: (ms, signal) => realClock.sleep(ms, signal),
  };
  return {
    clock,
    setWall: (byMs: number) => void (wallMs += byMs),
    pass(ms: number) {
      wallMs += ms;
      monotonicMs += ms;
    },
  };
}

async function withTrimmed(
  kept: Omit<JournalKept, 'dayMs'>,
  work: (rig: ServerRig, hand: ReturnType<typeof handClock>) => Promise<void>,
): Promise<void> {
  const hand = handClock();
  const rig = await ServerRig.start({ clock: hand.clock, journalKept: { ...kept, dayMs: DAY_MS } });
  try {
    await work(rig, hand);
  } finally {
    await rig.close();
  }
}

async function daysPass(rig: ServerRig, hand: ReturnType<typeof handClock>, days: number): Promise<void> {
  for (let day = 0; day < days; day++) {
    hand.pass(DAY_MS);
    await rig.server.trimJournals();
  }
}

function rowsStored(rig: ServerRig): number {
  const database = new DatabaseSync(rig.metaPath, { readOnly: true });
  try {
    return Number(database.prepare('select count(*) as n from journal').get()?.['n']);
  } finally {
    database.close();
  }
}

async function countRows(rig: ServerRig): Promise<number> {
  await rig.server.close();
  const rows = rowsStored(rig);
  await rig.open();
  return rows;
}

async function listing(device: RigDevice, trashed: boolean): Promise<readonly string[]> {
  const { parts } = await device.ask(list, { space: device.space, after: null, trashed, limit: 1000 });
  return parseRows(parts[0] as Uint8Array).map((bytes) => Buffer.from(bytes).toString('hex'));
}

const moved = (entry: EntryId, base: number, name: string): Operation => {
  return { kind: 'move', entry, base, parent: ROOT_ENTRY, name };
};

test('what is old enough is shortened in steps; listings, the trash, revisions and deletes stay as they were', () =>
  withTrimmed({ days: 3, rows: 10 }, async (rig, hand) => {
    const one = await rig.link('one');
    const start = await one.head();
    const files: SealedFile[] = [];
    const [file, gone, kept] = [newId<EntryId>(), newId<EntryId>(), newId<EntryId>()];
    await one.each([one.createFile(ROOT_ENTRY, 'f.txt', files, randomBytes(50), file)], files);
    await one.each([folder(ROOT_ENTRY, 'gone', gone), folder(gone, 'below'), folder(ROOT_ENTRY, 'kept', kept)]);
    await one.each([{ kind: 'delete', entry: gone, basis: (await one.head()).seq }]);
    const newer = one.seal(randomBytes(60));
    const content = { ...newer.content, manifest: 0 };
    await one.each([{ kind: 'update', entry: file, base: 1, content, target: null, mtimeUs: 2, exec: false }], [newer]);
    // One entry is moved so often that its rows are many steps' worth.
    let { placed } = { placed: 4 };
    for (let round = 0; round < 3; round++) {
      const moves = Array.from({ length: 400 }, (_, at) => moved(kept, placed + at, `kept ${round} ${at}`));
      placed = (await one.commit([moves.slice(0, 1)])).head.seq;
      const rest = Array.from({ length: 399 }, (_, at) => moved(kept, placed + at, `kept again ${round} ${at}`));
      placed = (await one.commit(rest.map((move) => [move]))).head.seq;
    }
    const middle = await one.head();
    const after = newId<EntryId>();
    await one.each(Array.from({ length: 8 }, (_, at) => folder(kept, `late ${at}`, at === 0 ? after : newId())));
    const [live, all] = [await listing(one, false), await listing(one, true)];
    const before = await countRows(rig);

    await daysPass(rig, hand, 2);
    assert.equal((await one.pullAll(start)).reset, null, 'three days are kept');
    await daysPass(rig, hand, 2);
    assert.equal((await one.pullAll(start)).reset, 'cursor_expired');
    // As many rows as are kept anyway, and all of them.
    const head = await one.head();
    const pulled = await one.pullAll(middle);
    assert.equal(pulled.reset, null);
    let { chain } = middle;
    for (const row of pulled.bytes) chain = chainNext(p, chain, row);
    assert.equal(chain, head.chain);

    assert.deepEqual(await listing(one, false), live);
    assert.deepEqual(await listing(one, true), all);
    const states = all.map((hex) => parseRow(Buffer.from(hex, 'hex')));
    assert.ok(states.some((row) => row.kind === 'entry' && row.entry.entry === gone && row.entry.trashedFrom));
    const left = await countRows(rig);
    assert.ok(left < before - 1000, `${left} of ${before}`);
    const database = new DatabaseSync(rig.metaPath);
    await rig.server.close();
    const rows = database
      .prepare('select row from journal where seq < 10 order by seq')
      .all()
      .map((row) => parseRow(row['row'] as Uint8Array));
    database.close();
    await rig.open();
    const revisions = rows.filter((row) => row.kind === 'entry' && row.entry.entry === file).map(({ seq }) => seq);
    assert.deepEqual(revisions, [1, 6], 'both revisions of the file');

    // A delete whose basis lies below the horizon is judged as ever.
    const { answers } = await one.each([{ kind: 'delete', entry: kept, basis: 4 }]);
    assert.deepEqual(answers[0], { kind: 'conflict', why: 'changed' });
  }));

test('a clock that jumps ahead ages nothing by more than a day, however often the server starts', () =>
  withTrimmed({ days: 5, rows: 0 }, async (rig, hand) => {
    const one = await rig.link('one');
    const start = await one.head();
    const entry = newId<EntryId>();
    await one.each([folder(ROOT_ENTRY, 'a', entry)]);
    await one.each([moved(entry, 1, 'b')]);
    await rig.server.trimJournals();
    hand.setWall(YEARS_MS);
    await rig.server.trimJournals();
    for (let restart = 0; restart < 8; restart++) {
      await rig.restart();
      await rig.server.trimJournals();
    }
    assert.equal((await one.pullAll(start)).reset, null, 'still there');
    // Set right again: the last mark lies years ahead, and days are counted all the same.
    hand.setWall(-YEARS_MS);
    await daysPass(rig, hand, 3);
    assert.equal((await one.pullAll(start)).reset, null);
    await daysPass(rig, hand, 3);
    assert.equal((await one.pullAll(start)).reset, 'cursor_expired');
    assert.deepEqual((await listing(one, false)).length, 1);
  }));

test('a server that was off has kept everybody’s place', () =>
  withTrimmed({ days: 2, rows: 0 }, async (rig, hand) => {
    const one = await rig.link('one');
    const start = await one.head();
    await one.each([folder(ROOT_ENTRY, 'a')]);
    await rig.server.trimJournals();
    await rig.server.close();
    hand.setWall(YEARS_MS);
    await rig.open();
    await rig.server.trimJournals();
    assert.equal((await one.pullAll(start)).reset, null);
  }));

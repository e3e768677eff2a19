import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readState } from '#client/status.ts';
import { HoldfastError } from '#core/errors.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { STAMP_MS, stampingCoarsely } from './simulated-disk.ts';
import { changeState } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
});
after(() => world.end());

beforeEach(async () => {
  for (const device of [a, b]) if (!device.client) device.start();
  for (const name of readdirSync(a.folder)) if (name !== '.holdfast') rmSync(a.path(name), { recursive: true });
  await converged([a, b], {});
});

/**
 * What the file system shows of files that were being placed when bert's client ended: `bytes` under the time that they were given, of which it
 * keeps so much. Of two files that anna wrote, one was there before.
 */
async function placedAs(bytes: Uint8Array, keptUs: number, how: 'killed' | 'power'): Promise<void> {
  for (const name of ['edited', 'untouched']) writeFileSync(a.path(name), 'first');
  await converged([a, b]);
  await b.stop();
  for (const name of ['edited', 'made']) writeFileSync(a.path(name), 'second version');
  await a.client?.untilInSync(new AbortController().signal);
  await eventually(
    () => a.client?.status().counts.files === 3,
    () => a.client?.status(),
  );
  await a.stop();
  const rows = changeState(a, (sql) => sql.prepare(`SELECT * FROM remote WHERE name IN ('edited', 'made')`).all());
  assert.equal(rows.length, 2);
  changeState(b, (sql) => {
    if (how === 'power') sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
    for (const row of rows) {
      const name = row['name'] as string;
      writeFileSync(b.path(name), bytes);
      setTime(b.path(name), BigInt(Math.floor(Number(row['mtime_us']) / keptUs) * keptUs) * 1000n);
      sql
        .prepare('INSERT INTO placing VALUES (?, ?, ?, ?, ?)')
        .run(name, row['entry'] as string, row['content'] as string, row['mtime_us'] as number, name);
    }
  });
  a.start();
  b.start();
}

for (const [disk, keptUs] of [
  ['to the microsecond', 1],
  ['to 10 ms, as exFAT', 10_000],
  ['to a second, as HFS+', 1_000_000],
  ['to two seconds, as FAT', 2_000_000],
] as const)
  test(`bytes that a power cut tore under our own time, which the disk keeps ${disk}, are fetched again, never uploaded`, async () => {
    // As after a cut between the renames and their being durable: the names are there, the bytes are not.
    await placedAs(Buffer.alloc(14), keptUs, 'power');
    await converged([a, b], { edited: 'second version', made: 'second version', untouched: 'first' });
  });

test('bytes that a power cut tore are fetched again, also where the first try to judge them ends halfway', async () => {
  let failures = 1;
  b.asFolder = (folder) => ({
    ...folder,
    flush: (alsoAt) =>
      alsoAt?.includes('made') && failures-- > 0
        ? Promise.reject(new HoldfastError('disk_failed', 'once'))
        : folder.flush(alsoAt),
  });
  await placedAs(Buffer.alloc(14), 1, 'power');
  await converged([a, b], { edited: 'second version', made: 'second version', untouched: 'first' });
  flushesAgain(b);
  assert.ok(failures < 1);
});

test('what was being placed and cannot be read after a power cut is fetched again, and what is there kept beside it', async () => {
  let failures = 2;
  cannotRead(b, () => failures-- > 0);
  await placedAs(Buffer.alloc(14), 1, 'power');
  await converged([a, b]);
  flushesAgain(b);
  const { edited, made, untouched, ...copies } = a.tree();
  assert.deepEqual(
    { edited, made, untouched },
    { edited: 'second version', made: 'second version', untouched: 'first' },
  );
  assert.deepEqual(Object.values(copies), ['\0'.repeat(14), '\0'.repeat(14)]);
  assert.ok(failures < 1);
});

/** In files that are in sync on bert's disk, as if they had just been placed and recorded as a tick of its clock began, and not been flushed when the power went. */
async function leavesInPlaced(left: Readonly<Record<string, string>>): Promise<void> {
  for (const name in left) writeFileSync(a.path(name), 'as placed');
  await converged([a, b]);
  await b.stop();
  await delay(STAMP_MS - (Date.now() % STAMP_MS));
  const now = BigInt(Date.now()) * 1_000_000n;
  const timeNs = now - (now % BigInt(STAMP_MS * 1_000_000));
  changeState(b, (sql) => {
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
    sql
      .prepare(`INSERT INTO placing SELECT name, entry, content, ?, name FROM remote WHERE kind = 'file'`)
      .run(Number(timeNs / 1000n));
  });
  for (const [name, text] of Object.entries(left)) {
    writeFileSync(b.path(name), text);
    setTime(b.path(name), timeNs);
  }
  b.start();
  await converged([a, b]);
}

for (const what of ['read', 'looked at'] as const)
  test(`what was placed and recorded, and cannot be ${what} after a power cut, is fetched again, and what is there kept beside it`, async () => {
    let failures = 1;
    const fails = () => b.tree()['file'] === 'torn here' && failures-- > 0;
    if (what === 'read') cannotRead(b, fails);
    else cannotLook(b, fails);
    await leavesInPlaced({ file: 'torn here' });
    flushesAgain(b);
    const { file, ...copies } = a.tree();
    assert.equal(file, 'as placed');
    assert.deepEqual(Object.values(copies), ['torn here']);
    assert.ok(failures < 1);
  });

test('on a disk of coarse times what is as long as what was placed in that tick may be an edit after a power cut, and is kept beside it', async () => {
  b.asFolder = stampingCoarsely;
  await leavesInPlaced({ same: 'as placee', shorter: 'as pl' });
  flushesAgain(b);
  const { same, shorter, ...copies } = a.tree();
  assert.deepEqual([same, shorter], ['as placed', 'as placed']);
  assert.deepEqual(Object.values(copies), ['as placee']);
});

test('what could not be fetched is not about to be placed: an edit under its time is kept in a power cut', async () => {
  writeFileSync(a.path('file'), 'first');
  await converged([a, b], { file: 'first' });
  let asked = 0;
  b.gate.before = (verb) => {
    if (verb !== 'contents') return Promise.resolve();
    asked++;
    return Promise.reject(new HoldfastError('unreachable', 'the server cannot be reached'));
  };
  const timeNs = 1_700_000_000n * 1_000_000_000n;
  writeFileSync(a.path('file'), 'by anna');
  setTime(a.path('file'), timeNs);
  await eventually(
    () => asked > 0 && b.client?.status().settled === false,
    () => b.client?.status(),
  );
  await b.stop();
  delete b.gate.before;
  // On a disk of coarse times, in the same tick.
  writeFileSync(b.path('file'), 'by bert');
  setTime(b.path('file'), timeNs);
  changeState(b, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
  b.start();
  const copy = `file (conflicted copy, ${b.name}, ${new Date().toISOString().slice(0, 10)})`;
  await converged([a, b], { file: 'by anna', [copy]: 'by bert' });
});

test('right bytes that lost their time in a power cut are no edit, which would go over what came after them', async () => {
  for (const text of ['first', 'second']) {
    writeFileSync(a.path('file'), text);
    await converged([a, b], { file: text });
    if (text === 'first') continue;
    // And back to what bert's state knows, whose last words the power took as well.
    await b.stop();
  }
  const [row] = changeState(a, (sql) => sql.prepare(`SELECT * FROM remote WHERE name = 'file'`).all());
  assert.ok(row);
  writeFileSync(a.path('file'), 'first');
  await eventually(
    () => changeState(a, (sql) => sql.prepare(`SELECT content FROM remote`).get())?.['content'] !== row['content'],
    () => a.client?.status(),
  );
  const [first] = changeState(a, (sql) => sql.prepare(`SELECT * FROM remote WHERE name = 'file'`).all());
  changeState(b, (sql) => {
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
    sql.prepare('UPDATE synced SET content = ? WHERE name = ?').run(first?.['content'] as string, 'file');
    sql
      .prepare('INSERT INTO placing VALUES (?, ?, ?, ?, ?)')
      .run('file', row['entry'] as string, row['content'] as string, row['mtime_us'] as number, 'file');
  });
  setTime(b.path('file'), BigInt(Date.now() - 5000) * 1_000_000n);
  b.start();
  await converged([a, b], { file: 'first' });
});

test('where the machine ran on, other bytes under our own time are kept beside what was placed: somebody may have written them in that very tick', async () => {
  await placedAs(Buffer.from('written in it'), 2_000_000, 'killed');
  await eventually(
    () => Object.keys(b.tree()).length === 5,
    () => b.tree(),
  );
  await converged([a, b]);
  const { edited, made, untouched, ...copies } = b.tree();
  assert.deepEqual([edited, made, untouched], ['second version', 'second version', 'first']);
  assert.deepEqual(Object.values(copies), ['written in it', 'written in it']);
});

test('where a file is placed is written down before, also in a folder that moves first', async () => {
  mkdirSync(a.path('dir/in'), { recursive: true });
  writeFileSync(a.path('dir/in/old'), 'first');
  await converged([a, b]);
  await b.stop();
  renameSync(a.path('dir'), a.path('moved'));
  writeFileSync(a.path('moved/in/old'), 'second');
  writeFileSync(a.path('moved/new'), 'new');
  await a.client?.untilInSync(new AbortController().signal);
  await eventually(
    () => a.client?.status().counts.files === 2 && a.client.status().inSync,
    () => a.client?.status(),
  );
  const placed: string[] = [];
  const unknown: string[] = [];
  b.asFolder = (folder) => ({
    ...folder,
    apply: (steps, keys) => {
      const known = changeState(b, (sql) => sql.prepare('SELECT path FROM placing').all()).map(({ path }) => path);
      for (const step of steps)
        if (step.kind === 'place') (known.includes(step.path) ? placed : unknown).push(step.path);
      return folder.apply(steps, keys);
    },
  });
  b.start();
  await converged([a, b], { moved: '/', 'moved/in': '/', 'moved/in/old': 'second', 'moved/new': 'new' });
  assert.deepEqual([placed.sort(), unknown], [['moved/in/old', 'moved/new'], []]);
  b.asFolder = (folder) => folder;
});

test('what was parked when the client was killed comes back', async () => {
  mkdirSync(a.path('dir'));
  writeFileSync(a.path('dir/file'), 'text');
  await converged([a, b]);
  await b.stop();
  const entry = changeState(b, (sql) => {
    const row = sql.prepare(`SELECT entry FROM local WHERE name = 'dir'`).get();
    sql.prepare('INSERT INTO parking VALUES (?, ?, ?)').run('parked-x', row?.['entry'] as string, 'dir');
    return row?.['entry'];
  });
  assert.ok(entry);
  b.start();
  await converged([a, b], { dir: '/', 'dir/file': 'text' });
});

test('another history under a known cursor is a union: nothing is deleted on either side', async () => {
  for (const name of ['one', 'two']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  await b.stop();
  changeState(b, (sql) => {
    const cursor = JSON.parse(sql.prepare(`SELECT value FROM meta WHERE key = 'cursor'`).get()?.['value'] as string);
    const changed = JSON.stringify({ ...cursor, chain: 'ab'.repeat(32) });
    sql.prepare(`UPDATE meta SET value = ? WHERE key = 'cursor'`).run(changed);
  });
  unlinkSync(b.path('one'));
  writeFileSync(b.path('two'), 'two, edited');
  writeFileSync(b.path('three'), 'three');
  b.start();
  await eventually(
    () => a.tree()['three'] === 'three' && Object.values(a.tree()).includes('two, edited'),
    () => a.tree(),
  );
  await converged([a, b]);
  const tree = a.tree();
  assert.equal(tree['one'], 'one');
  assert.ok(Object.values(tree).includes('two') && Object.values(tree).includes('two, edited'));
});

test('a pool that is down keeps its own files waiting, and no others', async () => {
  world.down.add('mp3');
  writeFileSync(a.path('song.mp3'), 'la la la');
  writeFileSync(a.path('text.txt'), 'words');
  await eventually(
    () => b.tree()['text.txt'] === 'words' && (a.client?.status().problems.length ?? 0) > 0,
    () => a.client?.status(),
  );
  assert.equal(b.tree()['song.mp3'], undefined);
  assert.deepEqual(
    a.client?.status().problems.map(({ path, code }) => [path, code]),
    [['song.mp3', 'storage_unavailable']],
  );
  world.down.delete('mp3');
  await converged([a, b], { 'song.mp3': 'la la la', 'text.txt': 'words' });
});

test('bytes that cannot be had now are a problem of their file, and come later', async () => {
  await b.stop();
  writeFileSync(a.path('song.mp3'), 'la la la');
  writeFileSync(a.path('text.txt'), 'words');
  await eventually(
    () => a.client?.status().inSync === true && a.client.status().counts.files === 2,
    () => a.client?.status(),
  );
  world.down.add('mp3');
  b.start();
  await eventually(
    () => b.tree()['text.txt'] === 'words' && (b.client?.status().problems.length ?? 0) > 0,
    () => b.client?.status(),
  );
  world.down.delete('mp3');
  await converged([a, b], { 'song.mp3': 'la la la', 'text.txt': 'words' });
});

test('what no other device could hold is told of, and taken for no deletion', async () => {
  writeFileSync(a.path('one'), 'text');
  await converged([a, b]);
  execFileSync('mkfifo', [a.path('pipe')]);
  writeFileSync(Buffer.concat([Buffer.from(a.path('bad-')), Buffer.from([0xff])]), 'x');
  await eventually(
    () => a.client?.status().problems.length === 2,
    () => a.client?.status(),
  );
  // A file whose place a pipe takes is still the others' file.
  unlinkSync(a.path('one'));
  execFileSync('mkfifo', [a.path('one')]);
  await eventually(
    () => a.client?.status().problems.length === 3,
    () => a.client?.status(),
  );
  assert.equal(b.tree()['one'], 'text');
  const state = readState(sqliteOpener, a.statePath);
  assert.equal(state?.running, true);
  assert.equal(state?.inSync, false);
  for (const name of readdirSync(Buffer.from(a.folder), { encoding: 'buffer' }))
    if (name.toString() !== '.holdfast') rmSync(Buffer.concat([Buffer.from(`${a.folder}/`), name]));
  await converged([a, b], {});
});

test('times of files go across to the microsecond', async () => {
  writeFileSync(a.path('old'), 'text');
  utimesSync(a.path('old'), 1_000_000_000.123456, 1_000_000_000.123456);
  await converged([a, b]);
  const shown = (device: Device) => execFileSync('stat', ['-c', '%.6Y', device.path('old')]).toString();
  assert.equal(shown(b), shown(a));
});

test('a time beyond what a row can hold keeps neither its file nor others from crossing, nor from being in sync', async () => {
  const names = { far: '2400-01-01', early: '1902-01-01', usual: '2026-01-01' };
  for (const [name, time] of Object.entries(names)) {
    writeFileSync(a.path(name), name);
    execFileSync('touch', ['-d', `${time} 00:00:00Z`, a.path(name)]);
  }
  const tree = { far: 'far', early: 'early', usual: 'usual' };
  await converged([a, b], tree);
  const years = (device: Device) =>
    Object.keys(names).map((name) => statSync(device.path(name)).mtime.getUTCFullYear());
  assert.deepEqual(years(a), [2400, 1902, 2026], 'nobody sets the times of what lies here');
  assert.deepEqual(years(b), [2255, 1902, 2026]);
  const before = a.gate.calls.concat(b.gate.calls).filter((verb) => verb === 'commit').length;
  for (const device of [a, b]) {
    await device.stop();
    device.start();
  }
  await converged([a, b], tree);
  assert.equal(a.gate.calls.concat(b.gate.calls).filter((verb) => verb === 'commit').length, before);
  writeFileSync(b.path('far'), 'edited');
  await converged([a, b], { ...tree, far: 'edited' });
});

const DISK_FAILED = { kind: 'failed', code: 'disk_failed', detail: 'the disk reported an error' } as const;

function cannotRemove(device: Device, fails: () => boolean): void {
  device.asFolder = (folder) => ({
    ...folder,
    apply: async (steps, keys) =>
      steps[0]?.kind === 'remove' && fails() ? steps.map(() => DISK_FAILED) : await folder.apply(steps, keys),
  });
}

/** Its disk fails at reading a file, so long as it is said to. To be called while it does not run. */
function cannotRead(device: Device, fails: () => boolean): void {
  device.asFolder = (folder) => ({
    ...folder,
    seal: async (files, keys) => (fails() ? files.map(() => DISK_FAILED) : await folder.seal(files, keys)),
  });
}

function cannotLook(device: Device, fails: () => boolean): void {
  device.asFolder = (folder) => ({
    ...folder,
    look: async (paths) => (fails() ? paths.map(() => DISK_FAILED) : await folder.look(paths)),
  });
}

/** Some time after the last change: by the files' times the client knows that nobody wrote to them since. */
async function ticksAreOver(device: Device): Promise<void> {
  const unsure = () => changeState(device, (sql) => sql.prepare('SELECT * FROM local WHERE racy').all());
  await eventually(() => unsure().length === 0, unsure);
}

/** As after a power cut, or a kill: all that was written down, and not yet crossed out, is there. */
async function cutOff(device: Device, how: 'power' | 'kill', work: () => void): Promise<void> {
  changeState(device, (sql) => {
    sql.exec('DELETE FROM unflushed');
    sql.exec('INSERT INTO unflushed (entry, content, mtime_us) SELECT entry, content, mtime_us FROM remote');
    if (how === 'power') sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
  });
  work();
}

test('an acknowledged file that a power cut emptied, took back or took away is fetched again, and nothing else', async () => {
  mkdirSync(a.path('made'));
  const files = { emptied: 'second', rolled: 'second', gone: 'first', 'made/gone': 'first', edited: 'second' };
  writeFileSync(a.path('rolled'), 'the first, longer');
  await converged([a, b]);
  const before = statSync(a.path('rolled'), { bigint: true });
  const older = changeState(a, (sql) => sql.prepare(`SELECT * FROM remote WHERE name = 'rolled'`).get());
  for (const [path, text] of Object.entries(files)) writeFileSync(a.path(path), text);
  await converged([a, b], { ...files, made: '/' });
  await ticksAreOver(a);
  await a.stop();
  await cutOff(a, 'power', () => {
    changeState(a, (sql) => {
      // What the entry was before is written down with the first change since the last flush.
      sql
        .prepare('INSERT INTO unflushed (n, entry, content, mtime_us) VALUES (-1, ?, ?, ?)')
        .run(older?.['entry'] as string, older?.['content'] as string, older?.['mtime_us'] as number);
    });
    const { mtimeNs } = statSync(a.path('emptied'), { bigint: true });
    writeFileSync(a.path('emptied'), '');
    setTime(a.path('emptied'), mtimeNs);
    writeFileSync(a.path('rolled'), 'the first, longer');
    setTime(a.path('rolled'), before.mtimeNs);
    unlinkSync(a.path('gone'));
    rmSync(a.path('made'), { recursive: true });
    writeFileSync(a.path('edited'), 'by a person, afterwards');
  });
  a.start();
  await converged([a, b], { ...files, made: '/', edited: 'by a person, afterwards' });
  unlinkSync(a.path('gone'));
  const { edited, gone, ...rest } = files;
  assert.ok(edited && gone);
  await converged([a, b], { ...rest, made: '/', edited: 'by a person, afterwards' });
});

/** Its disk keeps nothing for good by the time that the power goes, however long a test takes until then. To be called while it does not run. */
function flushesNothing(device: Device): void {
  device.asFolder = (folder) => ({
    ...folder,
    flush: (alsoAt) =>
      alsoAt?.length ? Promise.reject(new HoldfastError('disk_failed', 'the disk takes its time')) : folder.flush(),
  });
}

function flushesAgain(device: Device): void {
  device.asFolder = (folder) => folder;
}

/** What was not kept yet is not known to be. */
async function losesPower(device: Device): Promise<void> {
  await ticksAreOver(device);
  await device.stop();
  flushesAgain(device);
  changeState(device, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
}

test('bytes that a power cut tore, or somebody wrote in the tick before it, are kept beside what is fetched again', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  const write = (text: string) => {
    for (const name of ['unsure', 'sure', 'unread']) {
      writeFileSync(a.path(name), text);
      utimesSync(a.path(name), 1_700_000_000, 1_700_000_000);
    }
  };
  write('first');
  await converged([a, b], { sure: 'first', unread: 'first', unsure: 'first' });
  await losesPower(a);
  // As on a disk that stamps by the second or two, where the power went within such a one.
  changeState(a, (sql) => {
    const { stat } = sql.prepare(`SELECT stat FROM local WHERE name = 'unsure'`).get() as { stat: string };
    const changed = stat.split(' ')[5] as string;
    const bySecond = stat.replace(changed, `${changed.slice(0, -9)}000000000`);
    sql.prepare(`UPDATE local SET racy = 1, stat = ? WHERE name = 'unsure'`).run(bySecond);
  });
  // As between a look once its tick is over and the reading that this asks for.
  changeState(a, (sql) => sql.exec(`UPDATE local SET content = NULL WHERE name = 'unread'`));
  write('other');
  a.start();
  await converged([a, b]);
  const { sure, unread, unsure, ...copies } = a.tree();
  assert.deepEqual([sure, unread, unsure], ['first', 'first', 'first']);
  assert.deepEqual(Object.values(copies), ['other']);
});

test('what a power cut tore is fetched again, also where the server is out of reach for a while after it', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  writeFileSync(a.path('torn'), 'first');
  await converged([a, b], { torn: 'first' });
  await losesPower(a);
  const { mtimeNs } = statSync(a.path('torn'), { bigint: true });
  writeFileSync(a.path('torn'), '');
  setTime(a.path('torn'), mtimeNs);
  // It answers the first question of all, without which nothing begins.
  a.gate.before = (verb) => {
    if (verb !== 'spaces') throw new HoldfastError('unreachable', 'the server cannot be reached');
  };
  a.start();
  // Longer than until the disk is told to keep what it was not told yet.
  await new Promise((resolve) => setTimeout(resolve, 7000));
  delete a.gate.before;
  await converged([a, b], { torn: 'first' });
});

for (const what of ['read', 'removed'] as const)
  test(`a torn file that cannot be ${what} after a power cut is fetched again, and what is there kept beside it`, async () => {
    await a.stop();
    flushesNothing(a);
    a.start();
    for (const name of ['torn', 'whole']) {
      writeFileSync(a.path(name), 'first');
      setTime(a.path(name), 1_700_000_000_000_000_000n);
    }
    await converged([a, b], { torn: 'first', whole: 'first' });
    await losesPower(a);
    let failures = what === 'read' ? 2 : 1;
    if (what === 'read') cannotRead(a, () => failures-- > 0);
    else cannotRemove(a, () => failures-- > 0);
    writeFileSync(a.path('torn'), 'other');
    setTime(a.path('torn'), 1_700_000_000_000_000_000n);
    a.start();
    await converged([a, b]);
    const { torn, whole, ...copies } = b.tree();
    assert.deepEqual([torn, whole], ['first', 'first']);
    assert.deepEqual(Object.values(copies), ['other']);
    flushesAgain(a);
    assert.ok(failures < 1);
  });

test('a conflict’s copy that a power cut tore on the device that made it is fetched again', async () => {
  await b.stop();
  writeFileSync(a.path('both'), 'of anna');
  await converged([a]);
  writeFileSync(b.path('both'), 'of bert');
  flushesNothing(b);
  b.start();
  await converged([a, b]);
  const whole = b.tree();
  const copy = Object.keys(whole).find((name) => name !== 'both') as string;
  assert.equal(whole[copy], 'of bert');
  await losesPower(b);
  const { mtimeNs } = statSync(b.path(copy), { bigint: true });
  writeFileSync(b.path(copy), Buffer.alloc(7));
  setTime(b.path(copy), mtimeNs);
  b.start();
  await converged([a, b], whole);
});

test('a file that this device had moved, and a power cut tore before the state knew of that, is fetched again', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  writeFileSync(a.path('before'), 'text');
  await converged([a, b]);
  renameSync(b.path('before'), b.path('after'));
  await converged([a, b], { after: 'text' });
  await a.stop();
  flushesAgain(a);
  changeState(a, (sql) => {
    for (const tree of ['local', 'synced']) sql.exec(`UPDATE ${tree} SET name = 'before' WHERE name = 'after'`);
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
  });
  const { mtimeNs } = statSync(a.path('after'), { bigint: true });
  writeFileSync(a.path('after'), Buffer.alloc(4));
  setTime(a.path('after'), mtimeNs);
  a.start();
  await converged([a, b], { after: 'text' });
});

test('a link that a power cut brought back does not undo its change; one that a person made anew does', async () => {
  for (const name of ['rolled', 'anew', 'moved']) symlinkSync('first', a.path(name));
  await converged([a, b]);
  const before = lstatSync(a.path('rolled'));
  await a.stop();
  // The disk has kept those.
  changeState(a, (sql) => sql.exec('DELETE FROM unflushed'));
  flushesNothing(a);
  a.start();
  for (const name of ['rolled', 'anew', 'moved']) relink(a.path(name), 'second');
  await converged([a, b], { rolled: '-> second', anew: '-> second', moved: '-> second' });
  await losesPower(a);
  relink(a.path('rolled'), 'first');
  lutimesSync(a.path('rolled'), before.atime, before.mtime);
  relink(a.path('anew'), 'first');
  renameSync(a.path('moved'), a.path('to here'));
  a.start();
  await converged([a, b], { rolled: '-> second', anew: '-> first', 'to here': '-> second' });
});

function relink(path: string, target: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
}

test('what a power cut took is not what came back with its number', async () => {
  writeFileSync(a.path('before'), 'deleted');
  await converged([a, b]);
  await a.stop();
  flushesNothing(a);
  a.start();
  unlinkSync(a.path('before'));
  await converged([a, b], {});
  writeFileSync(a.path('after'), 'made with its number');
  await converged([a, b], { after: 'made with its number' });
  await a.stop();
  flushesAgain(a);
  rmSync(a.path('after'));
  writeFileSync(a.path('before'), 'deleted');
  const { ino } = statSync(a.path('before'), { bigint: true });
  changeState(a, (sql) => {
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
    const { stat, inode } = sql.prepare(`SELECT stat, inode FROM local WHERE name = 'after'`).get() as {
      stat: string;
      inode: string;
    };
    const numbered = stat.replace(/^(\w+ \d+) \d+/, `$1 ${ino}`);
    sql.prepare('UPDATE unflushed SET stat = ? WHERE stat = ?').run(numbered, stat);
    sql
      .prepare('UPDATE local SET stat = ?, inode = ? WHERE inode = ?')
      .run(numbered, inode.replace(/\d+$/, `${ino}`), inode);
  });
  a.start();
  // What was deleted came back with the power cut, as a file of its own.
  await converged([a, b], { before: 'deleted', after: 'made with its number' });
});

test('files that a person had moved, and nobody had seen that, are compared where they lie: torn ones are fetched again', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  const texts = {
    torn: 'was torn',
    whole: 'is whole',
    one: 'the first',
    two: 'the second, torn',
    linked: 'by two names',
  };
  for (const [name, text] of Object.entries(texts)) writeFileSync(a.path(name), text);
  linkSync(a.path('linked'), a.path('its other name'));
  mkdirSync(a.path('p'));
  await converged([a, b]);
  await losesPower(a);
  for (const name of ['torn', 'whole']) renameSync(a.path(name), a.path(`p/${name}`));
  renameSync(a.path('one'), a.path('aside'));
  renameSync(a.path('two'), a.path('one'));
  renameSync(a.path('aside'), a.path('two'));
  unlinkSync(a.path('linked'));
  for (const name of ['p/torn', 'one', 'its other name']) {
    const { mtimeNs, size } = statSync(a.path(name), { bigint: true });
    writeFileSync(a.path(name), Buffer.alloc(Number(size)));
    setTime(a.path(name), mtimeNs);
  }
  a.start();
  await eventually(
    () => JSON.stringify(Object.values(a.tree()).toSorted()) === JSON.stringify(Object.values(b.tree()).toSorted()),
    () => [a.tree(), b.tree()],
  );
  await converged([a, b]);
  const tree = a.tree();
  assert.deepEqual(
    Object.values(tree).filter((text) => text.includes('\0')),
    [],
  );
  for (const text of Object.values(texts))
    assert.ok(Object.values(tree).includes(text), `${text}: ${JSON.stringify(tree)}`);
  assert.equal(tree['p/whole'], 'is whole');
});

test('two files that changed places, one of them seen, and changed back in a power cut, are both there', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  for (const folder of ['p', 'q']) mkdirSync(a.path(folder));
  writeFileSync(a.path('p/one'), 'first');
  writeFileSync(a.path('q/two'), 'second!');
  await converged([a, b]);
  const whole = a.tree();
  const swap = () => {
    renameSync(a.path('p/one'), a.path('aside'));
    renameSync(a.path('q/two'), a.path('p/one'));
    renameSync(a.path('aside'), a.path('q/two'));
  };
  a.gate.closed.add('q');
  swap();
  await eventually(
    () => b.tree()['p/one'] === 'second!',
    () => b.tree(),
  );
  await losesPower(a);
  swap();
  a.gate.closed.clear();
  a.start();
  await converged([a, b], whole);
});

test('a file with several names that changed places with another, was seen, and changed back in a power cut: both are there', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  for (const folder of ['p', 'q']) mkdirSync(a.path(folder));
  writeFileSync(a.path('p/one'), 'first');
  writeFileSync(a.path('q/two'), 'second!');
  linkSync(a.path('q/two'), a.path('q/also'));
  await converged([a, b]);
  const whole = a.tree();
  const swap = () => {
    renameSync(a.path('p/one'), a.path('aside'));
    renameSync(a.path('q/two'), a.path('p/one'));
    renameSync(a.path('aside'), a.path('q/two'));
  };
  a.gate.closed.add('q');
  swap();
  await eventually(
    () => b.tree()['p/one'] === 'second!',
    () => b.tree(),
  );
  await losesPower(a);
  swap();
  a.gate.closed.clear();
  a.start();
  await converged([a, b], whole);
});

test('a file that was linked to another’s place, and that the power took from there, is fetched again', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  mkdirSync(a.path('q'));
  writeFileSync(a.path('one'), 'first');
  writeFileSync(a.path('q/two'), 'second!');
  await converged([a, b]);
  linkSync(a.path('one'), a.path('.holdfast/kept'));
  unlinkSync(a.path('one'));
  linkSync(a.path('q/two'), a.path('one'));
  await converged([a, b], { one: 'second!', q: '/', 'q/two': 'second!' });
  // Everything is looked at: the other name's row knows of both.
  await a.stop();
  a.start();
  await converged([a, b], { one: 'second!', q: '/', 'q/two': 'second!' });
  await losesPower(a);
  renameSync(a.path('.holdfast/kept'), a.path('one'));
  a.start();
  await converged([a, b], { one: 'second!', q: '/', 'q/two': 'second!' });
});

test('two files that changed places, one of them sent, and a half of it taken back by the power, are both there', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  for (const folder of ['p', 'q']) mkdirSync(a.path(folder));
  for (const round of [1, 2, 3]) {
    writeFileSync(a.path('p/one'), `first ${round}`);
    writeFileSync(a.path('q/two'), `second! ${round}`);
    await converged([a, b]);
    a.gate.closed.add('p');
    renameSync(a.path('p/one'), a.path('aside'));
    renameSync(a.path('q/two'), a.path('p/one'));
    renameSync(a.path('aside'), a.path('q/two'));
    await eventually(
      () => b.tree()['q/two'] === `first ${round}`,
      () => b.tree(),
    );
    // What became of the other is not seen in the first round, and seen and not sent in the second and the third.
    const commitsInVain = (verb: string) => {
      if (verb === 'commit') throw new HoldfastError('timeout', 'no answer');
    };
    if (round > 1) {
      a.gate.before = commitsInVain;
      a.gate.closed.clear();
      await eventually(
        () => a.client?.status().problems.some(({ code }) => code === 'timeout') === true,
        () => a.client?.status(),
      );
    }
    await a.stop();
    delete a.gate.before;
    a.gate.closed.clear();
    flushesAgain(a);
    changeState(a, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
    // As after the first of the three renamings.
    renameSync(a.path('q/two'), a.path('aside'));
    renameSync(a.path('p/one'), a.path('q/two'));
    if (round === 3) {
      // As of a disk that counts one name too many then, and forgets a file; and the power goes once more before anything could be sent.
      linkSync(a.path('q/two'), a.path('.holdfast/counted'));
      rmSync(a.path('aside'));
      flushesNothing(a);
      a.gate.before = (verb) => {
        if (!['spaces', 'attach', 'settle'].includes(verb)) throw new HoldfastError('unreachable', 'out of reach');
      };
      a.start();
      const ofTheOther = () => changeState(a, (sql) => sql.prepare(`SELECT * FROM local WHERE name = 'one'`).all());
      await eventually(() => ofTheOther().length === 0, ofTheOther);
      await a.stop();
      delete a.gate.before;
      flushesAgain(a);
      changeState(a, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
    }
    a.start();
    await converged([a, b]);
    const texts = Object.values(a.tree());
    assert.ok(texts.includes(`second! ${round}`), JSON.stringify(a.tree()));
    assert.ok(round === 3 || texts.includes(`first ${round}`), JSON.stringify(a.tree()));
    await a.stop();
    flushesNothing(a);
    a.start();
  }
});

test('a file that a person renamed over another of the same time, while the disk or the power was away, stays there', async () => {
  await a.stop();
  flushesNothing(a);
  writeFileSync(a.path('small'), 'small');
  writeFileSync(a.path('large'), 'larger than small');
  for (const name of ['small', 'large']) utimesSync(a.path(name), 1_700_000_000, 1_700_000_000);
  a.start();
  await converged([a, b], { small: 'small', large: 'larger than small' });
  await losesPower(a);
  renameSync(a.path('small'), a.path('large'));
  a.start();
  await converged([a, b], { large: 'small' });
});

test('a save that a power cut took back is fetched again, also where the file from before has another name too', async () => {
  await a.stop();
  flushesNothing(a);
  a.start();
  writeFileSync(a.path('one'), 'first');
  linkSync(a.path('one'), a.path('two'));
  await converged([a, b]);
  writeFileSync(a.path('one.new'), 'second');
  renameSync(a.path('one.new'), a.path('one'));
  await converged([a, b], { one: 'second', two: 'first' });
  await losesPower(a);
  unlinkSync(a.path('one'));
  linkSync(a.path('two'), a.path('one'));
  a.start();
  await converged([a, b], { one: 'second', two: 'first' });
});

test('what is changed and deleted after a kill, before the disk was known to have it, is changed and deleted', async () => {
  for (const name of ['gone', 'undone']) writeFileSync(a.path(name), 'first');
  await converged([a, b]);
  const { mtimeNs } = statSync(a.path('undone'), { bigint: true });
  writeFileSync(a.path('undone'), 'second');
  await converged([a, b], { gone: 'first', undone: 'second' });
  await a.stop();
  await cutOff(a, 'kill', () => {
    unlinkSync(a.path('gone'));
    writeFileSync(a.path('undone'), 'first');
    setTime(a.path('undone'), mtimeNs);
  });
  a.start();
  await converged([a, b], { undone: 'first' });
});

test('what is deleted after an orderly end stays deleted', async () => {
  writeFileSync(a.path('short-lived'), 'x');
  await converged([a, b], { 'short-lived': 'x' });
  await a.stop();
  unlinkSync(a.path('short-lived'));
  a.start();
  await converged([a, b], {});
});

test('a file that was placed when the client was killed, and that another device changed meanwhile, is no conflict', async () => {
  await converged([a, b], {});
  writeFileSync(a.path('changing'), 'first');
  await converged([a, b], { changing: 'first' });
  b.gate.kill = () => b.tree()['changing'] === 'second' && b.tree()['new/made'] === 'first';
  writeFileSync(a.path('changing'), 'second');
  mkdirSync(a.path('new'));
  writeFileSync(a.path('new/made'), 'first');
  await eventually(
    () => b.killed,
    () => b.tree(),
  );
  await b.stop();
  delete b.gate.kill;
  await a.client?.untilInSync(new AbortController().signal);
  writeFileSync(a.path('changing'), 'third');
  writeFileSync(a.path('new/made'), 'second');
  await eventually(
    () => a.client?.status().inSync === true,
    () => a.client?.status(),
  );
  b.start();
  await converged([a, b], { changing: 'third', new: '/', 'new/made': 'second' });
});

test('a link and a folder that were placed when the client was killed, and that another device changed meanwhile, are what they became', async () => {
  await converged([a, b], {});
  b.gate.kill = () => b.tree()['link'] !== undefined && b.tree()['folder'] !== undefined;
  mkdirSync(a.path('folder'));
  symlinkSync('first', a.path('link'));
  await eventually(
    () => b.killed,
    () => b.tree(),
  );
  await b.stop();
  delete b.gate.kill;
  await a.client?.untilInSync(new AbortController().signal);
  renameSync(a.path('folder'), a.path('renamed'));
  unlinkSync(a.path('link'));
  symlinkSync('second', a.path('link'));
  await converged([a], { link: '-> second', renamed: '/' });
  b.start();
  await converged([a, b], { link: '-> second', renamed: '/' });
});

function setTime(path: string, mtimeNs: bigint): void {
  const seconds = new Date(Number(mtimeNs / 1_000_000_000n) * 1000).toISOString();
  const fraction = String(mtimeNs % 1_000_000_000n).padStart(9, '0');
  execFileSync('touch', ['-d', seconds.replace('.000Z', `.${fraction}Z`), path]);
}

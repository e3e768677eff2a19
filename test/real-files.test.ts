/** What lies in people's folders and what programs do to it: two devices on a real file system, and at the end the same on both. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import {
  addDevice,
  startCluster,
  treeOf,
  untilIdentical,
  untilInSync,
  type Cluster,
  type Device,
  type Listed,
  type Status,
} from './cluster.ts';
import { atEnd, runJson, until } from './holdfast.ts';

const MIB = 1024 * 1024;
const isRoot = process.getuid?.() === 0;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Pair = { readonly cluster: Cluster; readonly desk: Device; readonly here: string; readonly there: string };

async function settled({ cluster, desk, here, there }: Pair): Promise<ReadonlyMap<string, string>> {
  await untilInSync(cluster.owner, 120_000);
  await untilInSync(desk.at, 120_000);
  return await untilIdentical([here, there], 120_000);
}

/** The entry ids of a device's files by path, as its state has them. */
function entriesOf(home: string): ReadonlyMap<string, string> {
  const state = readdirSync(home, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith('state.db'));
  const sql = new DatabaseSync(join(home, state as string), { readOnly: true });
  try {
    const rows = sql.prepare('SELECT entry, parent, name FROM local').all() as {
      entry: string;
      parent: string;
      name: string;
    }[];
    const byId = new Map(rows.map((row) => [row.entry, row]));
    const pathOf = (row: { parent: string; name: string }): string => {
      const above = byId.get(row.parent);
      return above ? `${pathOf(above)}/${row.name}` : row.name;
    };
    return new Map(rows.map((row) => [pathOf(row), row.entry]));
  } finally {
    sql.close();
  }
}

test('what people and programs do to files', { timeout: 900_000 }, async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  const pair: Pair = { cluster, desk, here: cluster.folder, there: desk.folder };
  for (const [name, work] of Object.entries(CASES))
    await context.test(name, async (inner) => {
      mkdirSync(join(pair.here, 'case'));
      try {
        await work(pair, inner);
      } finally {
        rmSync(join(pair.here, 'case'), { recursive: true });
      }
      await settled(pair);
    });
});

const SWAPS = `
import os, sys
while not os.path.exists(sys.argv[1] + '/stop'):
    os.rename('dir', '.away')
    os.symlink(sys.argv[1], 'dir')
    os.unlink('dir')
    os.rename('.away', 'dir')
`;

/** Writes in the folder that is there now, and nowhere where its path leads through a link: the swaps go across as well. */
function editInside(directory: string, files: number, text: string): void {
  let fd: number;
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return;
  }
  for (let index = 0; index < files; index++) writeFileSync(`/proc/self/fd/${fd}/${index}`, `${text} of ${index}`);
  closeSync(fd);
}

const CASES: Readonly<Record<string, (pair: Pair, context: TestContext) => Promise<void>>> = {
  'a file that grows for seconds arrives in whole moments of it, and whole at the end': async (pair) => {
    const path = join(pair.here, 'case/download');
    const bytes = randomBytes(6 * MIB);
    let written = 0;
    const seen = new Set<number>();
    const look = (): void => {
      const arrived = join(pair.there, 'case/download');
      if (!existsSync(arrived)) return;
      const now = readFileSync(arrived);
      assert.ok(
        now.length <= written && now.equals(bytes.subarray(0, now.length)),
        'a moment of the file, and no mixture',
      );
      seen.add(now.length);
    };
    for (; written < bytes.length; await pause(60)) {
      appendFileSync(path, bytes.subarray(written, written + MIB / 10));
      written = Math.min(bytes.length, written + MIB / 10);
      look();
    }
    const tree = await settled(pair);
    look();
    assert.ok(seen.has(bytes.length));
    assert.ok(tree.has('case/download'));
  },

  'an edit of the same size under the same time is seen': async (pair) => {
    const names = Array.from({ length: 20 }, (_, index) => `case/same-${index}`);
    for (const name of names) writeFileSync(join(pair.here, name), 'before');
    await settled(pair);
    for (const name of names) {
      const { atime, mtime } = statSync(join(pair.here, name));
      writeFileSync(join(pair.here, name), 'after!');
      utimesSync(join(pair.here, name), atime, mtime);
    }
    await until(
      'all edits crossed',
      () => names.map((name) => readFileSync(join(pair.there, name), 'utf8')),
      (texts) => texts.every((text) => text === 'after!'),
      60_000,
    );
  },

  'a new file in the inode of a deleted one is no rename of it': async (pair) => {
    const count = 60;
    for (let index = 0; index < count; index++)
      writeFileSync(join(pair.here, `case/old-${index}`), `old bytes ${index}`);
    await settled(pair);
    const before = entriesOf(pair.desk.at.home);
    let reused = 0;
    for (let index = 0; index < count; index++) {
      const { ino } = statSync(join(pair.here, `case/old-${index}`));
      unlinkSync(join(pair.here, `case/old-${index}`));
      writeFileSync(join(pair.here, `case/new-${index}`), `new bytes ${index}`);
      if (statSync(join(pair.here, `case/new-${index}`)).ino === ino) reused += 1;
    }
    await until(
      'the new ones are there and the old ones gone',
      () => [...treeOf(pair.there).keys()].filter((path) => path.startsWith('case/')),
      (paths) => paths.length === count && paths.every((path) => path.startsWith('case/new-')),
      60_000,
    );
    await settled(pair);
    const after = entriesOf(pair.desk.at.home);
    for (let index = 0; index < count; index++)
      assert.notEqual(
        after.get(`case/new-${index}`),
        before.get(`case/old-${index}`),
        `${reused} inodes were used again`,
      );
  },

  'names of one file are files of their own on the other side': async (pair) => {
    const [one, two] = ['case/one', 'case/two'];
    writeFileSync(join(pair.here, one), 'shared');
    linkSync(join(pair.here, one), join(pair.here, two));
    await settled(pair);
    assert.notEqual(statSync(join(pair.there, one)).ino, statSync(join(pair.there, two)).ino);
    writeFileSync(join(pair.here, two), 'shared, and longer');
    await until(
      'both names changed there',
      () => readFileSync(join(pair.there, one), 'utf8'),
      (text) => text === 'shared, and longer',
      60_000,
    );
    await settled(pair);
    writeFileSync(join(pair.there, one), 'only one');
    await until(
      'one changed here',
      () => readFileSync(join(pair.here, one), 'utf8'),
      (text) => text === 'only one',
      60_000,
    );
    assert.equal(readFileSync(join(pair.here, two), 'utf8'), 'shared, and longer');
    await settled(pair);
  },

  'a file of holes takes little room where it arrives': async (pair) => {
    const file = openSync(join(pair.here, 'case/holes'), 'w');
    ftruncateSync(file, 96 * MIB);
    for (const at of [0, 40 * MIB + 17, 96 * MIB - 100]) writeSync(file, randomBytes(100), 0, 100, at);
    closeSync(file);
    await settled(pair);
    const { size, blocks } = statSync(join(pair.there, 'case/holes'));
    assert.equal(size, 96 * MIB);
    assert.ok(blocks * 512 < 8 * MIB, `it takes ${blocks * 512} bytes there`);
  },

  'a FIFO, a socket and a device are told of once, and hold nothing up': async (pair, context) => {
    execFileSync('mkfifo', [join(pair.here, 'case/fifo')]);
    const socket = createServer().listen(join(pair.here, 'case/socket'));
    await once(socket, 'listening');
    context.after(() => socket.close());
    if (isRoot) execFileSync('mknod', [join(pair.here, 'case/null'), 'c', '1', '3']);
    writeFileSync(join(pair.here, 'case/file'), 'beside them');
    await until('the file crossed', () => existsSync(join(pair.there, 'case/file')), Boolean, 60_000);
    const special = ['case/fifo', 'case/socket', ...(isRoot ? ['case/null'] : [])];
    const { problems } = await until(
      'they are told of',
      () => runJson<Status>(['status'], pair.cluster.owner),
      (status) => special.every((path) => status.problems.some((problem) => problem.path.endsWith(path))),
      60_000,
    );
    for (const path of special) assert.equal(problems.filter((problem) => problem.path.endsWith(path)).length, 1, path);
    assert.deepEqual(readdirSync(join(pair.there, 'case')), ['file']);
    socket.close();
    for (const path of special) rmSync(join(pair.here, path), { force: true });
  },

  'a disk mounted inside is left out with a problem, and deletes nothing when it comes and goes': async (
    pair,
    context,
  ) => {
    if (!isRoot) return context.skip('skipped: mounting needs root');
    const inside = join(pair.here, 'case/inside');
    mkdirSync(inside);
    writeFileSync(join(inside, 'below'), 'of this disk');
    await settled(pair);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'holdfast-test', inside]);
    let mounted = true;
    const unmount = (): void => {
      if (mounted) execFileSync('umount', [inside]);
      mounted = false;
    };
    atEnd(context, unmount);
    writeFileSync(join(inside, 'foreign'), 'of another disk');
    writeFileSync(join(pair.here, 'case/beside'), 'x');
    await until(
      'it is told of',
      () => runJson<Status>(['status'], pair.cluster.owner),
      ({ problems }) => problems.some(({ path }) => path.endsWith('case/inside')),
      90_000,
    );
    await until('what lies beside it crossed', () => existsSync(join(pair.there, 'case/beside')), Boolean, 60_000);
    assert.deepEqual(readdirSync(join(pair.there, 'case/inside')), ['below']);
    unmount();
    writeFileSync(join(inside, 'after'), 'of this disk again');
    appendFileSync(join(pair.here, 'case/beside'), 'y');
    await until(
      'what is made there afterwards crosses',
      () => existsSync(join(pair.there, 'case/inside/after')),
      Boolean,
      120_000,
    );
    await settled(pair);
    assert.deepEqual(readdirSync(join(pair.there, 'case/inside')).sort(), ['after', 'below']);
  },

  'more happens while a device stands still than the system remembers for it': async (pair) => {
    const process = pair.cluster.up.process;
    for (let folder = 0; folder < 20; folder++) mkdirSync(join(pair.here, `case/${folder}`));
    await settled(pair);
    process.kill('SIGSTOP');
    const files = 9000;
    for (let index = 0; index < files; index++) {
      // Made, written, closed, renamed: far more than the 16,384 events that the kernel keeps.
      const path = join(pair.here, `case/${index % 20}/${index}`);
      writeFileSync(`${path}.part`, `content ${index}`);
      renameSync(`${path}.part`, path);
    }
    process.kill('SIGCONT');
    await until(
      'all crossed',
      () => treeOf(pair.there).size,
      (size) => size === 1 + 20 + files,
      180_000,
    );
    await settled(pair);
    const rows = await runJson<Listed[]>(['fetch'], pair.cluster.owner);
    assert.equal(rows.length, files, 'a long listing is whole');
  },

  'a database that is open crosses, and is whole when its program has closed it': async (pair) => {
    const path = join(pair.here, 'case/notes.sqlite');
    const sql = new DatabaseSync(path);
    sql.exec('PRAGMA journal_mode=WAL; CREATE TABLE notes (n INTEGER PRIMARY KEY, text TEXT)');
    for (let index = 0; index < 60; index++) {
      sql.prepare('INSERT INTO notes (text) VALUES (?)').run(randomBytes(300).toString('hex'));
      if (index % 20 === 19) sql.exec('PRAGMA wal_checkpoint');
      await pause(40);
    }
    sql.close();
    await settled(pair);
    assert.deepEqual(
      [...treeOf(pair.there).keys()].filter((name) => name.startsWith('case/')),
      ['case/notes.sqlite'],
    );
    const there = new DatabaseSync(join(pair.there, 'case/notes.sqlite'));
    assert.deepEqual({ ...there.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
    assert.deepEqual({ ...there.prepare('SELECT count(*) AS n FROM notes').get() }, { n: 60 });
    there.close();
    await settled(pair);
  },

  'names of 255 bytes, folders 200 deep, the exec bit and links to nowhere': async (pair) => {
    const long = [`${'n'.repeat(251)}.txt`, 'ß'.repeat(127), '漢'.repeat(85)];
    for (const name of long) writeFileSync(join(pair.here, 'case', name), name);
    const deep = ['case', ...Array.from({ length: 199 }, (_, index) => `d${index}`)].join('/');
    mkdirSync(join(pair.here, deep), { recursive: true });
    writeFileSync(join(pair.here, deep, 'bottom'), 'deep');
    writeFileSync(join(pair.here, 'case/tool'), '#!/bin/sh\n');
    chmodSync(join(pair.here, 'case/tool'), 0o755);
    symlinkSync('nowhere/at/all', join(pair.here, 'case/dangling'));
    symlinkSync('/etc/hostname', join(pair.here, 'case/outside'));
    const tree = await settled(pair);
    assert.ok(tree.has(`${deep}/bottom`));
    assert.ok(tree.get('case/tool')?.startsWith('x '));
    assert.equal(tree.get('case/dangling'), 'link nowhere/at/all');
    assert.equal(tree.get('case/outside'), 'link /etc/hostname');
    for (const name of long) assert.ok(tree.has(`case/${name}`));
    chmodSync(join(pair.there, 'case/tool'), 0o644);
    await until(
      'the exec bit crossed back',
      () => lstatSync(join(pair.here, 'case/tool')).mode & 0o100,
      (bit) => bit === 0,
      60_000,
    );
  },

  'a folder that turns into a link and back while files come down leads nowhere': async (pair) => {
    const outside = join(pair.cluster.directory, 'outside');
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, 'sentinel'), 'untouched');
    mkdirSync(join(pair.here, 'case/dir'));
    for (let index = 0; index < 30; index++) writeFileSync(join(pair.here, `case/dir/${index}`), 'begun');
    await settled(pair);
    // There, the folder is swapped for a link out of the root as fast as a program can; here, what lies in it is edited.
    const swapping = spawn('python3', ['-c', SWAPS, outside], { cwd: join(pair.there, 'case'), stdio: 'ignore' });
    const ended = once(swapping, 'exit');
    for (let round = 0; round < 15; round++) {
      editInside(join(pair.here, 'case/dir'), 30, `round ${round}`);
      await pause(100);
    }
    writeFileSync(join(outside, 'stop'), '');
    assert.deepEqual(await ended, [0, null]);
    assert.deepEqual(readdirSync(outside).sort(), ['sentinel', 'stop'], 'nothing was written outside');
    assert.equal(readFileSync(join(outside, 'sentinel'), 'utf8'), 'untouched');
    rmSync(join(outside, 'stop'));
    const tree = await settled(pair);
    assert.ok(![...tree.keys()].some((path) => path.includes('sentinel')), 'nothing outside was taken in');
  },
};

test('a system that allows few watches, or none: the device says which settings, and looks by itself', {
  timeout: 240_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const allowing = (what: string, count: number) => [
    'unshare',
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    `echo ${count} >/proc/sys/user/max_inotify_${what} && exec "$@"`,
    'sh',
  ];
  try {
    execFileSync('unshare', [...allowing('watches', 8).slice(1), 'true']);
  } catch {
    if (process.env['CI']) throw new Error('no user namespaces here, and on CI nothing is skipped');
    return context.skip('skipped: a limit on watches needs user namespaces');
  }
  for (let index = 0; index < 30; index++) {
    mkdirSync(join(cluster.folder, `folder-${index}`));
    writeFileSync(join(cluster.folder, `folder-${index}/file`), 'begun');
  }
  const few = await addDevice(context, cluster, 'few', () => undefined, allowing('watches', 8));
  const none = await addDevice(context, cluster, 'none', () => undefined, allowing('instances', 0));
  await untilIdentical([cluster.folder, few.folder, none.folder]);
  for (const { sync } of [few, none])
    await until(
      'it names the settings',
      () => sync.stderr(),
      (text) => text.includes('fs.inotify.max_user_watches') && text.includes('fs.inotify.max_user_instances'),
      60_000,
    );
  for (let index = 0; index < 30; index++)
    writeFileSync(join((index % 2 ? few : none).folder, `folder-${index}/file`), `edited ${index}`);
  await until(
    'edits in folders without a watch are found',
    () => Array.from({ length: 30 }, (_, index) => readFileSync(join(cluster.folder, `folder-${index}/file`), 'utf8')),
    (texts) => texts.every((text, index) => text === `edited ${index}`),
    120_000,
  );
});

/**
 * Backups of a server's index, as directories:
 *   index.db      the index by itself: names, trees, journals, wrapped keys, hashes of tokens; no blocks, and not the root key
 *   backup.json   what it is, with its hash; written last, so that without it the backup is none
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { BackupChecked, BackupMade, BackupRestored, IndexBackups } from '#cli/launcher.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { inspectIndexFile, type IndexFile } from '#meta/sqlite/meta-file.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { beginAnew, proveOpens } from '#server/restored-index.ts';
import { isLocked, lockDirectory } from '#world/real/directory-lock.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { syncPath } from './durable.ts';
import { rootKeyFile } from './root-key-file.ts';

const INDEX = 'index.db';
const ABOUT = 'backup.json';
const REQUEST = '.request';
const FORMAT = 'holdfast index backup';
const COMPANIONS = ['', '-wal', '-shm'];

type About = {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly createdMs: number;
  readonly sha256: string;
  readonly bytes: number;
} & IndexFile;

/** What the server does when it is asked: `copy` writes its index into a new file. */
export async function backUpInto(
  directory: string,
  proof: string,
  copy: (path: string) => Promise<void>,
): Promise<BackupMade> {
  const request = join(directory, REQUEST);
  if (!isAbsolute(directory) || !existsSync(request) || readFileSync(request, 'utf8').trim() !== proof)
    throw new HoldfastError(
      'forbidden',
      'the server does not see that directory; make backups on the machine where it runs',
    );
  return writeBackup(directory, copy);
}

async function writeBackup(directory: string, copy: (path: string) => Promise<void>): Promise<BackupMade> {
  const others = readdirSync(directory).filter((name) => name !== REQUEST);
  if (others.length > 0)
    throw new HoldfastError('conflict', 'a backup goes into an empty directory; this one is not empty');
  const index = join(directory, INDEX);
  try {
    await copy(index);
    chmodSync(index, 0o600);
    syncPath(index);
    const file = inspectIndexFile(sqliteOpener, index);
    const { bytes, sha256 } = hashOf(index);
    const about: About = { format: FORMAT, version: 1, createdMs: Date.now(), sha256, bytes, ...file };
    writeDurably(join(directory, ABOUT), `${JSON.stringify(about, null, 2)}\n`);
    return { cluster: file.cluster, files: file.files, bytes };
  } catch (error) {
    for (const name of [INDEX, `${INDEX}-journal`, ABOUT]) rmSync(join(directory, name), { force: true });
    throw error;
  }
}

export const indexBackups: IndexBackups = {
  isServed: (data) => isLocked(serverDirectory(data)),

  create: async (data, directory) => {
    const server = serverDirectory(data);
    if (!existsSync(join(server, 'meta.db'))) throw new HoldfastError('not_found', `${data} holds no server's index`);
    const lock = lockDirectory(server);
    try {
      const meta = await openSqliteMetaStore(sqliteOpener, join(server, 'meta.db'));
      try {
        return await writeBackup(directory, (path) => meta.copyTo(path));
      } finally {
        await meta.close();
      }
    } finally {
      lock.release();
    }
  },

  verify: async (directory, data): Promise<BackupChecked> => {
    const about = check(directory);
    const kit = data === null ? null : await kitOf(rootKeyPath(data));
    if (kit?.cluster === about.cluster) await opensWith(join(directory, INDEX), kit);
    const { cluster, createdMs, files, bytes } = about;
    return { cluster, createdMs, files, bytes, spaces: about.spaces.length, opened: kit?.cluster === cluster };
  },

  restore: async (directory, data, givenKey): Promise<BackupRestored> => {
    const about = check(directory);
    const server = serverDirectory(data);
    mkdirSync(server, { recursive: true, mode: 0o700 });
    const lock = lockDirectory(server);
    try {
      const kit = await keyFor(about, data, givenKey);
      const replaced = await judgeOccupant(server, about);
      const fresh = join(server, 'meta.db.restored');
      for (const suffix of COMPANIONS) rmSync(`${fresh}${suffix}`, { force: true });
      copyFileSync(join(directory, INDEX), fresh);
      chmodSync(fresh, 0o600);
      const incarnation = await renew(fresh, kit, replaced.incarnation);
      syncPath(fresh);
      const aside = replaced.occupied ? putAside(server) : null;
      renameSync(fresh, join(server, 'meta.db'));
      syncPath(server);
      return { cluster: about.cluster, files: about.files, spaces: about.spaces.length, incarnation, aside };
    } finally {
      lock.release();
    }
  },
};

function serverDirectory(data: string): string {
  return join(data, 'server');
}

function rootKeyPath(data: string): string {
  return join(serverDirectory(data), 'root.key');
}

async function kitOf(path: string): Promise<RecoveryKit | null> {
  return (await rootKeyFile(path, nodePrimitives).read())?.kit ?? null;
}

/** Everything about the backup that can be told without the root key. */
function check(directory: string): About {
  const path = join(directory, ABOUT);
  if (!existsSync(directory)) throw new HoldfastError('not_found', `there is no ${directory}`);
  if (!existsSync(path))
    throw new HoldfastError('integrity', `${directory} holds no complete backup: ${ABOUT} is missing`);
  const about = parse(path);
  const index = join(directory, INDEX);
  if (!existsSync(index))
    throw new HoldfastError('integrity', `${directory} holds no complete backup: ${INDEX} is missing`);
  const { bytes, sha256 } = hashOf(index);
  if (bytes !== about.bytes || sha256 !== about.sha256)
    throw new HoldfastError('integrity', `${index} is not what was written: it is damaged, or was changed`);
  const found = inspectIndexFile(sqliteOpener, index);
  if (found.cluster !== about.cluster)
    throw new HoldfastError('integrity', `${path} tells of another cluster than ${INDEX}`);
  return about;
}

function parse(path: string): About {
  let about: Partial<About>;
  try {
    about = JSON.parse(readFileSync(path, 'utf8')) as Partial<About>;
  } catch (error) {
    throw new HoldfastError('integrity', `${path} is damaged`, { cause: error });
  }
  if (about.format !== FORMAT) throw new HoldfastError('integrity', `${path} is not of a backup`);
  if (about.version !== 1)
    throw new HoldfastError('newer_version', `${path} was written by a newer version of Holdfast`);
  return about as About;
}

async function opensWith(index: string, kit: RecoveryKit): Promise<void> {
  // A store is opened for writing: the backup itself is left as it is.
  const copy = join(mkdtempSync(join(tmpdir(), 'holdfast-verify-')), INDEX);
  try {
    copyFileSync(index, copy);
    const meta = await openSqliteMetaStore(sqliteOpener, copy);
    try {
      await proveOpens({ meta, primitives: nodePrimitives, random: realRandom }, kit);
    } finally {
      await meta.close();
    }
  } finally {
    rmSync(join(copy, '..'), { recursive: true, force: true });
  }
}

/** The root key is where it was, or is put there: without it the index is of no use, so that nothing is touched before. */
async function keyFor(about: About, data: string, given: string | null): Promise<RecoveryKit> {
  const path = rootKeyPath(data);
  const here = await kitOf(path);
  const kit = here ?? (given === null ? null : await kitOf(given));
  if (!kit)
    throw new HoldfastError(
      'integrity',
      `${path} is missing: put the root key back there, or name a copy of it with --root-key (the backup does not hold it)`,
    );
  if (kit.cluster !== about.cluster)
    throw new HoldfastError(
      'wrong_cluster',
      `the root key is of cluster ${kit.cluster}, the backup of ${about.cluster}; nothing was changed`,
    );
  if (!here && given !== null) writeDurably(path, readFileSync(given, 'utf8'));
  return kit;
}

/** What is replaced must be of the same cluster, or so damaged that only the root key tells whose it was. */
async function judgeOccupant(
  server: string,
  about: About,
): Promise<{ readonly occupied: boolean; readonly incarnation: number }> {
  const path = join(server, 'meta.db');
  if (!existsSync(path)) {
    const strangers = readdirSync(server).filter((name) => !/^(root\.key|lock|meta\.db|before-restore-)/.test(name));
    if (strangers.length > 0)
      throw new HoldfastError(
        'conflict',
        `${server} is not empty, and no server's directory: it holds ${strangers[0]}`,
      );
    return { occupied: false, incarnation: 0 };
  }
  try {
    // Opened once for writing, so that what a killed server left in its log is in the file.
    sqliteOpener.open(path, { durability: 'full', exclusive: true }).close();
    const { cluster, incarnation } = inspectIndexFile(sqliteOpener, path);
    if (cluster !== about.cluster)
      throw new HoldfastError(
        'wrong_cluster',
        `${server} holds the index of another cluster (${cluster}); nothing was changed`,
      );
    return { occupied: true, incarnation };
  } catch (error) {
    if (!hasCode(error, 'integrity')) throw error;
    return { occupied: true, incarnation: 0 };
  }
}

async function renew(path: string, kit: RecoveryKit, above: number): Promise<number> {
  const meta = await openSqliteMetaStore(sqliteOpener, path);
  try {
    return await beginAnew({ meta, primitives: nodePrimitives, random: realRandom }, kit, above);
  } finally {
    await meta.close();
  }
}

/** Never deleted: who restored the wrong backup can go back. */
function putAside(server: string): string {
  let number = 1;
  while (existsSync(join(server, `before-restore-${number}`))) number++;
  const aside = join(server, `before-restore-${number}`);
  mkdirSync(aside, { mode: 0o700 });
  for (const suffix of COMPANIONS)
    if (existsSync(join(server, `meta.db${suffix}`)))
      renameSync(join(server, `meta.db${suffix}`), join(aside, `meta.db${suffix}`));
  syncPath(aside);
  syncPath(server);
  return aside;
}

function hashOf(path: string): { readonly bytes: number; readonly sha256: string } {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(1024 * 1024);
  const file = openSync(path, 'r');
  try {
    let bytes = 0;
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      hash.update(piece.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    closeSync(file);
  }
}

function writeDurably(path: string, text: string): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  syncPath(temporary);
  renameSync(temporary, path);
  syncPath(join(path, '..'));
}

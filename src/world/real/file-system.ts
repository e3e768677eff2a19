/** `FileSystem` on the operating system's own, by way of node:fs. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  close,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
  type BigIntStats,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError } from '#core/errors.ts';
import type { FileSystem, OpenHow } from '../file-system.ts';
import type { FolderKind, Stat } from '../folder.ts';

const fsyncFile = promisify(fsync);
const closeFile = promisify(close);

const isLinux = process.platform === 'linux';
const isWindows = process.platform === 'win32';

/** Windows knows neither flag; it has no FIFOs in directories, and its symlinks need a privilege. */
const SAFELY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
/** Linux: a descriptor that only stands for the thing; opening it needs no permission to read it. */
const O_PATH = 0x20_0000;
const FLAGS: Readonly<Record<OpenHow, number>> = {
  read: constants.O_RDONLY | SAFELY,
  write: constants.O_RDWR | SAFELY,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | SAFELY,
  list: constants.O_RDONLY | constants.O_DIRECTORY,
  hold: O_PATH | constants.O_NOFOLLOW,
  hold_directory: O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  hold_root: O_PATH | constants.O_DIRECTORY,
};

const EXEC_BIT = 0o100n;
/** What st_blocks counts in. */
const SECTOR_BYTES = 512;
/** A time in seconds is a double: with this it comes back as the same microsecond. */
const HALF_STEP_US = 0.3;

export const realFileSystem: FileSystem = {
  traits: {
    holds: isLinux,
    syncsDirectories: !isWindows,
    linksSymlinks: isLinux,
    windowsNames: isWindows,
  },

  open: (path, how, mode) => openSync(path, FLAGS[how], mode),
  close: closeSync,
  pathOf: (fd) => `/proc/self/fd/${fd}`,
  reopen: (fd) => openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY),

  fstat: (fd) => statOf(fstatSync(fd, { bigint: true })),
  lstat: (path) => {
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? null : statOf(stats);
  },
  stat: (path) => statOf(statSync(path, { bigint: true })),
  modeOf: (fd) => fstatSync(fd).mode & 0o777,
  roomOf: (fd) => fstatSync(fd).blocks * SECTOR_BYTES,

  read: readSync,
  write: writeSync,
  ftruncate: ftruncateSync,
  fchmod: fchmodSync,
  futimes: (fd, mtimeUs) => {
    // Node takes numbers below 0 for the present, but not dates.
    const time = mtimeUs < 0 ? new Date(Math.floor(mtimeUs / 1000)) : (mtimeUs + HALF_STEP_US) / 1e6;
    futimesSync(fd, new Date(), time);
  },
  fsync: fsyncSync,
  fsyncAndClose: (fd) => fsyncFile(fd).finally(() => closeFile(fd)),

  mkdir: (path, mode) => mkdirSync(path, mode),
  mkdirAll,
  rmdir: (path) => rmdirSync(path),
  readdir: (path) => readdirSync(path),
  readdirAsBytes: (path) => readdirSync(path, { encoding: 'buffer' }),
  readlink: (path) => readlinkSync(path, { encoding: 'buffer' }),
  symlink: (target, path) => symlinkSync(target, path),
  link: linkSync,
  rename: renameSync,
  unlink: unlinkSync,
  removeTree: (path) => rmSync(path, { recursive: true, force: true }),
  clone,
  mountsBelow: (path) => (isLinux ? mountsBelow(path) : new Set()),
  spaceOf: (path) => {
    const disk = statfsSync(path);
    return { freeBytes: disk.bavail * disk.bsize, totalBytes: disk.blocks * disk.bsize };
  },
  syncAll: (path) => (isLinux ? syncFileSystem(path) : Promise.resolve(false)),
};

function statOf(stats: BigIntStats): Stat {
  const kind = kindOf(stats);
  return {
    kind,
    dev: stats.dev,
    ino: stats.ino,
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    birthNs: stats.birthtimeNs,
    links: Number(stats.nlink),
    exec: kind === 'file' && (stats.mode & EXEC_BIT) !== 0n,
  };
}

function kindOf(stats: BigIntStats): FolderKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

function mkdirAll(path: string): readonly string[] {
  const whole = resolve(path);
  const first = mkdirSync(whole, { recursive: true });
  if (first === undefined) return [];
  const changed = [whole];
  const above = dirname(first);
  for (let at = whole; at !== above; ) {
    at = dirname(at);
    changed.push(at);
  }
  return changed;
}

function clone(fd: number, to: string, mode: number): void {
  copyFileSync(`/proc/self/fd/${fd}`, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  // The clone has the old file's mode, under which it may not be writable.
  chmodSync(to, mode);
}

function mountsBelow(path: string): ReadonlySet<string> {
  const found = new Set<string>();
  const above = `${realpathSync.native(path)}/`;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    // The fifth field, in which blanks and the like are octal.
    const mounted = line
      .split(' ', 5)[4]
      ?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (mounted?.startsWith(above)) found.add(mounted.slice(above.length));
  }
  return found;
}

/** False where this system has no such program. */
function syncFileSystem(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('sync', ['-f', '--', path], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, 300);
    });
    child.once('error', () => resolve(false));
    child.once('close', (code) => {
      if (code === 0) resolve(true);
      else if (/unrecognized|invalid option|usage/i.test(said)) resolve(false);
      else reject(new HoldfastError('disk_failed', `the disk could not be synced: ${said.trim()}`));
    });
  });
}

/** Which directories a command works on, and which combinations are refused before anything is touched. */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, relative, resolve, isAbsolute, basename } from 'node:path';
import { HoldfastError } from '#core/errors.ts';
import { currentCluster, readIdentities, readIdentity } from './home.ts';
import { usage } from './exit.ts';

/** The data directory that is asked for, by option or environment; null where the default decides. */
function askedData(option: string | undefined): string | null {
  const asked = option ?? process.env['HOLDFAST_DATA'];
  return asked ? resolve(asked) : null;
}

/**
 * The data directory of `up` and `server`. Where none is asked for, `./data` is absent and this home knows a cluster, it refuses: an
 * empty second cluster is never begun silently.
 */
export function dataDirectory(option: string | undefined, home: string): string {
  const asked = askedData(option);
  if (asked !== null) return notEmptied(asked, home);
  const usual = resolve('data');
  if (existsSync(usual)) return notEmptied(usual, home);
  const known = readIdentity(home, currentCluster(home));
  if (known) {
    const where = known.dataDirectory
      ? `whose data is in ${known.dataDirectory}: run with --data ${known.dataDirectory}`
      : `on ${known.addresses[0] ?? 'another machine'}`;
    throw usage(
      `there is no ./data here, and this device already belongs to the Holdfast ${known.cluster.slice(0, 8)}, ${where}; to begin another one, name its directory with --data`,
    );
  }
  return usual;
}

/** Where the server of a cluster that this home knows worked, and nothing of it is left, a disk is not mounted: no reason to begin another cluster. */
function notEmptied(data: string, home: string): string {
  if (['meta.db', 'root.key'].some((name) => existsSync(join(data, 'server', name)))) return data;
  const lost = readIdentities(home).find(({ dataDirectory }) => dataDirectory === data);
  if (!lost) return data;
  throw new HoldfastError(
    'folder_missing',
    `the data of the Holdfast ${lost.cluster.slice(0, 8)} is not in ${data} any more: is its disk mounted? Nothing was changed; to begin another one, name another directory with --data`,
  );
}

export function nodeDataDirectory(option: string | undefined): string {
  return askedData(option) ?? resolve('data');
}

/** FOLDER, absolute; refused where it and the data directory contain one another, or where it is a whole file system. */
export function syncedFolder(folder: string, data: string | null): string {
  const path = realPath(resolve(folder));
  if (dirname(path) === path) throw usage(`${path} is a whole file system; choose a folder in it`);
  if (data !== null) {
    const other = realPath(data);
    if (contains(path, other) || contains(other, path))
      throw usage(
        `the folder ${path} and the data directory ${other} may not contain one another; choose another folder, or another directory with --data`,
      );
  }
  return path;
}

export function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (!way.startsWith('..') && !isAbsolute(way));
}

/** The path without symlinks, as far as it exists. */
function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const parent = dirname(path);
  return parent === path ? path : join(realPath(parent), basename(path));
}

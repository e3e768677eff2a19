/** A whole Holdfast for one test: `up` and as many devices as it asks for, each with a home of its own. */
import { mkdirSync, readdirSync, readFileSync, lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createHash } from 'node:crypto';
import { freePorts, runJson, scratch, service, until, type Service, type Surroundings } from './holdfast.ts';

export type Listed = {
  path: string;
  size: number;
  pool: string;
  copies: number;
  state: string;
  modified: string;
  device?: string;
};
export type Status = {
  inSync: boolean;
  problems: { path: string; code: string; message: string }[];
  copiesAtRisk: number;
};

export type Cluster = {
  readonly directory: string;
  readonly data: string;
  /** The folder that `up` itself syncs. */
  readonly folder: string;
  readonly owner: Surroundings;
  readonly port: number;
  readonly nodePorts: readonly number[];
  up: Service;
  /** Starts `up` again, on the same data and ports; what `more` says goes before what was said at first. */
  restart(more?: readonly string[]): Promise<void>;
};

export async function startCluster(
  context: TestContext,
  options: {
    readonly folder?: boolean;
    readonly env?: Readonly<Record<string, string>>;
    readonly args?: readonly string[];
  } = {},
): Promise<Cluster> {
  const directory = scratch(context);
  const [port, ...nodePorts] = (await freePorts(5)) as [number, ...number[]];
  const data = join(directory, 'data');
  const folder = join(directory, 'drive');
  const owner: Surroundings = {
    home: join(directory, 'home-owner'),
    cwd: directory,
    ...(options.env ? { env: options.env } : {}),
  };
  const args = [
    'up',
    ...(options.folder === false ? [] : [folder]),
    '--data',
    data,
    '--port',
    String(port),
    '--node-ports',
    nodePorts.join(','),
    ...(options.args ?? []),
  ];
  const cluster: Cluster = {
    directory,
    data,
    folder,
    owner,
    port,
    nodePorts,
    up: await service(context, args, owner),
    restart: async (more = []) => {
      cluster.up = await service(context, [...args, ...more], owner);
    },
  };
  return cluster;
}

export type Device = { readonly name: string; readonly folder: string; readonly at: Surroundings; sync: Service };

/** Links a further device, which syncs into a folder of its own until the test ends. */
export async function addDevice(
  context: TestContext,
  cluster: Cluster,
  name: string,
  prepare: (folder: string) => void = () => undefined,
  prefix: readonly string[] = [],
): Promise<Device> {
  const folder = join(cluster.directory, `drive-${name}`);
  mkdirSync(folder, { recursive: true });
  prepare(folder);
  const at: Surroundings = {
    ...cluster.owner,
    home: join(cluster.directory, `home-${name}`),
    env: { ...cluster.owner.env, HOLDFAST_DEVICE_NAME: name },
    prefix,
  };
  const { invite } = await runJson<{ invite: string }>(['invite'], cluster.owner);
  return { name, folder, at, sync: await service(context, ['join', invite, folder], at) };
}

/** What a folder holds, by path: folders, links and hashes of files. `.holdfast` is Holdfast's own. A tree that changes under the reader is read again. */
export function treeOf(folder: string): ReadonlyMap<string, string> {
  for (;;) {
    try {
      return readTree(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

function readTree(folder: string): ReadonlyMap<string, string> {
  const tree = new Map<string, string>();
  const visit = (path: string): void => {
    for (const name of readdirSync(join(folder, path))) {
      if (path === '' && name === '.holdfast') continue;
      const below = path === '' ? name : `${path}/${name}`;
      const stat = lstatSync(join(folder, below), { throwIfNoEntry: false });
      if (!stat) continue;
      if (stat.isDirectory()) {
        tree.set(below, 'folder');
        visit(below);
      } else if (stat.isSymbolicLink()) tree.set(below, `link ${readlinkSync(join(folder, below))}`);
      else if (stat.isFile())
        tree.set(
          below,
          `${stat.mode & 0o100 ? 'x ' : ''}${createHash('sha256')
            .update(readFileSync(join(folder, below)))
            .digest('hex')}`,
        );
    }
  };
  visit('');
  return tree;
}

/** Names of the first differences, for a message. */
export function differences(left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): readonly string[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths
    .filter((path) => left.get(path) !== right.get(path))
    .map((path) => `${path}: ${left.get(path) ?? 'absent'} | ${right.get(path) ?? 'absent'}`);
}

/** Waits until all folders hold the same; the trees are read only when something may have changed. */
export async function untilIdentical(
  folders: readonly string[],
  timeoutMs = 60_000,
): Promise<ReadonlyMap<string, string>> {
  const read = (): readonly ReadonlyMap<string, string>[] => folders.map((folder) => treeOf(folder));
  const trees = await until(
    'the folders are identical',
    read,
    ([first, ...rest]) => rest.every((tree) => differences(first as ReadonlyMap<string, string>, tree).length === 0),
    timeoutMs,
  ).catch((error: unknown) => {
    const [first, ...rest] = read();
    throw new Error(
      `${(error as Error).message.slice(0, 200)}\n${rest
        .flatMap((tree) => differences(first as ReadonlyMap<string, string>, tree))
        .slice(0, 20)
        .join('\n')}`,
    );
  });
  return trees[0] as ReadonlyMap<string, string>;
}

export async function untilInSync(at: Surroundings, timeoutMs = 60_000): Promise<Status> {
  return until(
    'everything is in sync',
    () => runJson<Status>(['status'], at),
    (status) => status.inSync,
    timeoutMs,
  );
}

/** All bytes of all files below a directory. */
export function everyFile(directory: string): readonly { readonly path: string; readonly bytes: Buffer }[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, bytes: readFileSync(path) }));
}

/** A rescue on this machine: finds the storage nodes' directories, lends the rescue a place of its own, and puts a server where it is wanted. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readNodeLog } from '#blocks/disk/read-node-log.ts';
import type { OpenRescue, RescueExported, RescuePlan, RescueRow, RescuedServer } from '#cli/launcher.ts';
import { HoldfastError } from '#core/errors.ts';
import { encodeKit, parseKit } from '#core/root-key.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { exportFiles, type Exported } from '#rescue/export-files.ts';
import { makeServerIndex } from '#rescue/new-server.ts';
import { Rescue, type RescuedFile } from '#rescue/rescue.ts';
import type { NodeDirectory } from '#rescue/salvage.ts';
import { readNodeIdentity } from '#storage/node-identity.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { realDisk } from '#world/real/disk.ts';
import { realNet } from '#world/real/net.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { syncPath } from './durable.ts';
import { exportTarget } from './rescue-target.ts';
import { rootKeyFile } from './root-key-file.ts';

const SEGMENTS = 'segments';

export async function readKit(data: string): Promise<string | null> {
  const held = await rootKeyFile(join(data, 'server', 'root.key'), nodePrimitives).read();
  return held?.confirmed ? encodeKit(nodePrimitives, held.kit) : null;
}

export async function openRescue(plan: RescuePlan): Promise<OpenRescue> {
  const kit = parseKit(nodePrimitives, plan.kit);
  const paths = plan.directories.flatMap(nodeDirectoriesAt);
  const directories = await Promise.all([...new Set(paths)].map(nodeDirectory));
  // Names and keys of everything lie in it for a while: its owner's alone, and gone at the end.
  const own = mkdtempSync(join(tmpdir(), 'holdfast-rescue-'));
  try {
    let bytes = 0;
    for (const { log } of directories) bytes += await log.size();
    plan.onSize(bytes);
    let made = 0;
    const tools = {
      primitives: nodePrimitives,
      sql: sqliteOpener,
      placesPath: join(own, 'places.db'),
      makeStore: () => openSqliteMetaStore(sqliteOpener, join(own, `index-${++made}.db`)),
      signal: plan.signal,
      onProgress: plan.onProgress,
    };
    const rescue = await Rescue.open(tools, kit, directories);
    const index = join(own, `index-${made}.db`);
    return opened(rescue, { own, index, paths: directories.map(({ path }) => path) });
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    throw error;
  }
}

type At = { readonly own: string; readonly index: string; readonly paths: readonly string[] };

function opened(rescue: Rescue, { own, index, paths }: At): OpenRescue {
  const close = async (): Promise<void> => {
    await rescue.close();
    rmSync(own, { recursive: true, force: true });
  };
  return {
    summary: { ...rescue.summary, directories: paths },
    live: async function* () {
      for await (const file of rescue.live()) yield rowOf(file);
    },
    exportTo: async function* (directory, partial) {
      const root = resolve(directory);
      for await (const exported of exportFiles(rescue, exportTarget(root), { partial }))
        yield exportedRow(root, exported);
    },
    makeServer: (data) => makeServer(rescue, index, data),
    close,
  };
}

/** `path` itself, or those directly in it, or in its `nodes`: a data directory of `holdfast up` is named as it is. */
function nodeDirectoriesAt(named: string): readonly string[] {
  const path = resolve(named);
  if (!existsSync(path)) throw new HoldfastError('not_found', `there is no ${path}`);
  const holdsSegments = (at: string): boolean => existsSync(join(at, SEGMENTS));
  if (holdsSegments(path)) return [path];
  const below = [path, join(path, 'nodes')].flatMap((at) => (existsSync(at) ? childrenOf(at) : []));
  const found = below.filter(holdsSegments);
  if (found.length === 0)
    throw new HoldfastError(
      'not_found',
      `${path} is no storage node's directory, and holds none: there are no ${SEGMENTS}`,
    );
  return found;
}

function childrenOf(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [];
  return readdirSync(path)
    .sort()
    .map((name) => join(path, name));
}

async function nodeDirectory(path: string): Promise<NodeDirectory> {
  const disk = realDisk(path);
  const log = readNodeLog({ disk, checksum: realChecksum, primitives: nodePrimitives });
  const identity = await readNodeIdentity(disk, nodePrimitives).catch((error: unknown) => {
    if (error instanceof HoldfastError) return null;
    throw error;
  });
  return { path, disk, log, node: identity?.node ?? null };
}

async function makeServer(rescue: Rescue, index: string, data: string): Promise<RescuedServer> {
  const directory = join(resolve(data), 'server');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  try {
    // A root key may be what was left of the old one.
    const strangers = readdirSync(directory).filter(
      (name) => !/^(root\.key(\.staged)?|lock.*|meta\.db\.rescued.*)$/.test(name),
    );
    if (strangers.length > 0)
      throw new HoldfastError('conflict', `${directory} is not empty: it holds ${strangers[0]}; nothing was changed`);
    const keeper = rootKeyFile(join(directory, 'root.key'), nodePrimitives);
    const held = await keeper.read();
    if (held && held.kit.cluster !== rescue.kit.cluster)
      throw new HoldfastError(
        'wrong_cluster',
        `${directory} holds the root key of another cluster; nothing was changed`,
      );
    const identity = await realNet.makeTlsIdentity(`holdfast ${rescue.kit.cluster.slice(0, 8)}`);
    const made = await makeServerIndex(rescue, realRandom, identity);
    await rescue.close();
    const fresh = join(directory, 'meta.db.rescued');
    rmSync(fresh, { force: true });
    const copy = await openSqliteMetaStore(sqliteOpener, index);
    await copy.copyTo(fresh);
    await copy.close();
    syncPath(fresh);
    // With a key and no index a server does not start: only the rename, which comes last, makes a server of it.
    await keeper.stage(rescue.kit);
    await keeper.confirm();
    renameSync(fresh, join(directory, 'meta.db'));
    syncPath(directory);
    return made;
  } finally {
    lock.release();
  }
}

function rowOf({ space, path, entry, state }: RescuedFile): RescueRow {
  return {
    space: space.name,
    path: path.join('/'),
    kind: entry.kind === 'mount' ? 'folder' : entry.kind,
    size: entry.content?.size ?? 0,
    mtimeUs: entry.mtimeUs,
    state: state.kind,
    why:
      state.kind === 'whole'
        ? null
        : state.kind === 'damaged'
          ? state.why
          : `${state.blocks} of its ${state.manifest.chunks.length} blocks are in none of the directories`,
  };
}

function exportedRow(root: string, exported: Exported): RescueExported {
  const row = rowOf(exported.file);
  if (exported.kind !== 'failed')
    return { ...row, to: join(root, ...exported.at), wasThere: exported.kind === 'was_there' };
  const state = exported.code === 'block_missing' ? 'missing' : 'damaged';
  return { ...row, state, why: exported.why, to: exported.at && join(root, ...exported.at), wasThere: false };
}

/** What must hold at the end of every world: the nodes' disks and the recovery kit bring everything back, without the server. */
import { readNodeLog } from '#blocks/disk/read-node-log.ts';
import { must } from '#core/assert.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { exportFiles, type ExportTarget } from '#rescue/export-files.ts';
import { Rescue } from '#rescue/rescue.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { SimProcess } from '#world/sim/scheduler.ts';
import { primitives } from './machines.ts';
import { difference, sameTree, type Tree, type TreeNode } from './programs.ts';
import type { World } from './world.ts';

/** The server says its last word and is gone; the nodes' power is cut as well. */
export async function checkRescue(world: World, expected: Tree): Promise<void> {
  await world.drive(must(world.server.server, 'the server runs').makeRoot());
  const kit = must(world.server.kit, 'a cluster has a root key');
  for (const machine of [world.server, ...world.nodes]) machine.powerCut();
  const actor = new SimProcess('rescue');
  const directories = world.nodes.map(({ name, node, disk: machineDisk }) => {
    const disk = machineDisk.disk(actor);
    return { path: name, disk, node, log: readNodeLog({ disk, checksum: realChecksum, primitives }) };
  });
  const { signal } = new AbortController();
  const tools = {
    primitives,
    sql: sqliteOpener,
    placesPath: ':memory:',
    makeStore: () => openSqliteMetaStore(sqliteOpener, ':memory:'),
    signal,
    onProgress: () => undefined,
  };
  try {
    const rescue = await world.drive(Rescue.open(tools, kit, directories));
    for (const { space, why } of rescue.summary.faults) world.violate(`rescue: the space ${space}: ${why}`);
    if (rescue.summary.passed.length > 0) world.violate('rescue: the newest root cannot be opened');
    const { tree, lost } = await world.drive(exportTree(rescue));
    for (const path of lost) world.violate(`rescue: ${path} is lost`);
    if (!sameTree(expected, tree))
      world.violate(['a rescue gets something else', ...difference(expected, tree).slice(0, 12)].join('\n  '));
    await world.drive(rescue.close());
    world.coverage.add('rescue: everything is back');
  } catch (error) {
    world.violate(`rescue: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}

async function exportTree(rescue: Rescue): Promise<{ readonly tree: Tree; readonly lost: readonly string[] }> {
  const tree = new Map<string, TreeNode>();
  const lost: string[] = [];
  const at = (path: readonly string[]): string => path.slice(1).join('/');
  const target: ExportTarget = {
    folder: async (path) => void tree.set(at(path), { kind: 'folder' }),
    link: async (path, to) => void tree.set(at(path), { kind: 'symlink', target: to }),
    file: async (path, { chunks, exec }) => {
      const pieces: Uint8Array[] = [];
      for await (const chunk of chunks) pieces.push(chunk);
      tree.set(at(path), { kind: 'file', text: Buffer.concat(pieces).toString('latin1'), exec, inode: at(path) });
      return { at: path, wasThere: false };
    },
  };
  for await (const one of exportFiles(rescue, target, { partial: false }))
    if (one.kind === 'failed') lost.push(`${one.file.path.join('/')} (${one.why})`);
  return { tree, lost };
}

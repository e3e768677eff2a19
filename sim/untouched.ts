/**
 * What nobody touched stays what it is: where one person works alone, a file that this person left alone has the same entry before and after, and with it its
 * history. A disk on which the same was done tells what was left alone: the same inode holds the same bytes at the same path.
 */
import type { Programs, Tree } from './programs.ts';
import { serverTree, type ServerTree } from './quiet.ts';
import type { World } from './world.ts';

export type Before = { readonly tree: Tree; readonly server: ServerTree };

/** When all is quiet, and nobody has begun. */
export async function noteBefore(world: World, shadow: Programs): Promise<Before | null> {
  const server = await serverTree(world);
  return server && { tree: shadow.tree(), server };
}

/** When all is quiet again. */
export async function checkUntouched(world: World, before: Before, tree: Tree): Promise<void> {
  const server = await serverTree(world);
  world.coverage.add('round: what nobody touched');
  for (const [path, node] of tree) {
    const was = before.tree.get(path);
    if (node.kind !== 'file' || was?.kind !== 'file' || was.inode !== node.inode || was.text !== node.text) continue;
    const [then, now] = [before.server.get(path)?.entry, server?.get(path)?.entry];
    if (then !== undefined && now !== undefined && then !== now)
      world.violate(`identity: nobody touched ${path}, and it became another entry`);
  }
}

/**
 * What nobody touched stays what it is: where one person works alone, a file that this person left alone has the same entry before and after, and with it its
 * history. A disk on which the same was done tells what was left alone: the same inode holds the same bytes at the same path, and was never elsewhere.
 */
import { plainFileSystem } from './files.ts';
import { Programs, type Tree } from './programs.ts';
import { serverTree, type ServerTree } from './quiet.ts';
import type { World } from './world.ts';

export type Before = { readonly tree: Tree; readonly server: ServerTree };

/** The disk on which the same is done. */
export class Shadow extends Programs {
  /** Inodes of files that were given another name. */
  readonly renamed = new Set<string>();

  constructor() {
    super(plainFileSystem(), '/sync');
  }

  override rename(from: string, to: string): void {
    const stat = this.files.lstat(this.at(from));
    if (stat?.kind === 'file') this.renamed.add(String(stat.ino));
    super.rename(from, to);
  }
}

/** When all is quiet, and nobody has begun. */
export async function noteBefore(world: World, shadow: Programs): Promise<Before | null> {
  const server = await serverTree(world);
  return server && { tree: shadow.tree(), server };
}

/** When all is quiet again. */
export async function checkUntouched(world: World, before: Before, shadow: Shadow): Promise<void> {
  const server = await serverTree(world);
  world.coverage.add('round: what nobody touched');
  for (const [path, node] of shadow.tree()) {
    const was = before.tree.get(path);
    if (node.kind !== 'file' || was?.kind !== 'file' || was.inode !== node.inode || was.text !== node.text) continue;
    // Two that changed places keep them as their entries, as a save by renaming does: back again, they may have each other's.
    if (shadow.renamed.has(node.inode)) continue;
    const [then, now] = [before.server.get(path)?.entry, server?.get(path)?.entry];
    if (then !== undefined && now !== undefined && then !== now)
      world.violate(`identity: nobody touched ${path}, and it became another entry`);
  }
}

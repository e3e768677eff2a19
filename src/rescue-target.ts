/** Where a rescue writes files: a directory on this machine's disk, in which nothing that is there is ever written over. */
import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream, promises as fs } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '#core/errors.ts';
import { numberedName } from '#core/name.ts';
import type { ExportTarget } from '#rescue/export-files.ts';
import { translateDiskError } from '#world/real/disk-error.ts';

const TEMPORARY = '.holdfast-rescue-';

export function exportTarget(root: string): ExportTarget {
  const known = new Set<string>();

  /** Each step is a folder and no link: what lies behind a link is not below `root`. */
  const folderAt = async (path: readonly string[]): Promise<string> => {
    let at = root;
    for (const name of ['', ...path]) {
      at = join(at, name);
      if (known.has(at)) continue;
      await fs.mkdir(at, { recursive: name === '' }).catch(unlessThere);
      const stat = await fs.lstat(at);
      if (!stat.isDirectory() && name !== '')
        throw new HoldfastError('conflict', `something else than a folder has the name ${JSON.stringify(name)}`);
      known.add(at);
    }
    return at;
  };

  /** The first name that is free, or has the very same bytes. */
  const place = async (temporary: string, folder: string, name: string, digest: string) => {
    const tried = new Set<string>();
    for (let own = name; ; ) {
      const to = join(folder, own);
      if (await moveTo(temporary, to)) return { name: own, wasThere: false };
      if ((await digestOf(to)) === digest) return { name: own, wasThere: true };
      tried.add(own);
      own = numberedName(
        name,
        (count) => ` (rescued${count})`,
        (other) => tried.has(other),
      );
    }
  };

  const guarded = async <T>(path: readonly string[], work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw translateDiskError(error, JSON.stringify(path.join('/')));
    }
  };

  return {
    folder: (path) => guarded(path, async () => void (await folderAt(path))),
    file: (path, { chunks, mtimeUs, exec }) =>
      guarded(path, async () => {
        const folder = await folderAt(path.slice(0, -1));
        const temporary = join(root, `${TEMPORARY}${randomBytes(8).toString('hex')}`);
        try {
          const hash = createHash('sha256');
          const file = await fs.open(temporary, 'wx', exec ? 0o755 : 0o644);
          try {
            for await (const chunk of chunks) {
              hash.update(chunk);
              await file.writeFile(chunk);
            }
            await file.utimes(mtimeUs / 1e6, mtimeUs / 1e6);
            await file.sync();
          } finally {
            await file.close();
          }
          const { name, wasThere } = await place(temporary, folder, path.at(-1) ?? '', hash.digest('hex'));
          return { at: [...path.slice(0, -1), name], wasThere };
        } finally {
          await fs.rm(temporary, { force: true });
        }
      }),
    link: (path, target) =>
      guarded(path, async () => {
        const at = join(await folderAt(path.slice(0, -1)), path.at(-1) ?? '');
        await fs.symlink(target, at).catch(async (error: unknown) => {
          unlessThere(error);
          const stat = await fs.lstat(at);
          if (!stat.isSymbolicLink() || (await fs.readlink(at)) !== target)
            throw new HoldfastError('conflict', 'something else has its name');
        });
      }),
  };
}

/** False where the name is taken. By a link, so that the name never shows half a file; copied where the file system has none. */
async function moveTo(temporary: string, to: string): Promise<boolean> {
  try {
    await fs.link(temporary, to).catch(async (error: unknown) => {
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(String((error as NodeJS.ErrnoException).code)))
        throw error;
      await fs.copyFile(temporary, to, constants.COPYFILE_EXCL);
      const { atime, mtime } = await fs.stat(temporary);
      await fs.utimes(to, atime, mtime);
    });
    return true;
  } catch (error) {
    unlessThere(error);
    return false;
  }
}

function unlessThere(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  return undefined;
}

/** Null where it is no plain file. */
async function digestOf(path: string): Promise<string | null> {
  if (!(await fs.lstat(path)).isFile()) return null;
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

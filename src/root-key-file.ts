/** The root key in a file of its own, readable by its owner alone. */
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { HoldfastError } from '#core/errors.ts';
import type { Primitives } from '#core/primitives.ts';
import { encodeKit, parseKit, type RecoveryKit } from '#core/root-key.ts';
import type { RootKeeper } from '#server/root-keeper.ts';

/** `path` is the confirmed key; beside it, with `.staged`, lies one whose cluster is being made. */
export function rootKeyFile(path: string, primitives: Primitives): RootKeeper {
  const staged = `${path}.staged`;
  return {
    read: async () => {
      const confirmed = readKit(path, primitives);
      if (confirmed) return { kit: confirmed, confirmed: true };
      const waiting = readKit(staged, primitives);
      return waiting && { kit: waiting, confirmed: false };
    },
    stage: async (kit) => writeDurably(staged, encodeKit(primitives, kit)),
    confirm: async () => {
      renameSync(staged, path);
      syncDirectoryOf(path);
    },
  };
}

function readKit(path: string, primitives: Primitives): RecoveryKit | null {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      throw new HoldfastError(
        'integrity',
        `others can read the root key ${path}; it opens everything: allow nobody but its owner (chmod 600) and start again`,
      );
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new HoldfastError('not_permitted_by_disk', `cannot read the root key ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    return parseKit(primitives, text);
  } catch (error) {
    throw new HoldfastError(
      'integrity',
      `the root key ${path} is damaged: ${(error as Error).message}; put a good copy in its place`,
      { cause: error },
    );
  }
}

/** Through a temporary file, so that a torn one never counts. */
function writeDurably(path: string, text: string): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    chmodSync(temporary, 0o600);
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncDirectoryOf(path);
}

function syncDirectoryOf(path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

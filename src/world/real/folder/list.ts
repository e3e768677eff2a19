/** Listing directories and looking at single entries. */
import { fromUtf8 } from '#core/bytes.ts';
import { limits } from '#core/limits.ts';
import { judgeName } from '#core/name.ts';
import type { Failure, ListedEntry, Listing } from '../../folder.ts';
import { failureOf, hasErrno, shown } from './failure.ts';
import type { Directory, Grip } from './grip.ts';
import { OWN } from './path.ts';
import type { FileSystem } from '../../file-system.ts';

/** No device has this number: whatever is mounted here is another one than the root's, also where it says that it is not. */
const MOUNTED_DEV = -1n;

/** What Node puts where bytes are no UTF-8; it may also stand in a name by right. */
const REPLACEMENT = '\ufffd';

export function listDirectory(grip: Grip, path: string): Listing {
  try {
    const directory = grip.directory(path);
    if (directory === null) return { kind: 'missing' };
    return list(grip, directory);
  } catch (error) {
    return failureOf(error, path);
  }
}

/** Null where there is nothing, or where a component of its directory is no directory. */
export function lookAt(grip: Grip, path: string): ListedEntry | null | Failure {
  try {
    const spot = grip.spot(path);
    if (spot === null) return null;
    return entryAt(grip, spot.directory, spot.name);
  } catch (error) {
    return failureOf(error, path);
  }
}

function list(grip: Grip, directory: Directory): Listing {
  const { fs } = grip;
  const stat = directory.stat();
  const { names, unnameable } = namesIn(fs, directory.at(''));
  const entries: ListedEntry[] = [];
  for (const name of names) {
    if (directory === grip.root && name === OWN) continue;
    const fault = judgeName(name);
    if (fault !== null) {
      unnameable.push(shown(name));
      continue;
    }
    const entry = entryAt(grip, directory, name);
    if (entry !== null) entries.push(entry);
  }
  return { kind: 'found', stat, entries, unnameable };
}

function namesIn(fs: FileSystem, path: string): { readonly names: readonly string[]; readonly unnameable: string[] } {
  const names = fs.readdir(path);
  if (!names.some((name) => name.includes(REPLACEMENT))) return { names, unnameable: [] };
  const wellFormed: string[] = [];
  const unnameable: string[] = [];
  for (const bytes of fs.readdirAsBytes(path)) {
    const name = fromUtf8(bytes);
    if (name === null) unnameable.push(escapeBytes(bytes));
    else wellFormed.push(name);
  }
  return { names: wellFormed, unnameable };
}

function entryAt(grip: Grip, directory: Directory, name: string): ListedEntry | null {
  const { fs } = grip;
  const stat = fs.lstat(directory.at(name));
  if (stat !== null && grip.isMounted(directory, name, stat))
    return { name, stat: { ...stat, dev: MOUNTED_DEV }, target: null };
  if (stat?.kind !== 'symlink') return stat === null ? null : { name, stat, target: null };
  const target = targetAt(fs, directory.at(name));
  if (target === 'gone') return null;
  // What no entry can hold is shown as a thing that is never synced, rather than as a link with another text or as nothing.
  return target === null ? { name, stat: { ...stat, kind: 'other' }, target: null } : { name, stat, target };
}

function targetAt(fs: FileSystem, path: string): string | null | 'gone' {
  try {
    const bytes = fs.readlink(path);
    return bytes.length > limits.symlinkTargetBytesMax ? null : fromUtf8(bytes);
  } catch (error) {
    // Replaced since lstat: the next look sees what it has become.
    if (hasErrno(error, 'ENOENT', 'EINVAL')) return 'gone';
    throw error;
  }
}

function escapeBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const printable = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    text += printable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

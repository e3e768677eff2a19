/** Renaming, in the order in which the kernel judges it. */
import type { Inode } from './inode.ts';
import { SystemError } from './system-error.ts';
import { checkLength, type Place } from './walk.ts';
import { changed, tell } from './watch.ts';

export function mayRead(inode: Inode): boolean {
  return (inode.mode & 0o400) !== 0;
}

export function mayWrite(inode: Inode): boolean {
  return (inode.mode & 0o200) !== 0;
}

export function rename(from: Place, to: Place, obeysModes: boolean): void {
  const { folder, entry } = from;
  if (folder === null || to.folder === null) throw failure('EBUSY');
  if (folder.device !== to.folder.device) throw failure('EXDEV');
  checkLength(from, 'rename');
  if (entry === null) throw failure('ENOENT');
  checkLength(to, 'rename');
  const { inode } = entry;
  if (isWithin(to.folder, inode)) throw failure('EINVAL');
  if (to.entry !== null && isWithin(folder, to.entry.inode)) throw failure('ENOTEMPTY');
  if (to.entry?.inode === inode) return respell(from, to);
  if (obeysModes) checkRights(from, to, inode);
  if (to.folder.links < 2) throw failure('ENOENT');
  if (to.entry !== null) checkReplaced(inode, to.entry.inode);
  if (inode.over !== null || (to.entry !== null && to.entry.inode.over !== null)) throw failure('EBUSY');
  if (to.entry?.inode.entries && to.entry.inode.entries.size > 0) throw failure('ENOTEMPTY');
  move(from, to);
}

function checkRights(from: Place, to: Place, inode: Inode): void {
  const folders = [from.folder, to.folder];
  if (folders.some((folder) => folder !== null && !mayWrite(folder))) throw failure('EACCES');
  if (inode.kind === 'folder' && from.folder !== to.folder && !mayWrite(inode)) throw failure('EACCES');
}

function checkReplaced(inode: Inode, replaced: Inode): void {
  if (inode.kind === 'folder' && replaced.kind !== 'folder') throw failure('ENOTDIR');
  if (inode.kind !== 'folder' && replaced.kind === 'folder') throw failure('EISDIR');
}

/** One inode by two names: nothing happens, unless both are one name in another spelling. */
function respell(from: Place, to: Place): void {
  const { entry, folder } = from;
  if (entry === null || folder === null || to.entry !== entry) return;
  const { device } = folder;
  const name = device.names.kept(to.name);
  if (name === entry.name) return;
  move(from, { ...to, entry: null });
}

function move(from: Place, to: Place): void {
  const { entry, folder } = from;
  if (entry === null || folder === null || to.folder === null) return;
  const { inode, name } = entry;
  const { device } = folder;
  const replaced = to.entry?.inode ?? null;
  if (to.entry !== null) device.unbind(to.entry);
  device.rebind(entry, to.folder, to.name);
  const target = { folder: to.folder, name: entry.name, before: replaced, after: inode };
  const source = { folder, name, before: inode, after: null };
  device.record([source, target], inode);
  tell(folder, name);
  changed(entry);
  tell(inode, null);
  if (replaced === null) return;
  tell(replaced, null);
  device.release(replaced);
}

function isWithin(folder: Inode, above: Inode): boolean {
  for (let at = folder; ; at = at.parent ?? at) {
    if (at === above) return true;
    if (at.parent === at || at.parent === null) return false;
  }
}

function failure(
  code: 'EBUSY' | 'EXDEV' | 'ENOENT' | 'EINVAL' | 'ENOTEMPTY' | 'EACCES' | 'ENOTDIR' | 'EISDIR',
): SystemError {
  return new SystemError(code, 'rename');
}

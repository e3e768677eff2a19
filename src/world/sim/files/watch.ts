/** Telling whoever watches a folder what changed in it, or that it went itself. */
import type { Entry, Inode } from './inode.ts';

/** The thing of this name was made, written to, or given other attributes. */
export function changed(entry: Entry | null): void {
  if (entry === null) return;
  if (entry.folder?.listeners) tell(entry.folder, entry.name);
  if (entry.inode.listeners) tell(entry.inode, null);
}

/** `name` null: the thing itself was moved, or lost a name. */
export function tell(inode: Inode, name: string | null): void {
  if (inode.listeners !== null) for (const listener of inode.listeners) listener(name);
}

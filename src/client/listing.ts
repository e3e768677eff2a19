/** Reads a space's live entries page by page, as they were at the head of the first page or later. */
import type { EntryId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { list } from '#protocol/sync.ts';
import type { Device } from './device.ts';
import type { RemoteTree } from './remote-tree.ts';

/** Into the state's `listing`; `finishListing` makes it the remote tree. Rows since the first page's head are applied to it after. */
export async function readListing(device: Device, remote: RemoteTree): Promise<void> {
  const { line, space, signal } = device;
  let after: EntryId | null = null;
  for (;;) {
    const { response, parts } = await line.ask(list, { space, after, limit: limits.listEntriesMax }, signal);
    if (after === null) remote.beginListing(response.head);
    const last: EntryId | null = remote.addToListing(parts[0] ?? new Uint8Array());
    if (response.done || last === null) return;
    after = last;
  }
}

/** Reads a space's live entries page by page, as they were at the head of the first page or later. */
import { HoldfastError } from '#core/errors.ts';
import type { EntryId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { list } from '#protocol/sync.ts';
import type { Device } from './device.ts';
import type { RemoteTree } from './remote-tree.ts';

/**
 * Into the state's `listing`; `finishListing` makes it the remote tree. Rows since the first page's head are applied to it after. `trashed`: with
 * what lies in the trash. A page that holds less than it says, or nothing although more is to come, is a failure, never an empty space.
 */
export async function readListing(device: Device, remote: RemoteTree, trashed: boolean): Promise<void> {
  const { line, space, signal } = device;
  let after: EntryId | null = null;
  for (;;) {
    const { response, parts } = await line.ask(list, { space, after, trashed, limit: limits.listEntriesMax }, signal);
    if (after === null) remote.beginListing(response.head);
    const page: { count: number; last: EntryId | null } = remote.addToListing(parts[0] ?? new Uint8Array());
    if (page.count !== response.count || (page.last === null && !response.done))
      throw new HoldfastError('integrity', 'a page of the listing is not whole; nothing is concluded from it');
    if (response.done) return;
    after = page.last;
  }
}

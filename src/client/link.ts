/** Makes a folder the place of a space on this device. */
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Folder } from '#world/folder.ts';
import type { Random } from '#world/random.ts';
import type { SqlOpener } from '#world/sql.ts';
import { openState } from './state.ts';

/**
 * Makes the folder where it is missing, marks its root, and remembers the mark: if they ever differ, the disk is not the one that was
 * linked. A link that exists already is left as it is. The first sync after it is a union: it deletes nothing on either side.
 * Throws what kept the root from being marked.
 */
export async function linkFolder(options: {
  readonly folder: Folder;
  readonly sql: SqlOpener;
  readonly random: Random;
  readonly statePath: string;
}): Promise<void> {
  const { folder, sql, random, statePath } = options;
  const state = openState(sql, statePath);
  try {
    if (state.meta('root_id') !== null) return;
    const rootId = toHex(random.bytes(16));
    const claimed = await folder.claim(rootId);
    if (claimed.kind === 'failed') throw new HoldfastError(claimed.code, claimed.detail);
    if (claimed.kind === 'missing') throw new HoldfastError('folder_missing', 'the folder cannot be made');
    state.durably(() => {
      state.setMeta('root_id', rootId);
      state.setMeta('install_id', toHex(random.bytes(16)));
    });
  } finally {
    state.close();
  }
}

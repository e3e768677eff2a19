/** A folder whose root is gone says so of every single thing; to the engine that is one fact, and nothing about the things. */
import { HoldfastError } from '#core/errors.ts';
import type { Folder } from '#world/folder.ts';

/** Like `folder`, but `folder_missing` is thrown, whatever it was said of. */
export function guardedFolder(folder: Folder): Folder {
  return {
    root: () => folder.root(),
    claim: (rootId) => folder.claim(rootId),
    list: async (directories) => checked(await folder.list(directories)),
    names: async () => {
      const names = await folder.names();
      check(names);
      return names;
    },
    look: async (paths) => checked(await folder.look(paths)),
    seal: async (files, keys) => checked(await folder.seal(files, keys)),
    openSealing: async (file, keys, previous) => {
      const opened = await folder.openSealing(file, keys, previous);
      check(opened);
      return opened;
    },
    stage: async (id, manifest, contentId, old, keys) => {
      const staged = await folder.stage(id, manifest, contentId, old, keys);
      check(staged);
      return staged;
    },
    stageBlocks: async (id, blocks) => {
      const written = await folder.stageBlocks(id, blocks);
      check(written);
      return written;
    },
    apply: async (steps, keys) => checked(await folder.apply(steps, keys)),
    flush: (alsoAt) => folder.flush(alsoAt),
    sweep: (keepStaged, trashDaysMax) => folder.sweep(keepStaged, trashDaysMax),
    close: () => folder.close(),
  };
}

function checked<Results extends readonly unknown[]>(results: Results): Results {
  for (const result of results) check(result);
  return results;
}

function check(result: unknown): void {
  if (typeof result !== 'object' || result === null || !('kind' in result) || result.kind !== 'failed') return;
  const failure = result as { readonly code?: unknown; readonly detail?: unknown };
  if (failure.code === 'folder_missing') throw new HoldfastError('folder_missing', String(failure.detail));
}

/** Disks that no Linux has, by what they make of names and times. */
import { isDeepStrictEqual } from 'node:util';
import type { Failure, Folder, FolderStep, ListedEntry, Stat, StepOutcome } from '#world/folder.ts';
import type { Watcher } from '#world/watcher.ts';

/** Keeps every name in Unicode's decomposed form, whatever it was given, as HFS+ does; finds it by any. */
export function decomposing(folder: Folder): Folder {
  const paths = (path: string) => path.normalize('NFD');
  const step = (step: FolderStep): FolderStep =>
    'to' in step ? { ...step, from: paths(step.from), to: paths(step.to) } : { ...step, path: paths(step.path) };
  return {
    ...folder,
    names: async () => {
      const names = await folder.names();
      return 'kind' in names ? names : { ...names, forms: 'changed' };
    },
    list: (directories) => folder.list(directories.map(paths)),
    look: (all) => folder.look(all.map(paths)),
    seal: (files, keys) =>
      folder.seal(
        files.map((file) => ({ ...file, path: paths(file.path) })),
        keys,
      ),
    openSealing: (file, keys, previous) => folder.openSealing({ ...file, path: paths(file.path) }, keys, previous),
    stage: (id, manifest, contentId, old, keys) =>
      folder.stage(id, manifest, contentId, old && { ...old, path: paths(old.path) }, keys),
    apply: (steps, keys) => folder.apply(steps.map(step), keys),
  };
}

/** Names a directory as it was asked to watch it, and what happens in it as the disk does. */
export function decomposingWatcher(watcher: Watcher): Watcher {
  const asked = new Map<string, string>();
  return {
    watch: (directory) => {
      asked.set(directory.normalize('NFD'), directory);
      return watcher.watch(directory.normalize('NFD'));
    },
    unwatch: (directory) => watcher.unwatch(directory.normalize('NFD')),
    isWatching: (directory) => watcher.isWatching(directory.normalize('NFD')),
    take: () =>
      watcher
        .take()
        .map((hint) =>
          'directory' in hint ? { ...hint, directory: asked.get(hint.directory) ?? hint.directory } : hint,
        ),
    wait: (signal) => watcher.wait(signal),
    close: () => watcher.close(),
  };
}

/** Refuses to make anything of some names, which its profile does not tell. */
export function refusing(folder: Folder, refuses: (name: string) => boolean): Folder {
  const failure: Failure = {
    kind: 'failed',
    code: 'invalid_name',
    detail: 'the name is too long for this file system',
  };
  const makes = (step: FolderStep): string | null => {
    if (step.kind === 'remove' || step.kind === 'set_exec' || step.kind === 'park') return null;
    if (step.kind === 'place' && step.expect !== null) return null;
    return 'to' in step ? step.to : step.path;
  };
  return {
    ...folder,
    apply: async (steps, keys) => {
      const possible = steps.filter((step) => !(makes(step) ?? '').split('/').some(refuses));
      const done = possible.length === 0 ? [] : await folder.apply(possible, keys);
      const outcomes = new Map(possible.map((step, index) => [step, done[index]]));
      return steps.map((step): StepOutcome => outcomes.get(step) ?? failure);
    },
  };
}

/** Gives a link the number of the one before it, and all links the same times: what a disk of coarse times does within one tick. */
export function reusing(folder: Folder): Folder {
  return showingLinks(folder, (one) => ({
    ...one,
    stat: { ...one.stat, ino: 1n, mtimeNs: 0n, ctimeNs: 0n, birthNs: 0n },
  }));
}

/** Shows other slashes in a target than it was made with. */
export function windowsLinks(folder: Folder): Folder {
  return {
    ...showingLinks(folder, (one) => ({ ...one, target: one.target?.replaceAll('/', '\\') ?? null })),
    names: async () => {
      const names = await folder.names();
      return 'kind' in names ? names : { ...names, refuses: 'windows' };
    },
  };
}

function showingLinks(folder: Folder, show: (link: ListedEntry) => ListedEntry): Folder {
  const seen = (one: ListedEntry) => (one.stat.kind === 'symlink' ? show(one) : one);
  return {
    ...folder,
    list: async (directories) =>
      (await folder.list(directories)).map((listing) =>
        listing.kind === 'found' ? { ...listing, entries: listing.entries.map(seen) } : listing,
      ),
    look: async (paths) => (await folder.look(paths)).map((one) => (one === null || 'kind' in one ? one : seen(one))),
  };
}

/** What a disk keeps of times, as FAT does. */
export const STAMP_MS = 2000;

/** Keeps times by two seconds: what is written within them does not show by its stat where it is as long. */
export function stampingCoarsely(folder: Folder): Folder {
  const kept = (ns: bigint) => ns - (ns % BigInt(STAMP_MS * 1_000_000));
  return showing(folder, (stat) => ({ ...stat, mtimeNs: kept(stat.mtimeNs), ctimeNs: kept(stat.ctimeNs) }));
}

/**
 * Keeps no times but that of writing, and counts its inodes anew each time that it is mounted, as FAT and exFAT do: `numbers` are those that differ from what
 * they really are.
 */
export function countingAnew(folder: Folder, numbers: ReadonlyMap<bigint, bigint>): Folder {
  return showing(folder, (stat) => {
    const ino = numbers.get(stat.ino) ?? stat.ino;
    return { ...stat, ino, ctimeNs: stat.mtimeNs, birthNs: 0n };
  });
}

function showing(folder: Folder, show: (stat: Stat) => Stat): Folder {
  const listed = (one: ListedEntry): ListedEntry => ({ ...one, stat: show(one.stat) });
  /** What the disk compares with: as far as it can tell, it is what was expected. */
  const real = async (path: string, expect: Stat): Promise<Stat> => {
    const [there] = await folder.look([path]);
    const isExpected = (stat: Stat) =>
      expect.kind === 'folder'
        ? stat.kind === 'folder' && stat.ino === expect.ino && stat.birthNs === expect.birthNs
        : isDeepStrictEqual(stat, expect);
    return there && 'stat' in there && isExpected(show(there.stat)) ? there.stat : expect;
  };
  const step = async (step: FolderStep): Promise<FolderStep> => {
    const path = 'to' in step ? step.to : step.path;
    const within =
      'within' in step && step.within ? await real(path.slice(0, path.lastIndexOf('/')), step.within) : undefined;
    const made = within ? { ...step, within } : step;
    return 'expect' in made && made.expect !== null
      ? { ...made, expect: await real('from' in made ? made.from : made.path, made.expect) }
      : made;
  };
  return {
    ...folder,
    root: async () => {
      const root = await folder.root();
      return root.kind === 'found' ? { ...root, stat: show(root.stat) } : root;
    },
    list: async (directories) =>
      (await folder.list(directories)).map((listing) =>
        listing.kind === 'found'
          ? { ...listing, stat: show(listing.stat), entries: listing.entries.map(listed) }
          : listing,
      ),
    look: async (paths) => (await folder.look(paths)).map((one) => (one === null || 'kind' in one ? one : listed(one))),
    seal: async (files, keys) => {
      const expected = files.map(async (file) => ({ ...file, expect: await real(file.path, file.expect) }));
      const sealed = await folder.seal(await Promise.all(expected), keys);
      return sealed.map((one) => (one.kind === 'sealed' ? { ...one, stat: show(one.stat) } : one));
    },
    // One at a time: what a step expects is what the one before it left.
    apply: async (steps, keys) => {
      const outcomes: StepOutcome[] = [];
      for (const one of steps) {
        const [outcome] = await folder.apply([await step(one)], keys);
        if (outcome)
          outcomes.push(outcome.kind === 'done' && outcome.stat ? { ...outcome, stat: show(outcome.stat) } : outcome);
      }
      return outcomes;
    },
  };
}

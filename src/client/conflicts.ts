/** After a conflict's copy was committed from the old path: its second name on the disk, so that no bytes cross the network again. */
import type { Device } from './device.ts';
import type { Observer } from './observer.ts';
import type { Sent } from './sent.ts';
import { isRacyPlaced, isUnmoved, parseStat } from './stat-text.ts';

export type Copy = Extract<Sent, { kind: 'copy' }>;

/** Where it fails the copy comes down like any other file. */
export async function linkCopies(device: Device, observer: Observer, copies: readonly Copy[]): Promise<void> {
  const { folder, keys, trees, state, unflushed } = device;
  const steps = copies.flatMap((copy) => {
    const from = trees.localPath(copy.of);
    const to = trees.pathIn(copy.entry.parent, copy.entry.name);
    const expect = parseStat(copy.read.stat);
    const within = trees.folderStat(copy.entry.parent);
    return from === null || to === null ? [] : [{ copy, from, to, expect, within }];
  });
  if (steps.length === 0) return;
  const outcomes = await folder.apply(
    steps.map(({ from, to, expect, within }) => ({ kind: 'link', from, expect, to, within })),
    keys(),
  );
  await folder.flush();
  const now = await folder.look(steps.map(({ from }) => from));
  state.transaction(() => {
    steps.forEach(({ copy, from, to, expect }, index) => {
      const outcome = outcomes[index];
      const remote = trees.remote(copy.entry.entry);
      if (outcome?.kind === 'done' && outcome.stat && remote) {
        const { entry, parent, name, kind, target } = remote;
        const contentId = remote.content?.contentId ?? null;
        const { stat } = outcome;
        trees.putLocal(
          { entry, parent, name, alias: null, kind, contentId, target, exec: trees.isExec(stat, remote.exec) },
          stat,
          isRacyPlaced(stat),
        );
        trees.putSynced(remote);
        // The first name's entry may be told to the disk, and crossed out, when other bytes stand there.
        unflushed.note(entry);
      } else observer.lookAt(to);
      // The second name moved the first one's times and number of links, nothing else.
      const there = now[index] ?? null;
      if (there && 'stat' in there && isUnmoved(expect, there.stat)) trees.setLocalStat(copy.of, there.stat);
      else observer.lookAt(from);
    });
  });
}

/**
 * `Folder` on the caller's own thread, where somebody else decides when each step of it happens: the world of a simulation. Like the worker it
 * does one call at a time, in the order of asking, but for what a worker too lets others pass: the slices of `stage`, and the waiting of `flush`.
 */
import type { Folder, Sealing } from '../../folder.ts';
import type { Slices } from './slices.ts';
import type { FolderWork } from './work.ts';

/** Both may never resolve: then the process that the folder belongs to is no more. */
export type Turns = {
  /** Has `effect` at a time of its choosing, and resolves with what came of it. */
  step<T>(name: string, effect: () => T): Promise<T>;
  sleep(ms: number): Promise<void>;
};

export function inlineFolder(work: FolderWork, turns: Turns): Folder {
  const queue = new Queue();
  const call = <T>(name: string, effect: () => T): Promise<T> => queue.add(() => turns.step(name, effect));
  const inOneCall = <T>(name: string, slices: () => Slices<T>): Promise<T> =>
    queue.add(() => finished(turns, name, slices(), (slice) => slice()));
  return {
    root: () => call('root', () => work.root()),
    claim: (rootId) => call('claim', () => work.claim(rootId)),
    list: (directories) => call('list', () => work.list(directories)),
    names: () => call('names', () => work.names()),
    look: (paths) => call('look', () => work.look(paths)),
    seal: (files, keys) => inOneCall('seal', () => work.sealInTurns(files, keys)),
    openSealing: async (file, keys, previous) => {
      const opened = await inOneCall('open_sealing', () => work.openSealingInTurns(file, keys, previous));
      return opened.kind === 'open' ? sealingOf(work, opened.sealing, call) : opened;
    },
    stage: (...input) => finished(turns, 'stage', work.stage(...input), (slice) => queue.add(slice)),
    stageBlocks: (id, blocks) => call('stage_blocks', () => work.stageBlocks(id, blocks)),
    apply: (steps, keys) => inOneCall('apply', () => work.applyInTurns(steps, keys)),
    flush: async (alsoAt = []) => {
      const flushing = await call('flush', () => begun(work.flush(alsoAt)));
      await flushing.ended;
    },
    sweep: (keepStaged, trashDaysMax) => call('sweep', () => work.sweep(keepStaged, trashDaysMax)),
    close: () => call('close', () => work.close()),
  };
}

function sealingOf(work: FolderWork, sealing: number, call: <T>(name: string, effect: () => T) => Promise<T>): Sealing {
  return {
    next: async (signal) => {
      signal.throwIfAborted();
      return await call('next_of_sealing', () => work.nextOfSealing(sealing));
    },
    close: () => call('close_sealing', () => work.closeSealing(sealing)),
  };
}

/** In a box, so that it is not awaited with the step; and no error of it is lost on somebody who died meanwhile. */
function begun(ended: Promise<void>): { readonly ended: Promise<void> } {
  ended.catch(() => undefined);
  return { ended };
}

/** One step for each slice. */
async function finished<T>(
  turns: Turns,
  name: string,
  slices: Slices<T>,
  inTurn: (
    slice: () => Promise<IteratorResult<number | undefined, T>>,
  ) => Promise<IteratorResult<number | undefined, T>>,
): Promise<T> {
  for (;;) {
    const slice = await inTurn(() => turns.step(name, () => slices.next()));
    if (slice.done) return slice.value;
    if (slice.value !== undefined) await turns.sleep(slice.value);
  }
}

/** One at a time. Work that never ends keeps all that comes later waiting, as a process that was stopped does. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  add<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

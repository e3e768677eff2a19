/** The worker's side of a folder: takes a call at a time off its port; long ones let others pass between their slices. */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { transferable, type Input, type Reply, type Request } from './messages.ts';
import { openFolderWork } from './open-work.ts';
import type { Slices } from './slices.ts';

const port = must(parentPort, 'this module runs in a worker');
const { rootPath } = workerData as { readonly rootPath: string };
const work = openFolderWork(rootPath);

port.on('message', (request: Request) => {
  answer(request).catch((error: unknown) => {
    // A defect ends the worker: its proxy hears of it and rejects all that is under way.
    setImmediate(() => {
      throw error;
    });
  });
});

async function answer(request: Request): Promise<void> {
  try {
    const output = await outputOf(request);
    const reply: Reply = { call: request.call, kind: 'answer', output };
    port.postMessage(reply, transferable(request.verb, output));
    if (request.verb === 'close') port.close();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const reply: Reply = { call: request.call, kind: 'error', code: error.code, detail: error.message };
    port.postMessage(reply);
  }
}

function outputOf(request: Request): unknown {
  if (request.verb === 'stage') return inSlices(work.stage(...(request.input as Input<'stage'>)));
  const verb = work[request.verb] as (...input: readonly unknown[]) => unknown;
  return verb.apply(work, [...request.input]);
}

function inSlices<T>(slices: Slices<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const step = (): void => {
      try {
        const { done, value } = slices.next();
        if (done) resolve(value);
        else setImmediate(step);
      } catch (error) {
        reject(error);
      }
    };
    step();
  });
}

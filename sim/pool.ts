/** Seeds over as many threads as there are cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SeedOutcome } from './seed.ts';
import type { SeedOptions } from './script.ts';

/** What ended worlds leave behind is given back with the thread. */
const SEEDS_PER_THREAD = 400;

/** `next` gives the next seed, or null. Outcomes come in any order. */
export async function runSeeds(
  next: () => SeedOptions | null,
  onOutcome: (outcome: SeedOutcome) => void,
  threads = availableParallelism(),
): Promise<void> {
  await Promise.all(Array.from({ length: threads }, () => runThread(next, onOutcome)));
}

async function runThread(next: () => SeedOptions | null, onOutcome: (outcome: SeedOutcome) => void): Promise<void> {
  for (let options = next(); options !== null; ) {
    const worker = new Worker(new URL('./worker.ts', import.meta.url));
    for (let count = 0; options !== null && count < SEEDS_PER_THREAD; count++) {
      onOutcome(await ask(worker, options));
      options = next();
    }
    await worker.terminate();
  }
}

function ask(worker: Worker, options: SeedOptions): Promise<SeedOutcome> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (outcome: SeedOutcome) => {
      worker.off('error', reject);
      resolve(outcome);
    });
    worker.postMessage(options);
  });
}

/** Seeds over as many threads as there are cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SeedOutcome } from './seed.ts';
import type { SeedOptions } from './script.ts';

/** What ended worlds leave behind is given back with the thread. */
const SEEDS_PER_THREAD = 400;
/** A seed takes one to five seconds; one that takes so long turns in a circle somewhere within one step, where the scheduler cannot count. */
const SEED_MS_MAX = 120_000;

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
    let answers = true;
    for (let count = 0; options !== null && answers && count < SEEDS_PER_THREAD; count++) {
      const outcome = await ask(worker, options);
      answers = outcome !== null;
      onOutcome(outcome ?? endless(options));
      options = next();
    }
    await worker.terminate();
  }
}

/** null: it does not end. */
function ask(worker: Worker, options: SeedOptions): Promise<SeedOutcome | null> {
  return new Promise((resolve, reject) => {
    // Nobody waits for it where the thread failed.
    const timer = setTimeout(() => resolve(null), SEED_MS_MAX).unref();
    worker.once('error', reject);
    worker.once('message', (outcome: SeedOutcome) => {
      clearTimeout(timer);
      worker.off('error', reject);
      resolve(outcome);
    });
    worker.postMessage(options);
  });
}

function endless({ seed }: SeedOptions): SeedOutcome {
  const violations = [`it did not end within ${SEED_MS_MAX / 1000} s`];
  return { seed, violations, hash: '', tasks: 0, virtualMs: 0, counts: {}, lines: [] };
}

/** Runs seeds on a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { must } from '#core/assert.ts';
import { runSeed } from './seed.ts';
import type { SeedOptions } from './script.ts';

const port = must(parentPort, 'this module runs in a worker');

port.on('message', (options: SeedOptions) => {
  runSeed(options).then(
    (outcome) => port.postMessage(outcome),
    (error: unknown) => {
      setImmediate(() => {
        throw error;
      });
    },
  );
});

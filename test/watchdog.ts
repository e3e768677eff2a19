/**
 * Loaded before each file of tests: ends one that does not end by itself, after a time that none takes. What a failed test left running would keep
 * it, and everybody who waits for the result, for ever. (The runner's own `--test-force-exit` ends files before tests that they add late have run.)
 */
import { isMainThread } from 'node:worker_threads';

const MINUTES = 25;

if (isMainThread && process.env['NODE_TEST_CONTEXT'] !== undefined)
  setTimeout(() => {
    console.error(`this file of tests is still running after ${MINUTES} minutes, and is ended`);
    process.exit(1);
  }, MINUTES * 60_000).unref();

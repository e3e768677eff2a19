/** Runs the units that it is told, one at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { runUnit, type UnitResult } from './units.ts';

export type Told = { readonly unit: number; readonly result: UnitResult };

const { seed } = workerData as { readonly seed: number };

parentPort?.on('message', (unit: number) => {
  parentPort?.postMessage({ unit, result: runUnit(unit, seed) } satisfies Told);
});

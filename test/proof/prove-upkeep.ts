/**
 * `npm run prove:upkeep -- --passes N`: everything is moved from pool to pool N times, with a kill of the server before and after each of the steps. A finished
 * run is a line in docs/proof/upkeep.jsonl. `--passes 0` prints what adds up.
 */
import { UPKEEP_POINTS } from './points.ts';
import { addResult, inDirectory, numberOption, printTotals, readResults, totals } from './results.ts';
import { runUpkeep } from './upkeep.ts';

const passes = numberOption('passes', 2);
if (passes > 0) {
  const started = performance.now();
  await inDirectory(async (ending, directory) => {
    const each = Array.from({ length: passes }, () => UPKEEP_POINTS);
    const counts = await runUpkeep(ending, directory, each);
    addResult('upkeep', 0, { ...counts, seconds: Math.round((performance.now() - started) / 1000) });
  });
}
printTotals(totals(readResults('upkeep')));

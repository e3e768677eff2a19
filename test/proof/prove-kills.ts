/**
 * `npm run prove:kills -- --cycles N`: N kill cycles in runs of 50, each with a whole system of its own and each checked to the last file at its end.
 * A finished run is a line in docs/proof/kills.jsonl; the command may be stopped at any time and given again. `--cycles 0` prints what adds up.
 */
import { randomBytes } from 'node:crypto';
import { runKills } from './kills.ts';
import { addResult, inDirectory, numberOption, printTotals, readResults, totals } from './results.ts';

const RUN_CYCLES = 50;

for (let left = numberOption('cycles', RUN_CYCLES); left > 0; left -= RUN_CYCLES) {
  const seed = randomBytes(4).readUInt32BE();
  const started = performance.now();
  console.log(`seed ${seed}: ${Math.min(left, RUN_CYCLES)} cycles`);
  await inDirectory(async (ending, directory) => {
    const counts = await runKills(ending, { directory, cycles: Math.min(left, RUN_CYCLES), seed });
    addResult('kills', seed, { ...counts, seconds: Math.round((performance.now() - started) / 1000) });
  });
}
printTotals(totals(readResults('kills')));

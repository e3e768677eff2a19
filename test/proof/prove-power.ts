/**
 * `npm run prove:power -- --cuts N`, as root: N power cuts in runs of 20, each with a whole system of its own. A finished run is a line in
 * docs/proof/power.jsonl; the command may be stopped at any time and given again. `--cuts 0` prints what adds up.
 */
import { randomBytes } from 'node:crypto';
import { runCuts } from './power.ts';
import { addResult, inDirectory, numberOption, printTotals, readResults, totals } from './results.ts';

const RUN_CUTS = 20;

for (let left = numberOption('cuts', RUN_CUTS); left > 0; left -= RUN_CUTS) {
  const seed = randomBytes(4).readUInt32BE();
  const started = performance.now();
  console.log(`seed ${seed}: ${Math.min(left, RUN_CUTS)} power cuts`);
  await inDirectory(async (ending, directory) => {
    const counts = await runCuts(ending, { directory, cuts: Math.min(left, RUN_CUTS), seed });
    addResult('power', seed, { ...counts, seconds: Math.round((performance.now() - started) / 1000) });
  });
}
printTotals(totals(readResults('power')));

/**
 * `npm run sim:plants`: plants each bug in turn and counts the seeds until it is caught, over several starts. Exits with 1 where one is not
 * caught. `--only NAME`, `--starts N`, `--seeds N`.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plants } from './plants.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    starts: { type: 'string', default: '3' },
    seeds: { type: 'string', default: '60' },
  },
});

const starts = Number(values.starts);
const loader = fileURLToPath(new URL('./plant-loader.ts', import.meta.url));
const hunter = fileURLToPath(new URL('./plant-hunt.ts', import.meta.url));
let missed = 0;

console.log('| planted bug | seeds until caught | what gave it away |\n| --- | --- | --- |');
for (const { name } of plants) {
  if (values.only !== undefined && values.only !== name) continue;
  const counts: number[] = [];
  let how = '';
  for (let start = 0; start < starts; start++) {
    const first = 1 + start * 10_000;
    const run = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--import', loader, hunter, String(first), values.seeds],
      {
        env: { ...process.env, HOLDFAST_PLANT: name },
        encoding: 'utf8',
      },
    );
    const found = JSON.parse(run.stdout.trim().split('\n').at(-1) || '{}') as { seeds?: number; how?: string };
    counts.push(found.seeds ?? Number.POSITIVE_INFINITY);
    how ||= found.how ?? '';
  }
  counts.sort((left, right) => left - right);
  const median = counts[Math.floor(counts.length / 2)] as number;
  if (median === Number.POSITIVE_INFINITY) missed++;
  console.log(
    `| ${name} | ${median === Number.POSITIVE_INFINITY ? `not in ${values.seeds}` : median} (${counts.join(', ')}) | ${how} |`,
  );
}
console.log(`\n${availableParallelism()} cores; ${starts} starts of ${values.seeds} seeds at most`);
if (missed > 0) process.exitCode = 1;

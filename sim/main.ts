/**
 * The simulator's command: `npm run sim -- --seeds N` runs the next N seeds on this code and adds up (`--publish`: in `docs/proof/seeds`); `--seed S` replays one
 * and says what happened.
 * Exits with 1 where an invariant was violated.
 */
import { parseArgs } from 'node:util';
import { runSeeds } from './pool.ts';
import type { Counts } from './coverage.ts';
import { lacking, PUBLISHED_SEEDS, required, SEEN_AT_LEAST } from './required.ts';
import { openResults } from './results.ts';
import { runSeed, type SeedOutcome } from './seed.ts';
import { USUAL, type SeedOptions } from './script.ts';
import { shrink } from './shrink.ts';
import { writeRegression } from './regressions.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    from: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    trace: { type: 'string', default: '60' },
    threads: { type: 'string' },
    coverage: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    operations: { type: 'string' },
    faults: { type: 'string' },
    rounds: { type: 'string' },
  },
});

const shape = {
  rounds: Number(values.rounds ?? USUAL.rounds),
  operations: Number(values.operations ?? USUAL.operations),
  faults: Number(values.faults ?? USUAL.faults),
};

if (values.seed !== undefined) await replay({ ...shape, seed: values.seed });
else await runMany();

async function replay(options: SeedOptions): Promise<void> {
  const startedMs = performance.now();
  let outcome = await runSeed(options, Number(values.trace));
  const tookMs = Math.round(performance.now() - startedMs);
  let shown = options;
  if (outcome.violations.length > 0 && values.shrink) {
    const first = kindOf(outcome);
    const shrunk = await shrink(
      options,
      (other) => kindOf(other) === first,
      400,
      (left) => process.stderr.write(`\r${left} pieces left `),
    );
    process.stderr.write('\n');
    shown = shrunk.options;
    outcome = await runSeed(shown, Number(values.trace));
    if (values.keep) console.log(`kept as ${writeRegression(shown, outcome)}`);
  }
  for (const line of outcome.lines) console.log(line);
  const again = await runSeed(shown);
  console.log(
    `seed ${options.seed}: hash ${outcome.hash}, ${outcome.tasks} steps, ${Math.round(outcome.virtualMs / 1000)} s of its own time, ${tookMs} ms`,
  );
  console.log(
    again.hash === outcome.hash ? 'the same history twice' : `ANOTHER HISTORY the second time: ${again.hash}`,
  );
  for (const violation of outcome.violations) console.log(`VIOLATION ${violation}`);
  if (shown.without) console.log(`left out: ${JSON.stringify(shown.without)}`);
  if (outcome.violations.length > 0 || again.hash !== outcome.hash) process.exitCode = 1;
}

/** What a failure is about, without its names and numbers. */
function kindOf(outcome: SeedOutcome): string {
  return (outcome.violations[0] ?? '')
    .split('\n')[0]!
    .replace(/"[^"]*"|[0-9]+/g, '')
    .slice(0, 60);
}

async function runMany(): Promise<void> {
  const results = openResults(shape, values.publish);
  const count = Number(values.seeds ?? (values.minutes === undefined ? 100 : Number.POSITIVE_INFINITY));
  const startedMs = performance.now();
  const endMs = startedMs + Number(values.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  let at = values.from === undefined ? results.nextSeed : Number(values.from);
  const last = at + count;
  let done = 0;
  let interrupted = false;
  process.once('SIGINT', () => {
    interrupted = true;
  });
  const next = (): SeedOptions | null => {
    if (at >= last || interrupted || performance.now() > endMs) return null;
    return { ...shape, seed: String(at++) };
  };
  const onOutcome = (outcome: SeedOutcome) => {
    results.add(outcome);
    done++;
    for (const violation of outcome.violations) {
      console.log(`seed ${outcome.seed}: ${violation}`);
      console.log(`  replay: npm run sim -- --seed ${outcome.seed}${shapeFlags()} [--shrink --keep]`);
    }
    if (done % 200 === 0) {
      results.save();
      console.log(`${done} seeds, ${results.violations} violated, ${rate(done, startedMs)} a second`);
    }
  };
  await runSeeds(next, onOutcome, values.threads === undefined ? undefined : Number(values.threads));
  results.save();
  console.log(
    `${done} seeds in ${Math.round((performance.now() - startedMs) / 1000)} s (${rate(done, startedMs)} a second)`,
  );
  console.log(results.summary());
  if (results.violations > 0) process.exitCode = 1;
  judgeCoverage(results);
}

/** A run to be published has seen everything often enough, or is none. */
function judgeCoverage({ seeds, counts }: { readonly seeds: number; readonly counts: Counts }): void {
  if (seeds < PUBLISHED_SEEDS && !values.coverage) return;
  const rare = lacking(counts);
  const count = required().length;
  console.log(`seen ${SEEN_AT_LEAST} times and more: ${count - rare.length} of ${count}`);
  for (const line of rare) console.log(`  too rare: ${line}`);
  if (rare.length > 0) process.exitCode = 1;
}

function rate(done: number, startedMs: number): string {
  return (done / ((performance.now() - startedMs) / 1000)).toFixed(2);
}

function shapeFlags(): string {
  return (['rounds', 'operations', 'faults'] as const)
    .filter((name) => shape[name] !== USUAL[name])
    .map((name) => ` --${name} ${shape[name]}`)
    .join('');
}

/** Proves the planner over millions of cases; `npm run prove:planner -- --help` says how. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { addUnit, digestOfCode, inOneLine, readTotals, writeTotals, type Totals } from './totals.ts';
import { pairUnitCount, type UnitResult } from './units.ts';
import type { Told } from './worker.ts';

const help = `npm run prove:planner -- [options]    plans and commits over small trees: every pair of changes, then cases by chance

  --cases N      go on until so many were run in all (default 100000)
  --minutes M    stop after M minutes, to be gone on with later
  --seed S       of the cases by chance (default 1)
  --workers N    threads (default: as many as there are cores)
  --totals FILE  where runs add up (default build/prove-planner.json)

Runs of the same code and seed add up. A case is one world of devices and a server that was brought to quiet and judged.
Ends with 1 where anything was violated, and says what.
`;

type Options = {
  readonly cases: number;
  readonly untilMs: number;
  readonly seed: number;
  readonly workers: number;
  readonly totals: string;
};

function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cases: { type: 'string', default: '100000' },
      minutes: { type: 'string', default: 'Infinity' },
      seed: { type: 'string', default: '1' },
      workers: { type: 'string', default: String(availableParallelism()) },
      totals: { type: 'string', default: join(import.meta.dirname, '../../build/prove-planner.json') },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const number = (name: 'cases' | 'minutes' | 'seed' | 'workers'): number => {
    const value = Number(values[name]);
    if (Number.isNaN(value) || value < 0) throw new Error(`--${name} takes a number, not ${values[name]}`);
    return value;
  };
  return {
    cases: number('cases'),
    untilMs: Date.now() + number('minutes') * 60_000,
    seed: number('seed'),
    workers: Math.max(1, number('workers')),
    totals: values.totals,
  };
}

/** Units end in any order and count in theirs: what was run ahead when a run stops is run again by the next one. */
class Row {
  readonly #totals: Totals;
  readonly #options: Options;
  readonly #ahead = new Map<number, UnitResult>();
  readonly #secondsBefore: number;
  readonly #startedMs = Date.now();
  #next: number;
  #savedMs = Date.now();

  constructor(totals: Totals, options: Options) {
    this.#totals = totals;
    this.#options = options;
    this.#secondsBefore = totals.seconds;
    this.#next = totals.units;
  }

  /** Null where nothing more is to be begun. */
  take(): number | null {
    return this.#totals.cases >= this.#options.cases || Date.now() >= this.#options.untilMs ? null : this.#next++;
  }

  put(unit: number, result: UnitResult): void {
    for (const { what, why } of result.violations) console.error(`${what}\n${why}\n`);
    this.#ahead.set(unit, result);
    for (let next = this.#ahead.get(this.#totals.units); next; next = this.#ahead.get(this.#totals.units)) {
      this.#ahead.delete(this.#totals.units);
      addUnit(this.#totals, next);
    }
    if (Date.now() - this.#savedMs > 30_000) {
      this.save();
      console.error(inOneLine(this.#totals));
    }
  }

  save(): void {
    this.#totals.seconds = this.#secondsBefore + (Date.now() - this.#startedMs) / 1000;
    writeTotals(this.#options.totals, this.#totals);
    this.#savedMs = Date.now();
  }
}

function runWorker(row: Row, seed: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { seed } });
    const goOn = (): void => {
      const unit = row.take();
      if (unit !== null) return worker.postMessage(unit);
      worker.terminate().then(() => resolve(), reject);
    };
    worker.on('message', ({ unit, result }: Told) => {
      row.put(unit, result);
      goOn();
    });
    worker.on('error', reject);
    goOn();
  });
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (!options) {
    process.stdout.write(help);
    return 0;
  }
  const totals = readTotals(options.totals, digestOfCode(), options.seed);
  console.error(totals.units === 0 ? 'begins' : `goes on after ${inOneLine(totals)}`);
  const row = new Row(totals, options);
  await Promise.all(Array.from({ length: options.workers }, () => runWorker(row, options.seed)));
  row.save();
  const pairs = Math.min(totals.units, pairUnitCount);
  console.log(`${inOneLine(totals)}; ${pairs} of ${pairUnitCount} rows of pairs`);
  return totals.violations === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));

/** Results of the long proofs: one line per finished run in a file beside the documents, so that runs of any day and length add up. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { checkout, type Ending } from '../holdfast.ts';

export type Counts = Readonly<Record<string, number | Readonly<Record<string, number>>>>;
export type Result = { readonly date: string; readonly commit: string; readonly seed: number; readonly counts: Counts };

const fileOf = (proof: string): string => join(checkout, 'docs', 'proof', `${proof}.jsonl`);

export function readResults(proof: string): readonly Result[] {
  const file = fileOf(proof);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Result);
}

export function addResult(proof: string, seed: number, counts: Counts): void {
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { cwd: checkout, encoding: 'utf8' }).trim();
  const result: Result = { date: new Date().toISOString(), commit, seed, counts };
  mkdirSync(dirname(fileOf(proof)), { recursive: true });
  appendFileSync(fileOf(proof), `${JSON.stringify(result)}\n`);
}

export function totals(results: readonly Result[]): Counts {
  const sum: Record<string, number | Record<string, number>> = {};
  for (const { counts } of results)
    for (const [name, value] of Object.entries(counts)) {
      if (typeof value === 'number') sum[name] = ((sum[name] as number | undefined) ?? 0) + value;
      else {
        const inner = (sum[name] ??= {}) as Record<string, number>;
        for (const [key, one] of Object.entries(value)) inner[key] = (inner[key] ?? 0) + one;
      }
    }
  return sum;
}

export function printTotals(counts: Counts): void {
  for (const [name, value] of Object.entries(counts)) {
    if (typeof value === 'number') console.log(`${name}: ${value}`);
    else {
      console.log(`${name}:`);
      for (const [key, one] of Object.entries(value).sort(([, left], [, right]) => right - left))
        console.log(`  ${String(one).padStart(6)}  ${key}`);
    }
  }
}

/** `--name N` of the command line. */
export function numberOption(name: string, otherwise: number): number {
  const at = process.argv.indexOf(`--${name}`);
  const value = at < 0 ? otherwise : Number(process.argv[at + 1]);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a whole number`);
  return value;
}

/** A run with a directory of its own, which is kept where the run fails: it has the ledger, and all that there is to look at. */
export async function inDirectory(work: (ending: Ending, directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-proof-'));
  const endings: (() => void | Promise<void>)[] = [];
  const end = async (keep: boolean): Promise<void> => {
    for (let next = endings.pop(); next; next = endings.pop()) await next();
    if (keep) console.error(`what is left of the run is in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  const stopped = (): void => void end(false).then(() => process.exit(130));
  process.on('SIGINT', stopped).on('SIGTERM', stopped);
  try {
    await work({ after: (ended) => void endings.push(ended) }, directory);
  } catch (error) {
    await end(true);
    throw error;
  } finally {
    process.off('SIGINT', stopped).off('SIGTERM', stopped);
  }
  await end(false);
}

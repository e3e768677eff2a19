/** Seeds that failed once, with what they did not need left out: run with every test. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SeedOptions } from './script.ts';
import type { SeedOutcome } from './seed.ts';

const directory = fileURLToPath(new URL('./regressions', import.meta.url));

export type Regression = { readonly options: SeedOptions; readonly was: string };

export function writeRegression(options: SeedOptions, outcome: SeedOutcome): string {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `seed-${options.seed}.json`);
  const was = (outcome.violations[0] ?? '').split('\n')[0] ?? '';
  writeFileSync(file, `${JSON.stringify({ options, was } satisfies Regression)}\n`);
  return file;
}

export function readRegressions(): Regression[] {
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Regression);
}

/** What runs of one seed over one state of the code add up to, kept in a file from run to run. */
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { UnitResult } from './units.ts';

const root = join(import.meta.dirname, '../..');
const CODE = ['src/core/*.ts', 'test/planner/*.ts', 'test/commit-cases.ts', 'sim/planner/*.ts'];

export type Totals = {
  /** Digest of the code that was proved and of what proves it. */
  readonly code: string;
  readonly seed: number;
  units: number;
  cases: number;
  violations: number;
  plansMost: number;
  seconds: number;
};

/** Of everything but the tests beside the sources. */
export function digestOfCode(): string {
  const hash = createHash('sha256');
  const paths = CODE.flatMap((pattern) => globSync(pattern, { cwd: root })).filter(
    (path) => !path.endsWith('.test.ts'),
  );
  for (const path of paths.sort())
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}

/** Totals of other code or of another seed do not count: then it begins anew. */
export function readTotals(file: string, code: string, seed: number): Totals {
  const none: Totals = { code, seed, units: 0, cases: 0, violations: 0, plansMost: 0, seconds: 0 };
  let kept: Totals;
  try {
    kept = JSON.parse(readFileSync(file, 'utf8')) as Totals;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return none;
    throw error;
  }
  return kept.code === code && kept.seed === seed ? kept : none;
}

export function writeTotals(file: string, totals: Totals): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(totals, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

export function addUnit(totals: Totals, { cases, plansMost, violations }: UnitResult): void {
  totals.units++;
  totals.cases += cases;
  totals.violations += violations.length;
  totals.plansMost = Math.max(totals.plansMost, plansMost);
}

export function inOneLine({ cases, violations, plansMost, seconds, seed, code }: Totals): string {
  const told = [
    `${cases.toLocaleString('en')} cases`,
    `${violations} violations`,
    `at most ${plansMost} plans until quiet`,
    `${Math.round(seconds)} s`,
  ];
  return `${told.join(', ')} (seed ${seed}, code ${code})`;
}

/** What the seeds of this very code added up to, over as many runs as it took. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addCounts, type Counts } from './coverage.ts';
import type { SeedOutcome } from './seed.ts';
import { hashOfSources } from './sources.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

type Kept = {
  code: string;
  seeds: number;
  nextSeed: number;
  violated: string[];
  tasks: number;
  virtualMs: number;
  counts: Counts;
};

/**
 * Of the sources that a seed runs: what other sources do changes no seed. `published`: kept with the documents, so that they add up wherever this code is
 * checked out; else where they were run.
 */
export function openResults(
  shape: { readonly rounds: number; readonly operations: number; readonly faults: number },
  published: boolean,
) {
  const directory = join(root, ...(published ? ['docs', 'proof', 'seeds'] : ['build', 'sim']));
  const code = `${hashOfSources('sim/worker.ts')}-${shape.rounds}-${shape.operations}-${shape.faults}`;
  const file = join(directory, `${code}.json`);
  const kept = read(file) ?? { code, seeds: 0, nextSeed: 1, violated: [], tasks: 0, virtualMs: 0, counts: {} };
  return {
    get nextSeed() {
      return kept.nextSeed;
    },
    get violations() {
      return kept.violated.length;
    },
    add(outcome: SeedOutcome): void {
      kept.seeds++;
      kept.nextSeed = Math.max(kept.nextSeed, Number(outcome.seed) + 1);
      kept.tasks += outcome.tasks;
      kept.virtualMs += outcome.virtualMs;
      if (outcome.violations.length > 0) kept.violated.push(outcome.seed);
      addCounts(kept.counts, outcome.counts);
    },
    save(): void {
      mkdirSync(directory, { recursive: true });
      writeFileSync(`${file}.new`, JSON.stringify(kept, null, 1));
      renameSync(`${file}.new`, file);
    },
    summary(): string {
      const days = (kept.virtualMs / 86_400_000).toFixed(1);
      const head = `code ${code}: ${kept.seeds} seeds, ${kept.violated.length} violated, ${kept.tasks} steps, ${days} days of simulated time`;
      const failing = kept.violated.length > 0 ? `\nviolated: ${kept.violated.slice(0, 20).join(' ')}` : '';
      return `${head}${failing}\nsaved in ${file}`;
    },
    get seeds(): number {
      return kept.seeds;
    },
    get counts(): Counts {
      return kept.counts;
    },
  };
}

function read(file: string): Kept | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Kept;
  } catch {
    return null;
  }
}

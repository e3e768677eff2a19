/** What the seeds of this very code added up to, over as many runs as it took. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addCounts, type Counts } from './coverage.ts';
import type { SeedOutcome } from './seed.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'build', 'sim');

type Kept = {
  code: string;
  seeds: number;
  nextSeed: number;
  violated: string[];
  tasks: number;
  virtualMs: number;
  counts: Counts;
};

/** A hash over every source that a seed runs. */
export function codeHash(): string {
  const hash = createHash('sha256');
  for (const folder of ['src', 'sim']) {
    const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.ts') && !/\.(test|contract)\.ts$/.test(name),
    );
    for (const name of names.sort()) hash.update(name).update(readFileSync(join(root, folder, name)));
  }
  return hash.digest('hex').slice(0, 16);
}

export function openResults(shape: { readonly rounds: number; readonly operations: number; readonly faults: number }) {
  const code = `${codeHash()}-${shape.rounds}-${shape.operations}-${shape.faults}`;
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

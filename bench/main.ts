/** Compares Holdfast with its peers; `npm run bench -- --help` says how. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { clusterWorkloads } from './cluster/all.ts';
import { runCluster, type ClusterOutcome } from './cluster/run.ts';
import type { ClusterWorkload } from './cluster/workload.ts';
import { machineFacts } from './facts.ts';
import { help, parseOptions, type Options } from './options.ts';
import { readPage, writePage } from './page.ts';
import { killAllBelow } from './processes.ts';
import { clusterTables, median, resultTables } from './report.ts';
import { runSession, type Outcome } from './session.ts';
import { systems as allSystems } from './systems/all.ts';
import { holdfast } from './systems/holdfast.ts';
import { rsyncFsync } from './systems/rsync.ts';
import type { System } from './systems/system.ts';
import { sessions, workloads, type Workload } from './workloads.ts';

/** What a table needs to be understood, and it. */
function section(facts: string, tables: string, options: Options, args: readonly string[]): string {
  const scaled = options.scale === 1 ? '' : `- **A trial at scale ${options.scale}, not a result**\n`;
  const command = `\`npm run bench${args.length > 0 ? ` -- ${args.join(' ')}` : ''}\``;
  const runs = options.runs === 1 ? 'one run' : `median (least-most) of ${options.runs} interleaved runs`;
  return `${facts}\n${scaled}- ${command}; ${runs}; MB is 1,000,000 bytes\n\n${tables}`;
}

async function compare(options: Options, scratch: string): Promise<{ facts: string; tables: string }> {
  const chosen = allSystems.filter(({ id }) => options.systems.includes(id));
  const facts = await machineFacts(chosen, scratch);
  console.error(facts);
  const systems = chosen.filter((system) => 'version' in system.version());
  const results = new Map<Workload, Map<System, Outcome[]>>();
  for (const workload of workloads.filter(({ id }) => options.workloads.has(id))) {
    results.set(workload, new Map(systems.map((system) => [system, []])));
  }
  for (let run = 1; run <= options.runs; run++) {
    for (const session of sessions.filter((each) => each.workloads.some(({ id }) => options.workloads.has(id)))) {
      // The systems take turns within every run, so that a mood of the machine meets all of them.
      for (const system of systems) {
        const wanted = { ...options, wanted: options.workloads };
        for (const [id, outcome] of await runSession(system, session, wanted, scratch)) {
          console.error(`run ${run} of ${options.runs}, ${id}, ${system.title}: ${inShort(outcome)}`);
          for (const [workload, bySystem] of results) if (workload.id === id) bySystem.get(system)?.push(outcome);
        }
      }
    }
  }
  return { facts, tables: resultTables(results) };
}

async function measureCluster(options: Options, scratch: string): Promise<{ facts: string; tables: string }> {
  const facts = await machineFacts([holdfast, rsyncFsync], scratch);
  console.error(facts);
  const chosen = clusterWorkloads.filter(({ id }) => options.workloads.has(id));
  const results = new Map(chosen.map((workload): [ClusterWorkload, ClusterOutcome[]] => [workload, []]));
  for (let run = 1; run <= options.runs; run++)
    for (const [workload, outcomes] of results) {
      const outcome = await runCluster(workload, options, scratch);
      outcomes.push(outcome);
      console.error(`run ${run} of ${options.runs}\n${clusterTables(new Map([[workload, [outcome]]]))}\n`);
    }
  return { facts, tables: clusterTables(results) };
}

function inShort(outcome: Outcome): string {
  if ('failed' in outcome) return `failed: ${outcome.failed}`;
  const { seconds, cpuSeconds, wireBytes } = outcome;
  return `${median(seconds).toFixed(3)} s, ${cpuSeconds.toFixed(2)} cpu-s, ${(wireBytes / 1e6).toFixed(2)} MB`;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === 'help') {
    process.stdout.write(help);
    return 0;
  }
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc, and so needs Linux');
  const parts = [
    { part: 'bench', work: compare, of: workloads },
    { part: 'cluster', work: measureCluster, of: clusterWorkloads },
  ] as const;
  const wanted = parts.filter(({ of }) => of.some(({ id }) => options.workloads.has(id)));
  if (options.out !== null) for (const { part } of wanted) readPage(options.out, part);
  const scratch = mkdtempSync(join(options.scratch, 'holdfast-bench-'));
  const cleanUp = (): void => {
    killAllBelow();
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
  process.once('exit', cleanUp);
  for (const { part, work } of wanted) {
    const { facts, tables } = await work(options, scratch);
    const result = section(facts, tables, options, args);
    process.stdout.write(`${result}\n`);
    if (options.out !== null) writePage(options.out, part, result);
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}

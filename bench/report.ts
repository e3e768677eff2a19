/** The result as Markdown. A cell that was not measured says so. */
import type { ClusterOutcome } from './cluster/run.ts';
import type { ClusterWorkload } from './cluster/workload.ts';
import type { Outcome } from './session.ts';
import type { Measured } from './measure.ts';
import type { System } from './systems/system.ts';
import type { Workload } from './workloads.ts';

/** What came of each run of a workload by a system, in the order of the runs. */
export type Results = ReadonlyMap<Workload, ReadonlyMap<System, readonly Outcome[]>>;

type Column = { readonly title: string; value(measured: Measured): number };

const MB = 1e6;

const costs: readonly Column[] = [
  { title: 'CPU s', value: ({ cpuSeconds }) => cpuSeconds },
  { title: 'wire MB', value: ({ wireBytes }) => wireBytes / MB },
  { title: 'RSS, all, MB', value: ({ memoryBytes }) => memoryBytes / MB },
  { title: 'RSS, largest, MB', value: ({ largestBytes }) => largestBytes / MB },
];

const once: readonly Column[] = [{ title: 'seconds', value: ({ seconds }) => median(seconds) }, ...costs];
const many: readonly Column[] = [
  { title: 'median ms', value: ({ seconds }) => median(seconds) * 1000 },
  { title: '95th percentile ms', value: ({ seconds }) => percentile(seconds, 0.95) * 1000 },
  ...costs,
];

/** The same for workloads of the cluster. */
export type ClusterResults = ReadonlyMap<ClusterWorkload, readonly ClusterOutcome[]>;

export function clusterTables(results: ClusterResults): string {
  return [...results].map(([workload, outcomes]) => clusterTable(workload, outcomes)).join('\n\n');
}

export function resultTables(results: Results): string {
  return [...results].map(([workload, bySystem]) => table(workload, bySystem)).join('\n\n');
}

function table({ id, title }: Workload, bySystem: ReadonlyMap<System, readonly Outcome[]>): string {
  const measured = [...bySystem.values()].flat().filter((outcome) => 'seconds' in outcome);
  const samples = Math.max(0, ...measured.map(({ seconds }) => seconds.length));
  const columns = samples > 1 ? many : once;
  const own = [...bySystem].find(([system]) => system.id === 'holdfast')?.[1] ?? [];
  const ownTime = typicalTime(own);
  const rows = [...bySystem].map(([system, outcomes]) => {
    const time = typicalTime(outcomes);
    const ratio = ownTime === null || time === null ? '-' : short(time / ownTime);
    return [system.title, ...cells(columns, outcomes), ratio];
  });
  const head = ['', ...columns.map((column) => column.title), 'time / Holdfast'];
  const note = samples > 1 ? ` (${samples} samples a run; CPU and wire are those of all of them)` : '';
  return `### ${id}: ${title}${note}\n\n${markdown(head, rows)}`;
}

function clusterTable({ id, title, columns }: ClusterWorkload, outcomes: readonly ClusterOutcome[]): string {
  const whole = outcomes.flatMap((outcome) => ('rows' in outcome ? [outcome.rows] : []));
  const failures = outcomes.flatMap((outcome) => ('failed' in outcome ? [outcome.failed.replaceAll('|', '/')] : []));
  const rows = (whole[0] ?? []).map(({ title: name }) => {
    const own = whole.flatMap((run) => run.filter((row) => row.title === name));
    const values = (column: string): number[] => own.flatMap((row) => row.values[column] ?? []);
    return [name, ...columns.map((column) => (values(column).length === 0 ? '-' : range(values(column))))];
  });
  const failed =
    failures.length === 0 ? '' : `\n\n${failures.length} of ${outcomes.length} runs failed: ${failures[0]}`;
  const table = rows.length === 0 ? '' : `\n\n${markdown(['', ...columns], rows)}`;
  return `### ${id}: ${title}${table}${failed}`;
}

/** The first column is text, the others are numbers. */
function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function typicalTime(outcomes: readonly Outcome[]): number | null {
  const times = outcomes.flatMap((outcome) => ('failed' in outcome ? [] : [median(outcome.seconds)]));
  return times.length === 0 ? null : median(times);
}

function cells(columns: readonly Column[], outcomes: readonly Outcome[]): readonly string[] {
  const measured = outcomes.filter((outcome) => 'seconds' in outcome);
  const failures = outcomes.filter((outcome) => 'failed' in outcome);
  const failure = failures[0]?.failed.replaceAll('|', '/');
  if (measured.length === 0) return columns.map((_, index) => (index === 0 ? `failed: ${failure ?? 'not run'}` : '-'));
  return columns.map((column, index) => {
    const cell = range(measured.map(column.value));
    return index === 0 && failure !== undefined
      ? `${cell}; ${failures.length} of ${outcomes.length} runs failed: ${failure}`
      : cell;
  });
}

/** Median (least-most), or the one value. */
function range(values: readonly number[]): string {
  if (values.length === 1) return short(values[0] as number);
  return `${short(median(values))} (${short(Math.min(...values))}-${short(Math.max(...values))})`;
}

/** Three digits, and no more than two behind the point. */
function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The smallest value that is not exceeded by this part of them. */
function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(part * values.length) - 1] as number;
}

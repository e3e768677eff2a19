import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { clusterWorkloads } from './cluster/all.ts';
import { systems } from './systems/all.ts';
import { workloads } from './workloads.ts';

export type Options = {
  readonly workloads: ReadonlySet<string>;
  readonly systems: readonly string[];
  readonly runs: number;
  readonly scale: number;
  readonly secondsMax: number;
  readonly scratch: string;
  readonly out: string | null;
};

/** With peers, and of the cluster. */
const known = [...workloads, ...clusterWorkloads];

export const help = `npm run bench -- [options]        compares Holdfast with its peers, on this machine, side by side

  --workloads W1,W4   which (${known.map(({ id }) => id).join(', ')}; default: all)
  --systems a,b       which (${systems.map(({ id }) => id).join(', ')}; default: all)
  --runs N            how often each, interleaved (default 3)
  --scale X           fewer files and smaller ones, 0.01 to 1, for trials (default 1; needs 11 GB of disk)
  --timeout SECONDS   for one change to arrive (default 600)
  --scratch DIR       where to work (default: the temporary directory); a disk, not memory, or fsync costs nothing
  --out FILE          puts the result between the marks of that page, too (docs/benchmarks.md)
  --help

Workloads
${known.map(({ id, title }) => `  ${id.padEnd(4)}${title}`).join('\n')}

Each change is made in folder A in one instant (what is large is made elsewhere and renamed into place). The clock runs
from the beginning of the change until folder B shows it, looked at every 4 ms: names, sizes, some bytes. Afterwards every
file of both folders is hashed, and where they differ the clock runs on. CPU, bytes on the wire and memory are read when
the system has come to rest again, so what it does afterwards is counted; B is looked at by this process, which is not.
C1 to C4 are of a server and storage nodes as processes of their own, without peers, and --systems does not concern them.

Linux only; Node.js 26 (npm run takes the pinned one). Peers that are not installed are left out. Run nothing else. Where
something else uses the loopback interface, give the benchmark one of its own (as root):
  unshare -n sh -c 'ip link set lo up && exec npm run bench'
`;

/** Throws with a sentence for the person who typed it. */
export function parseOptions(args: readonly string[]): Options | 'help' {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      workloads: text,
      systems: text,
      runs: text,
      scale: text,
      timeout: text,
      scratch: text,
      out: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  return {
    workloads: new Set(
      list(
        'workloads',
        values.workloads,
        known.map(({ id }) => id),
      ),
    ),
    systems: list(
      'systems',
      values.systems,
      systems.map(({ id }) => id),
    ),
    runs: number('runs', values.runs, 3, [1, 100]),
    scale: number('scale', values.scale, 1, [0.01, 1]),
    secondsMax: number('timeout', values.timeout, 600, [1, 86_400]),
    scratch: values.scratch ?? tmpdir(),
    out: values.out ?? null,
  };
}

function list(name: string, value: string | undefined, known: readonly string[]): readonly string[] {
  if (value === undefined) return known;
  const chosen = value.split(',');
  const unknown = chosen.find((id) => !known.includes(id));
  if (unknown !== undefined) throw new Error(`--${name}: "${unknown}" is none of ${known.join(', ')}`);
  return chosen;
}

function number(
  name: string,
  value: string | undefined,
  usual: number,
  [least, most]: readonly [number, number],
): number {
  const chosen = value === undefined ? usual : Number(value);
  if (!(chosen >= least && chosen <= most)) throw new Error(`--${name} is a number from ${least} to ${most}`);
  return chosen;
}

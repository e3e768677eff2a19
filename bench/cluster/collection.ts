import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { flush } from '../disk.ts';
import { cpuSecondsOf, memoryOf } from '../processes.ts';
import { fill, filledBytes, NODE } from './filling.ts';
import { pidOf } from './place.ts';
import { MB, type ClusterWorkload, type Row } from './workload.ts';

/** What the collecting process tells of a round. `rows`: of blocks in the index, before it; `removed`: of these. */
export type Round = {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rows: number;
  readonly removed: number;
};

const TITLES = [
  'mark, and condemn what it did not find',
  'mark a day later, remove it, delete its copies on the node',
  'mark and sweep where nothing is garbage',
];

/** Mark and sweep over an index of a million blocks in a hundred thousand files; one of twenty is garbage. */
export const collection: ClusterWorkload = {
  id: 'C4',
  title: 'garbage collection over one million blocks in 100,000 files, of which 5 % are garbage',
  columns: [
    'seconds',
    'blocks/s',
    'blocks removed',
    'CPU s, server',
    'CPU s, node',
    'RSS, server, MB',
    'RSS, server, most, MB',
    'RSS, node, most, MB',
  ],
  diskBytes: filledBytes,
  async run(root, { scale, secondsMax }) {
    const { place } = await fill(root, scale);
    const node = pidOf(await place.startNode(NODE, 0));
    flush(root);
    const script = fileURLToPath(new URL('collect.ts', import.meta.url));
    const child = spawn(process.execPath, ['--max-semi-space-size=2', script, place.serverData], {
      env: { ...process.env, MALLOC_ARENA_MAX: '2' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), secondsMax * 1000);
    const rows: Row[] = [];
    let nodeCpu = cpuSecondsOf(node);
    for await (const line of createInterface({ input: child.stdout })) {
      const { seconds, cpuSeconds, rows: blocks, removed } = JSON.parse(line) as Round;
      const server = memoryOf(child.pid as number);
      const nodeCpuNow = cpuSecondsOf(node);
      rows.push({
        title: TITLES[rows.length] ?? '',
        values: {
          seconds,
          'blocks/s': blocks / seconds,
          'blocks removed': removed,
          'CPU s, server': cpuSeconds,
          'CPU s, node': nodeCpuNow - nodeCpu,
          'RSS, server, MB': server.now / MB,
          'RSS, server, most, MB': server.peak / MB,
          'RSS, node, most, MB': memoryOf(node).peak / MB,
        },
      });
      nodeCpu = nodeCpuNow;
      child.stdin.write('go on\n');
    }
    clearTimeout(timer);
    if (rows.length < TITLES.length) throw new Error(`the collection ended after ${rows.length} rounds`);
    return rows;
  },
};

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Service } from '../../test/holdfast.ts';
import { flush } from '../disk.ts';
import { cpuSecondsOf, forgetPeaks, memoryOf } from '../processes.ts';
import { fill, filledBytes, NODE, type Filled } from './filling.ts';
import { pidOf } from './place.ts';
import { MB, type ClusterWorkload, type Row } from './workload.ts';

/** Starts and scans of a node that holds a million blocks, and what it has resident meanwhile. */
export const million: ClusterWorkload = {
  id: 'C3',
  title: 'a node with one million blocks: start, scans, memory',
  columns: [
    'seconds',
    'blocks/s',
    'CPU s, node',
    'RSS, node, MB',
    'RSS, node, most, MB',
    'most, bytes/block above none',
    'CPU s, server',
    'RSS, server, most, MB',
  ],
  diskBytes: filledBytes,
  async run(root, { scale, secondsMax }) {
    const filled = await fill(root, scale);
    const { place, blocks, empty } = filled;
    flush(root);
    const rows: Row[] = [
      { title: 'start without a block', values: { seconds: empty.seconds, 'RSS, node, MB': empty.bytes / MB } },
    ];
    rows.push(await start('start', filled));
    await place.nodes.get(NODE)?.stop();
    for (const name of ['index.db', 'index.db-wal', 'index.db-shm'])
      rmSync(join(place.nodeData(NODE), name), { force: true });
    rows.push(await start('start without its index: made anew from the log', filled));
    await place.nodes.get(NODE)?.stop();
    const node = await place.startNode(NODE, 0);
    await place.startServer();
    await place.untilHeard(1);
    rows.push(await scan('verify: every block is asked for', ['verify'], filled, node, secondsMax));
    rows.push(
      await scan('verify --full: every block is read and opened', ['verify', '--full'], filled, node, secondsMax),
    );
    const held = (await place.nodeRows())[0]?.blocks ?? 0;
    if (held < blocks) throw new Error(`the node holds ${held} of ${blocks} blocks`);
    await place.close();
    return rows;
  },
};

async function start(title: string, { place, blocks, empty }: Filled): Promise<Row> {
  const begun = performance.now();
  const pid = pidOf(await place.startNode(NODE, 0));
  const seconds = (performance.now() - begun) / 1000;
  const { now, peak } = memoryOf(pid);
  return {
    title,
    values: {
      seconds,
      'blocks/s': blocks / seconds,
      'CPU s, node': cpuSecondsOf(pid),
      'RSS, node, MB': now / MB,
      'RSS, node, most, MB': peak / MB,
      'most, bytes/block above none': (peak - empty.bytes) / blocks,
    },
  };
}

/** A command of the owner; garbage is in no file, so a twentieth of the blocks is not among what is scanned. */
async function scan(
  title: string,
  args: readonly string[],
  { place, blocks, empty }: Filled,
  node: Service,
  secondsMax: number,
): Promise<Row> {
  const [nodePid, serverPid] = [pidOf(node), pidOf(place.server)];
  forgetPeaks();
  const before = { node: cpuSecondsOf(nodePid), server: cpuSecondsOf(serverPid) };
  const begun = performance.now();
  const report = JSON.parse(await place.command([...args, '--json'], secondsMax)) as {
    readonly pools: readonly { readonly copies: number }[];
  };
  const seconds = (performance.now() - begun) / 1000;
  const scanned = report.pools.reduce((sum, { copies }) => sum + copies, 0);
  const { now, peak } = memoryOf(nodePid);
  return {
    title,
    values: {
      seconds,
      'blocks/s': scanned / seconds,
      'CPU s, node': cpuSecondsOf(nodePid) - before.node,
      'RSS, node, MB': now / MB,
      'RSS, node, most, MB': peak / MB,
      'most, bytes/block above none': (peak - empty.bytes) / blocks,
      'CPU s, server': cpuSecondsOf(serverPid) - before.server,
      'RSS, server, most, MB': memoryOf(serverPid).peak / MB,
    },
  };
}

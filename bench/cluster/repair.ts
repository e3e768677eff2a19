import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MIB } from '#core/limits.ts';
import { ask } from '#protocol/call.ts';
import { nodesRemove } from '#protocol/cluster.ts';
import { flush } from '../disk.ts';
import { startMeter } from '../meter.ts';
import { memoryOf } from '../processes.ts';
import { rsyncFsync } from '../systems/rsync.ts';
import { FILES, fileBytes, makeFiles } from './files.ts';
import { ClusterPlace, pidOf } from './place.ts';
import { MB, type ClusterWorkload, type Row } from './workload.ts';

const COPIES = 2;
const LOST = 'c';
const LOOK_MS = 100;
/** More than lies between two greetings. */
const GREETING_MS = 4000;

/** One of three nodes is killed; what it held is made anew on the other two, and then its log is copied by what copies files. */
export const repair: ClusterWorkload = {
  id: 'C2',
  title: 'a lost node: what it held of 1 GiB in 2 copies on three nodes is made anew on the other two',
  columns: ['seconds', 'MB', 'MB/s', 'MB/s / Holdfast', 'CPU s', 'RSS, server, MB', 'RSS, largest node, MB'],
  // What is synced, its copies, what is made anew, and a plain copy.
  diskBytes: (scale) => 300 * MIB + 5 * FILES * fileBytes(scale),
  async run(root, { scale, secondsMax }) {
    const place = await ClusterPlace.start(root, { copies: COPIES, nodes: ['a', 'b', LOST] });
    makeFiles(join(place.folder, 'files'), 'C2', scale);
    const device = await place.startDevice();
    await place.untilStored(FILES, COPIES, secondsMax);
    await device.stop();
    flush(root);
    const own = await repairLost(place, secondsMax);
    await place.close();
    const rows: Row[] = [own];
    const log = join(place.nodeData(LOST), 'segments');
    for (const [title, command, args] of plainCopies(log)) {
      const to = join(root, 'copy');
      mkdirSync(to);
      flush(root);
      const meter = startMeter();
      const start = performance.now();
      execFileSync(command, [...args, to]);
      flush(to);
      const seconds = (performance.now() - start) / 1000;
      const { cpuSeconds } = meter.stop();
      const megabytes = bytesBelow(to) / MB;
      const rate = megabytes / seconds;
      const ratio = rate / (own.values['MB/s'] ?? Number.NaN);
      rows.push({
        title,
        values: { seconds, MB: megabytes, 'MB/s': rate, 'MB/s / Holdfast': ratio, 'CPU s': cpuSeconds },
      });
      rmSync(to, { recursive: true });
    }
    return rows;
  },
};

/** From the moment the server is told of the loss until no copy is missing any more. */
async function repairLost(place: ClusterPlace, secondsMax: number): Promise<Row> {
  const lost = (await place.nodeRows()).find(({ name }) => name === LOST);
  if (!lost) throw new Error('the server knows the node');
  await place.nodes.get(LOST)?.kill();
  place.nodes.delete(LOST);
  const stored = async (): Promise<number> => {
    // The server's word about its nodes is as old as its last greeting of them.
    await sleep(GREETING_MS);
    return (await place.nodeRows()).filter(({ name }) => name !== LOST).reduce((sum, row) => sum + row.storedBytes, 0);
  };
  const before = await stored();
  const meter = startMeter();
  try {
    const start = performance.now();
    await ask(place.peer, nodesRemove, { node: lost.node, lost: true }, AbortSignal.timeout(60_000));
    for (;;) {
      const { copiesAtRisk, jobs } = await place.status();
      if (copiesAtRisk === 0 && jobs.every(({ name }) => name === 'scrub')) break;
      if (performance.now() - start > secondsMax * 1000) throw new Error(`not repaired in ${secondsMax} s`);
      await sleep(LOOK_MS);
    }
    const seconds = (performance.now() - start) / 1000;
    const { cpuSeconds } = meter.stop();
    const megabytes = ((await stored()) - before) / MB;
    const pids = [...place.nodes.values()].map(pidOf);
    return {
      title: 'Holdfast, repair',
      values: {
        seconds,
        MB: megabytes,
        'MB/s': megabytes / seconds,
        'MB/s / Holdfast': 1,
        'CPU s': cpuSeconds,
        'RSS, server, MB': memoryOf(pidOf(place.server)).peak / MB,
        'RSS, largest node, MB': Math.max(...pids.map((pid) => memoryOf(pid).peak)) / MB,
      },
    };
  } finally {
    meter.abandon();
  }
}

type PlainCopy = readonly [title: string, command: string, args: readonly string[]];

/** All of them end with the bytes on the disk. */
function plainCopies(log: string): readonly PlainCopy[] {
  const known: PlainCopy[] = [['cp of its log, then sync', 'cp', ['-r', '--reflink=never', log]]];
  // Its delta transfer is off between two directories of one machine: it reads and writes.
  if ('version' in rsyncFsync.version()) known.push(['rsync --fsync of its log', 'rsync', ['-a', '--fsync', log]]);
  return known;
}

function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

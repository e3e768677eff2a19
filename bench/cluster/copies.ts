import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MIB } from '#core/limits.ts';
import { flush } from '../disk.ts';
import { startMeter, untilQuiet, type Usage } from '../meter.ts';
import { memoryOf } from '../processes.ts';
import { difference } from '../tree.ts';
import { endAll } from '../session.ts';
import { FILES, fileBytes, makeFiles } from './files.ts';
import { ClusterPlace, pidOf } from './place.ts';
import { MB, type ClusterWorkload, type Row } from './workload.ts';

const NODES = ['a', 'b', 'c'];
const COPIES = [1, 2, 3];

type Timed = Usage & { readonly seconds: number };

/** What a write and a read of everything cost, the processes at rest before and after. */
export const throughput: ClusterWorkload = {
  id: 'C1',
  title: 'write and read 1 GiB in 16 incompressible files, with 1, 2 and 3 copies on three nodes',
  columns: [
    'write MB/s',
    'write / 1 copy',
    'write CPU s',
    'wire MB',
    'read MB/s',
    'read / 1 copy',
    'read CPU s',
    'RSS, server, MB',
    'RSS, largest node, MB',
  ],
  // What is made, what is fetched, and the copies.
  diskBytes: (scale) => 300 * MIB + 5 * FILES * fileBytes(scale),
  async run(root, { scale, secondsMax }) {
    const rows: Row[] = [];
    const rates: { write: number; read: number }[] = [];
    for (const copies of COPIES) {
      const path = join(root, String(copies));
      mkdirSync(path);
      const place = await ClusterPlace.start(path, { copies, nodes: NODES });
      const write = await writeAll(place, path, copies, { scale, secondsMax });
      const read = await readAll(place, path, secondsMax);
      const pids = [...place.nodes.values()].map(pidOf);
      const rate = { write: megabytes(scale) / write.seconds, read: megabytes(scale) / read.seconds };
      rates.push(rate);
      const [one] = rates as [typeof rate];
      rows.push({
        title: copies === 1 ? '1 copy' : `${copies} copies`,
        values: {
          'write MB/s': rate.write,
          'write / 1 copy': rate.write / one.write,
          'write CPU s': write.cpuSeconds,
          'wire MB': write.wireBytes / MB,
          'read MB/s': rate.read,
          'read / 1 copy': rate.read / one.read,
          'read CPU s': read.cpuSeconds,
          'RSS, server, MB': memoryOf(pidOf(place.server)).peak / MB,
          'RSS, largest node, MB': Math.max(...pids.map((pid) => memoryOf(pid).peak)) / MB,
        },
      });
      await place.close();
      await endAll();
      rmSync(path, { recursive: true });
    }
    return rows;
  },
};

function megabytes(scale: number): number {
  return (FILES * fileBytes(scale)) / MB;
}

/** From the moment the files are in the device's folder until the server has committed all, with all their copies. */
async function writeAll(
  place: ClusterPlace,
  path: string,
  copies: number,
  { scale, secondsMax }: { readonly scale: number; readonly secondsMax: number },
): Promise<Timed> {
  await place.startDevice();
  // Only then it is known to be connected and watching.
  writeFileSync(join(place.folder, 'hello.bin'), 'hello');
  await place.untilStored(1, copies, 60);
  makeFiles(join(path, 'aside'), 'C1', scale);
  flush(path);
  await untilQuiet();
  const meter = startMeter();
  try {
    const start = performance.now();
    renameSync(join(path, 'aside'), join(place.folder, 'files'));
    await place.untilStored(1 + FILES, copies, secondsMax);
    const seconds = (performance.now() - start) / 1000;
    await untilQuiet();
    return { seconds, ...meter.stop() };
  } finally {
    meter.abandon();
  }
}

/** By the command that fetches, from its start to its end: read from the nodes, opened, checked, written. */
async function readAll(place: ClusterPlace, path: string, secondsMax: number): Promise<Timed> {
  flush(path);
  await untilQuiet();
  const to = join(path, 'fetched');
  const meter = startMeter();
  try {
    const start = performance.now();
    await place.command(['fetch', 'files', '--to', to], secondsMax);
    const seconds = (performance.now() - start) / 1000;
    const different = await difference(join(place.folder, 'files'), join(to, 'files'));
    if (different !== null) throw new Error(`what was fetched is not what was written: ${different}`);
    return { seconds, ...meter.stop() };
  } finally {
    meter.abandon();
  }
}

import { readFileSync, realpathSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { loopbackBytes } from './meter.ts';
import type { System } from './systems/system.ts';

/** What a reader has to know about the machine, as a Markdown list. Nothing may be running yet. */
export async function machineFacts(systems: readonly System[], scratch: string): Promise<string> {
  const processors = cpus();
  const before = loopbackBytes();
  await sleep(1000);
  const foreign = loopbackBytes() - before;
  return [
    `- ${new Date().toISOString().slice(0, 10)}, ${processors.length} cores of ${processors[0]?.model.trim() ?? 'unknown'}, ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, ${fileSystem(scratch)}, Node.js ${process.version}`,
    ...systems.map((system) => {
      const found = system.version();
      return 'version' in found
        ? `- ${system.title}: ${found.version}`
        : `- ${system.title}: ${found.missing}, so it is left out`;
    }),
    ...(foreign > 10_000
      ? [`- **Something else uses the loopback interface** (${foreign} bytes in one second before the first run)`]
      : []),
  ].join('\n');
}

/** The kind of the file system that holds a path. */
function fileSystem(path: string): string {
  const real = realpathSync(path);
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, at]) => at !== undefined && `${real}/`.startsWith(at === '/' ? '/' : `${at}/`));
  return mounts.toSorted((a, b) => (a[1]?.length ?? 0) - (b[1]?.length ?? 0)).at(-1)?.[2] ?? 'unknown file system';
}

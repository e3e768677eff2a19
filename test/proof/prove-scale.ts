/**
 * `npm run prove:scale -- --entries N`: a tree of N files, and a folder of a tenth of them with one log that is written to all the time. Prints what
 * the first sync, a scan and a listing take, and what a quiet and a busy minute cost. Measures, asserts only that everything arrived; a run is a
 * line in docs/proof/scale.jsonl.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, runJson, service, freePorts, until, type Ending, type Service, type Surroundings } from '../holdfast.ts';
import type { Status } from '../cluster.ts';
import { addResult, inDirectory, numberOption, printTotals } from './results.ts';

const FILES_PER_FOLDER = 1000;
const MINUTE_MS = 60_000;
const HOURS_MS = 4 * 3_600_000;

/** Seconds of processor time that a process has used so far, all its threads together. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function memoryMib(pid: number, what: 'VmHWM' | 'VmRSS'): number {
  const line = new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return Math.round((performance.now() - started) / 100) / 10;
}

const inSync = (at: Surroundings): Promise<Status> =>
  until(
    'everything is in sync',
    () => runJson<Status>(['status'], at, MINUTE_MS),
    (status) => status.inSync,
    HOURS_MS,
  );

function makeTree(folder: string, entries: number): void {
  for (let made = 0; made < entries; made += FILES_PER_FOLDER) {
    const directory = join(folder, `tree/${Math.floor(made / 100_000)}/${made / FILES_PER_FOLDER}`);
    mkdirSync(directory, { recursive: true });
    for (let index = made; index < Math.min(entries, made + FILES_PER_FOLDER); index++)
      writeFileSync(join(directory, `file-${index}.txt`), `content ${index}`);
  }
}

async function minute(
  processes: readonly (readonly [string, Service])[],
  work: () => void,
): Promise<Record<string, number>> {
  const before = processes.map(([, { process }]) => cpuSeconds(process.pid as number));
  const end = performance.now() + MINUTE_MS;
  while (performance.now() < end) {
    work();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return Object.fromEntries(
    processes.map(([name, { process }], at) => [
      name,
      Math.round((cpuSeconds(process.pid as number) - (before[at] as number)) * 100) / 100,
    ]),
  );
}

async function measure(ending: Ending, directory: string, entries: number) {
  const [port, ...nodePorts] = await freePorts(5);
  const owner: Surroundings = { home: join(directory, 'home-owner'), cwd: directory };
  const args = ['up', '--data', join(directory, 'data'), '--port', String(port), '--node-ports', nodePorts.join(',')];
  const up = await service(ending, args, owner);
  const folder = join(directory, 'drive');
  mkdirSync(folder);
  makeTree(folder, entries);
  const at: Surroundings = { home: join(directory, 'home-a'), cwd: directory };
  const { invite } = await runJson<{ invite: string }>(['invite'], owner);
  let device = await service(ending, ['join', invite, folder], at);
  const firstSyncSeconds = await timed(() => inSync(at));
  const peaks = {
    up: memoryMib(up.process.pid as number, 'VmHWM'),
    device: memoryMib(device.process.pid as number, 'VmHWM'),
  };
  await device.stop();
  device = await service(ending, ['sync'], at);
  const startScanSeconds = await timed(() => inSync(at));
  const listingSeconds = await timed(async () => {
    const listed = await run(['fetch', '--json'], owner, HOURS_MS);
    assert.equal(listed.code, 0, listed.stderr);
    assert.equal((JSON.parse(listed.stdout) as unknown[]).length, entries);
  });
  const processes = [
    ['up', up],
    ['device', device],
  ] as const;
  const quietMinuteCpuSeconds = await minute(processes, () => {});
  const large = join(folder, 'large');
  mkdirSync(large);
  for (let index = 0; index < entries / 10; index++)
    writeFileSync(join(large, `file-${index}.txt`), `another ${index}`);
  await inSync(at);
  const log = join(large, 'busy.log');
  const busyMinuteCpuSeconds = await minute(processes, () =>
    appendFileSync(log, `${new Date().toISOString()} a line\n`),
  );
  await inSync(at);
  assert.ok(existsSync(log));
  return {
    entries,
    firstSyncSeconds,
    startScanSeconds,
    listingSeconds,
    peakMib: peaks,
    residentMib: {
      up: memoryMib(up.process.pid as number, 'VmRSS'),
      device: memoryMib(device.process.pid as number, 'VmRSS'),
    },
    quietMinuteCpuSeconds,
    busyMinuteCpuSeconds,
  };
}

await inDirectory(async (ending, directory) => {
  const counts = await measure(ending, directory, numberOption('entries', 100_000));
  addResult('scale', 0, counts);
  printTotals(counts);
});

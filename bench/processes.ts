/**
 * The processes below this one. One system runs at a time, and everything below the benchmark belongs to it, so nobody
 * has to tell which processes are whose.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

type Stat = { readonly pid: number; readonly parent: number; readonly zombie: boolean; readonly cpuTicks: number };

/** Ticks in a second of /proc/PID/stat; it has been 100 on every Linux of the last twenty years. */
const TICKS_PER_SECOND = 100;

function readStat(pid: number | 'self'): Stat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The name stands in parentheses and may hold spaces, so fields are counted from the last one; see proc(5).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index]);
  return {
    pid: Number.parseInt(text, 10),
    parent: number(1),
    zombie: fields[0] === 'Z',
    // User and system time, its own and that of the children that it has reaped.
    cpuTicks: number(11) + number(12) + number(13) + number(14),
  };
}

/** Processes seen before that are not below this one: what does not change is not read again at every sample. */
let strangers = new Set<number>();

/** Every process below this one. */
export function descendants(): readonly Stat[] {
  const all = readdirSync('/proc').map(Number).filter(Number.isInteger);
  // The ended are forgotten, since their numbers are given again.
  strangers = new Set(all.filter((pid) => strangers.has(pid)));
  let open = all.filter((pid) => !strangers.has(pid)).flatMap((pid) => readStat(pid) ?? []);
  const own = new Set([process.pid]);
  const found: Stat[] = [];
  for (;;) {
    const below = open.filter((stat) => own.has(stat.parent));
    if (below.length === 0) break;
    for (const stat of below) own.add(stat.pid);
    found.push(...below);
    open = open.filter((stat) => !own.has(stat.pid));
  }
  for (const stat of open) strangers.add(stat.pid);
  return found;
}

/** CPU seconds that all processes below this one have used, living and reaped; only differences mean something. */
export function cpuSecondsBelow(): number {
  const own = readFileSync('/proc/self/stat', 'latin1');
  const fields = own.slice(own.lastIndexOf(')') + 2).split(' ');
  const reapedTicks = Number(fields[13]) + Number(fields[14]);
  return descendants().reduce((sum, stat) => sum + stat.cpuTicks, reapedTicks) / TICKS_PER_SECOND;
}

/** User and system seconds that one process has used. */
export function cpuSecondsOf(pid: number): number {
  return (readStat(pid)?.cpuTicks ?? Number.NaN) / TICKS_PER_SECOND;
}

/** What a process has resident, and the most that it has had since {@link forgetPeaks}, in bytes. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** The largest resident size that each process below this one has had so far, in bytes. */
export function peakBytesBelow(): readonly number[] {
  return descendants().flatMap(({ pid }) => {
    try {
      const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
      return kib === undefined ? [] : [Number(kib) * 1024];
    } catch {
      return [];
    }
  });
}

/** Lets the peaks of {@link peakBytesBelow} begin anew; see clear_refs in proc(5). */
export function forgetPeaks(): void {
  for (const { pid } of descendants()) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5');
    } catch {
      // It has ended in between.
    }
  }
}

function sleepNow(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Kills every process below this one, and returns when none runs. Synchronous, so that it works while this one is ending. */
export function killAllBelow(): void {
  for (let turn = 0; turn < 500; turn++) {
    const living = descendants().filter((stat) => !stat.zombie);
    if (living.length === 0) return;
    for (const { pid } of living) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended in between.
      }
    }
    sleepNow(10);
  }
}

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsBelow, forgetPeaks, peakBytesBelow } from './processes.ts';

export type Usage = {
  /** User and system time of all processes. */
  readonly cpuSeconds: number;
  /** What the loopback interface carried: payload, headers, and everybody's. */
  readonly wireBytes: number;
  /** Sum over the processes that lived at one time of the most that each of them has had resident. */
  readonly memoryBytes: number;
  /** The most that any one process has had resident. */
  readonly largestBytes: number;
};

/** Bytes that the loopback interface has carried; what is sent there is received there, so one side is counted. */
export function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'latin1'));
  return Number(line?.[1] ?? Number.NaN);
}

/** Starts counting. Memory is sampled every 100 ms, for processes that live shortly; it is the kernel that keeps peaks. */
export function startMeter(): { stop(): Usage; abandon(): void } {
  forgetPeaks();
  let memoryBytes = 0;
  let largestBytes = 0;
  const sample = (): void => {
    const peaks = peakBytesBelow();
    memoryBytes = Math.max(
      memoryBytes,
      peaks.reduce((sum, peak) => sum + peak, 0),
    );
    largestBytes = Math.max(largestBytes, ...peaks);
  };
  const timer = setInterval(sample, 100);
  const cpuAtStart = cpuSecondsBelow();
  const wireAtStart = loopbackBytes();
  return {
    abandon: () => clearInterval(timer),
    stop() {
      clearInterval(timer);
      sample();
      return {
        cpuSeconds: cpuSecondsBelow() - cpuAtStart,
        wireBytes: loopbackBytes() - wireAtStart,
        memoryBytes,
        largestBytes,
      };
    },
  };
}

/** Waits until the system has come to rest: 6 % of one core or less over half a second; or 15 seconds, and then says false. */
export async function untilQuiet(): Promise<boolean> {
  let before = cpuSecondsBelow();
  for (let turn = 0; turn < 30; turn++) {
    await sleep(500);
    const now = cpuSecondsBelow();
    if (now - before <= 0.03) return true;
    before = now;
  }
  return false;
}

/** The machine's own clocks. */
import type { Clock } from '../clock.ts';

/** setTimeout fires at once above this; a longer sleep is slept in pieces. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    let leftMs = ms;
    while (leftMs > 0 && !signal.aborted) {
      const pieceMs = Math.min(leftMs, TIMER_MS_MAX);
      await timer(pieceMs, signal);
      leftMs -= pieceMs;
    }
  },
};

/** Keeps the process alive while it waits, and leaves neither timer nor listener behind. */
function timer(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(handle);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const handle = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}

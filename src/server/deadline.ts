import { HoldfastError } from '#core/errors.ts';
import type { Clock } from '#world/clock.ts';

/** Runs `work` with a signal that also aborts after `ms`; rejects with `timeout` then, even where `work` does not look at its signal. */
export async function withDeadline<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const done = new AbortController();
  const expiry = clock.sleep(ms, AbortSignal.any([done.signal, signal])).then((): never => {
    over.abort();
    throw new HoldfastError('timeout', 'no answer in time');
  });
  try {
    return await Promise.race([work(AbortSignal.any([signal, over.signal])), expiry]);
  } finally {
    done.abort();
    // It rejects once it wakes; nobody waits for it any more.
    expiry.catch(() => {});
  }
}

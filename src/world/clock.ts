/** Time. The wall clock is for people; durations and order come from `monotonicMs` and from sequence numbers. */
export interface Clock {
  /** Milliseconds since 1970; may jump either way. */
  nowMs(): number;
  /** Milliseconds since some start; never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when the signal aborts (never rejects: look at the signal). */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

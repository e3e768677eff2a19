/** A signal that ends a request when the person ends the command, or after `ms`. */
export function within(stop: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([stop, AbortSignal.timeout(ms)]);
}

/** Any answer that is not a held request or a transfer. */
export const REQUEST_MS_MAX = 30_000;

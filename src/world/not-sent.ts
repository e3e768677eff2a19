/**
 * Which failed calls never left this machine. A fact about this side of a connection, so it travels with no error: what another
 * process says about its own calls means nothing here.
 */
import type { HoldfastError } from '#core/errors.ts';

const marked = new WeakSet<HoldfastError>();

/** For adapters of `Net`: no byte of the request was sent. */
export function notSent(error: HoldfastError): HoldfastError {
  marked.add(error);
  return error;
}

/** True where the outcome is known: the other side never saw the request. False where nobody can tell. */
export function wasNotSent(error: unknown): boolean {
  return marked.has(error as HoldfastError);
}

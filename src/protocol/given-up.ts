import { HoldfastError } from '#core/errors.ts';

/**
 * What a call rejects with whose signal was aborted: the signal's own reason where it is a `HoldfastError` (`stopping`, say), else
 * `timeout`. Either way its outcome is unknown, but where the signal was aborted before the call began.
 */
export function givenUp(signal: AbortSignal): HoldfastError {
  return signal.reason instanceof HoldfastError
    ? signal.reason
    : new HoldfastError('timeout', 'the call was given up before its answer came');
}

import { HoldfastError } from '#core/errors.ts';

export function newerLog(): HoldfastError {
  return new HoldfastError(
    'newer_version',
    'the log of the storage node was written by a newer version; nothing was changed',
  );
}

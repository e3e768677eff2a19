/** What every part of the engine works with. */
import { hasCode, HoldfastError } from '#core/errors.ts';
import { id16Of, type EntryId, type OpId, type SpaceId, type UploadId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Clock } from '#world/clock.ts';
import type { Folder } from '#world/folder.ts';
import type { Log } from '#world/log.ts';
import type { Random } from '#world/random.ts';
import type { Watcher } from '#world/watcher.ts';
import type { Compressing } from './compressing.ts';
import type { Deferrals } from './deferrals.ts';
import type { Dirty } from './dirty.ts';
import type { Ignoring } from './ignoring.ts';
import type { Held } from './held.ts';
import type { Line } from './line.ts';
import type { Problems } from './problems.ts';
import type { Selection } from './selection.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';
import type { UnflushedFiles } from './unflushed-files.ts';
import type { Wake } from './wake.ts';

export type Device = {
  readonly space: SpaceId;
  readonly deviceName: string;
  readonly state: State;
  readonly trees: Trees;
  readonly dirty: Dirty;
  readonly deferrals: Deferrals;
  readonly held: Held;
  readonly problems: Problems;
  readonly selection: Selection;
  readonly ignoring: Ignoring;
  readonly folder: Folder;
  readonly watcher: Watcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly primitives: Primitives;
  readonly line: Line;
  readonly compressing: Compressing;
  readonly wake: Wake;
  readonly unflushed: UnflushedFiles;
  /** Names this start of the machine. Null where nobody can tell: then any may be another one. */
  readonly boot: string | null;
  /** Of the space; asked from the server when the client starts, and again when the space has a new version. */
  readonly keys: () => SealKeys;
  /** Ends everything. */
  readonly signal: AbortSignal;
};

export function freshId<Id extends EntryId | OpId | UploadId>(random: Random): Id {
  return id16Of<Id>(random.bytes(16));
}

/** Where only this thing failed, and others can go on; null for what ends or interrupts the engine. */
export function failureOfOne(error: unknown): HoldfastError | null {
  if (
    hasCode(
      error,
      'not_found',
      'integrity',
      'block_corrupt',
      'block_missing',
      'blocks_missing',
      'hash_mismatch',
      'storage_unavailable',
      'no_space',
      'quota_exceeded',
      'disk_failed',
      'not_permitted_by_disk',
      'too_large',
      'invalid_field',
      'invalid_name',
      'forbidden',
      'conflict',
    )
  )
    return error;
  return null;
}

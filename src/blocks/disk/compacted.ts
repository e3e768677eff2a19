/**
 * Segments that compaction took out of the log. Written down, durably, once every record of theirs that still means something lies in a later
 * segment, durably too; only then do they go. So a start tells them from segments that were lost, whatever the index knows of them.
 */
import { fromUtf8, utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Disk } from '#world/disk.ts';
import { listSegments, SEGMENT_DIRECTORY, segmentPath } from './segment-files.ts';

export const COMPACTED_FILE = 'compacted';
/** More than an index can lag behind. */
const KEPT_MAX = 1000;

/** Ascending in time. Throws `integrity` where the file is damaged. */
export async function readCompacted(disk: Disk): Promise<readonly number[]> {
  const bytes = await disk.read(COMPACTED_FILE);
  if (!bytes) return [];
  let numbers: unknown;
  try {
    numbers = JSON.parse(fromUtf8(bytes) ?? '');
  } catch {
    numbers = null;
  }
  if (Array.isArray(numbers) && numbers.every((one) => Number.isSafeInteger(one) && Number(one) > 0)) return numbers;
  throw new HoldfastError(
    'integrity',
    `${COMPACTED_FILE} of the storage node is damaged; without the file the next start makes do, and may report segments as missing`,
  );
}

/** Durable when it resolves. */
export async function addCompacted(disk: Disk, segment: number): Promise<void> {
  const numbers = [...(await readCompacted(disk)), segment].slice(-KEPT_MAX);
  await disk.replace(COMPACTED_FILE, utf8(`${JSON.stringify(numbers)}\n`));
}

/** Finishes what a crash cut off; answers with all that went. */
export async function removeCompacted(disk: Disk): Promise<readonly number[]> {
  const gone = await readCompacted(disk);
  const present = new Set(await listSegments(disk));
  const left = gone.filter((segment) => present.has(segment));
  for (const segment of left) await disk.remove(segmentPath(segment));
  if (left.length > 0) await disk.syncDirectory(SEGMENT_DIRECTORY);
  return gone;
}

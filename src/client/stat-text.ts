/** A stat as one text: compared at every scan and kept in the state, where integers above 2^53 have no column of their own. */
import { must } from '#core/assert.ts';
import type { FolderKind, Stat } from '#world/folder.ts';

/** Time in which a later write may get the very stamp of an earlier one: kernels stamp by the tick, some file systems by two seconds. */
const TICK_NS = 50_000_000n;
const COARSE_NS = 2_000_000_000n;
/** After so long no stat is racy any more. */
export const RACY_MS_MAX = Number(COARSE_NS / 1_000_000n);

/** Of a folder only what makes it this folder: its times change with everything that happens in it. */
export function statText(stat: Stat): string {
  if (stat.kind === 'folder') return `folder ${stat.dev} ${stat.ino} 0 0 0 ${stat.birthNs} 0 0`;
  return `${stat.kind} ${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.birthNs} ${stat.links} ${stat.exec ? 1 : 0}`;
}

export function parseStat(text: string): Stat {
  const fields = text.split(' ');
  const field = (index: number) => must(fields[index], 'a stat text has nine fields');
  return {
    kind: field(0) as FolderKind,
    dev: BigInt(field(1)),
    ino: BigInt(field(2)),
    size: Number(field(3)),
    mtimeNs: BigInt(field(4)),
    ctimeNs: BigInt(field(5)),
    birthNs: BigInt(field(6)),
    links: Number(field(7)),
    exec: field(8) === '1',
  };
}

export function inodeText(stat: Stat): string {
  return `${stat.dev}:${stat.ino}`;
}

/** What makes the root this root. Not the device's number: a disk that is mounted again may get another. */
export function rootMarkOf(stat: Stat): string {
  return `${stat.ino}:${stat.birthNs}`;
}

/** Whether bytes read at `readMs` (wall clock, when reading began) may differ from what this stat will later stand for. */
export function isRacy(stat: Stat, readMs: number): boolean {
  const agoNs = BigInt(Math.floor(readMs)) * 1_000_000n - stat.ctimeNs;
  return agoNs < windowNs(stat);
}

/** After so long, in milliseconds, what is written to it now gets another stamp. */
export function tickMs(stat: Stat): number {
  return Number(windowNs(stat) / 1_000_000n);
}

/**
 * That its disk may stamp by the second or two: nothing tells such a stamp from one of whole milliseconds, as exFAT's are. Within finer ticks hardly anybody
 * writes twice, and the power tears what it meets.
 */
export function isCoarse(stat: Stat): boolean {
  return stat.ctimeNs % 1_000_000n === 0n;
}

/** Whether the disk of these keeps when things were made; such disks keep the numbers of inodes as well. */
export function keepsBirths(...stats: readonly Stat[]): boolean {
  return stats.every(({ birthNs }) => birthNs !== 0n);
}

function windowNs(stat: Stat): bigint {
  return isCoarse(stat) ? COARSE_NS : TICK_NS;
}

/**
 * Whether a file that was given its time when it was placed may be written to and keep this very stat: where that time falls into the tick
 * of the placing itself.
 */
export function isRacyPlaced(stat: Stat): boolean {
  if (stat.kind !== 'file') return false;
  const apartNs = stat.ctimeNs > stat.mtimeNs ? stat.ctimeNs - stat.mtimeNs : stat.mtimeNs - stat.ctimeNs;
  return apartNs < windowNs(stat);
}

/** The nearest that a row can hold, from 1684 to 2255: disks have times beyond that, and a broken clock or an archive gives them. */
export function mtimeUsOf(stat: Stat): number {
  const us = Number(stat.mtimeNs / 1000n);
  return Math.min(Math.max(us, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/** What disks keep of a time that a file is given: some to the millisecond, exFAT to 10 ms, HFS+ and ext3 to a second, FAT to two. */
const KEPT_US = [1, 1000, 10_000, 1_000_000, 2_000_000];

/** Whether a file that was given the time `mtimeUs` may say this one. Two seconds apart they never are, and then only where it is a whole one. */
export function mayBeTime(stat: Stat, mtimeUs: number): boolean {
  const kept = mtimeUsOf(stat);
  return KEPT_US.some((tickUs) => kept === Math.floor(mtimeUs / tickUs) * tickUs);
}

/** The same bytes, where only a name was given or taken: that moves the time of change and the number of links. */
export function isUnmoved(before: Stat, now: Stat): boolean {
  return (
    before.kind === now.kind &&
    before.dev === now.dev &&
    before.ino === now.ino &&
    before.size === now.size &&
    before.mtimeNs === now.mtimeNs
  );
}

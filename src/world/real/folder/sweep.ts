/** What crashes leave in `.holdfast/tmp`, and trash that is old enough. Nothing else is ever deleted for good. */
import { closing } from './file.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import type { FileSystem } from '../../file-system.ts';
import { kindOfTmpName } from './own-names.ts';
import type { Taking } from './take.ts';

const DAY_MS = 86_400_000;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Parked things and things half moved are the user's: unless they are to be kept where they are, they go to the trash. */
export function sweepTmp(grip: Grip, taking: Taking, keepStaged: ReadonlySet<string>): void {
  const { fs } = grip;
  const tmp = grip.ownIfThere('tmp');
  if (tmp === null) return;
  for (const name of fs.readdir(tmp.at(''))) {
    const kind = kindOfTmpName(name, keepStaged);
    if (kind === 'rubbish' && fs.lstat(tmp.at(name))?.kind === 'file') fs.unlink(tmp.at(name));
    else if (kind === 'user') taking.toTrash(spotIn(tmp, name), name);
  }
}

/** By the dates of the disk itself: a client's clock that was wrong for a moment empties nothing. */
export function sweepTrash(grip: Grip, taking: Taking, daysMax: number): void {
  const { fs } = grip;
  const trash = grip.ownIfThere('trash');
  if (trash === null) return;
  const days = fs.readdir(trash.at('')).filter((name) => DAY.test(name));
  if (days.length === 0) return;
  const now = timeOfDiskMs(fs, taking.madeSpot());
  for (const day of days) {
    const beganMs = Date.parse(`${day}T00:00:00Z`);
    const stat = fs.lstat(trash.at(day));
    if (stat?.kind !== 'folder' || Number.isNaN(beganMs)) continue;
    // Both the day it is named after and the last time that something was put into it must be long past.
    const lastMs = Math.max(beganMs + DAY_MS, Number(stat.mtimeNs / 1_000_000n));
    if (lastMs + daysMax * DAY_MS < now) fs.removeTree(trash.at(day));
  }
}

function timeOfDiskMs(fs: FileSystem, spot: Spot): number {
  const fd = fs.open(spot.at, 'create', 0o600);
  try {
    return closing(fs, fd, () => Number(fs.fstat(fd).mtimeNs / 1_000_000n));
  } finally {
    fs.unlink(spot.at);
  }
}

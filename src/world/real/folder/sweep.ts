/** What crashes leave in `.holdfast/tmp`, and trash that is old enough. Nothing else is ever deleted for good. */
import { closeSync, readdirSync, rmSync, unlinkSync } from 'node:fs';
import { createFile } from './file.ts';
import { spotIn, type Grip } from './grip.ts';
import { kindOfTmpName, madeName } from './own-names.ts';
import { statAt, statOfFile } from './stat.ts';
import { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

const DAY_MS = 86_400_000;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Parked things and things half moved are the user's: unless they are to be kept where they are, they go to the trash. */
export function sweepTmp(grip: Grip, unflushed: Unflushed, keepStaged: ReadonlySet<string>): void {
  const tmp = grip.ownIfThere('tmp');
  if (tmp === null) return;
  const taking = new Taking(grip, unflushed);
  for (const name of readdirSync(tmp.at(''))) {
    const kind = kindOfTmpName(name, keepStaged);
    if (kind === 'rubbish' && statAt(tmp.at(name))?.kind === 'file') unlinkSync(tmp.at(name));
    else if (kind === 'user') taking.toTrash(spotIn(tmp, name), name);
  }
}

/** By the dates of the disk itself: a client's clock that was wrong for a moment empties nothing. */
export function sweepTrash(grip: Grip, daysMax: number): void {
  const trash = grip.ownIfThere('trash');
  if (trash === null) return;
  const days = readdirSync(trash.at('')).filter((name) => DAY.test(name));
  if (days.length === 0) return;
  const now = timeOfDiskMs(grip);
  for (const day of days) {
    const beganMs = Date.parse(`${day}T00:00:00Z`);
    const stat = statAt(trash.at(day));
    if (stat?.kind !== 'folder' || Number.isNaN(beganMs)) continue;
    // Both the day it is named after and the last time that something was put into it must be long past.
    const lastMs = Math.max(beganMs + DAY_MS, Number(stat.mtimeNs / 1_000_000n));
    if (lastMs + daysMax * DAY_MS < now) rmSync(trash.at(day), { recursive: true, force: true });
  }
}

function timeOfDiskMs(grip: Grip): number {
  const spot = spotIn(grip.own('tmp'), madeName());
  const fd = createFile(spot.at, 0o600);
  try {
    return Number(statOfFile(fd).mtimeNs / 1_000_000n);
  } finally {
    closeSync(fd);
    unlinkSync(spot.at);
  }
}

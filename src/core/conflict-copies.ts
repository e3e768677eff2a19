/** The names of conflicts' copies, read: what a copy is of, who made it and when (normative: docs/on-disk.md, "Names"). */
import { conflictName, judgeName } from './name.ts';

export type ConflictCopy = {
  /** Name of the file that it is a copy of; of a shortened one only its beginning is known. */
  readonly of: string;
  /** As the name has it: without what no system could hold. '' where the device had no name. */
  readonly device: string;
  /** YYYY-MM-DD. */
  readonly date: string;
};

/** The last one counts: a copy's copy is of that copy. */
const PATTERN =
  /^(?<stem>.*) \(conflicted copy, (?:(?<device>.+), )?(?<date>\d{4}-\d\d-\d\d)(?: (?<number>[1-9]\d{0,3}))?\)(?<extension>\.[^.]+)?$/su;

/**
 * Null for every name that `conflictName` would not have given. Whoever renames a copy has made it a file of its own, and whoever names a file like
 * this by hand has made it look like a copy: a name is all there is, so that it means the same on every device and after every restore.
 */
export function readConflictName(name: string): ConflictCopy | null {
  const found = PATTERN.exec(name)?.groups;
  if (!found) return null;
  const { stem = '', device = '', date = '', number = '1', extension = '' } = found;
  const of = stem + extension;
  if (judgeName(of) !== null || !isDate(date)) return null;
  let before = Number(number) - 1;
  const given = conflictName(of, { deviceName: device, date }, () => before-- > 0);
  return given === name ? { of, device, date } : null;
}

function isDate(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

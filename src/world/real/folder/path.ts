/** Paths as the `Folder` door takes them: relative to the root, `/` between names, '' the root. */
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import { shown } from './failure.ts';

/** The door's own directory at the root. */
export const OWN = '.holdfast';

const IMPOSSIBLE_ON_WINDOWS = /[<>:"\\|?*]|[ .]$/;

/** The names of a path, none for the root. Throws `invalid_name` for what could lead anywhere else, and for the door's own directory. */
export function namesOf(path: string, windowsNames: boolean): readonly string[] {
  if (path === '') return [];
  const names = path.split('/');
  if (names.length > limits.treeDepthMax) throw refused(path, 'lies too deep');
  if (names[0] === OWN) throw refused(path, "is Holdfast's own");
  for (const name of names) checkName(name, path, windowsNames);
  return names;
}

function checkName(name: string, path: string, windowsNames: boolean): void {
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw refused(path, 'is not a path');
  if (!name.isWellFormed()) throw refused(path, 'is not well-formed text');
  if (windowsNames && IMPOSSIBLE_ON_WINDOWS.test(name)) throw refused(path, 'is impossible on Windows');
}

function refused(path: string, why: string): HoldfastError {
  return new HoldfastError('invalid_name', `${shown(path)} ${why}`);
}

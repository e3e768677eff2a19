/** What the file system under a root makes of names, and of the execute bit: measured with files of the door's own, then used to tell how it spells them. */
import { spotOf, tellsAllApart, type NameProfile, type NameRule } from '#core/name-profile.ts';
import type { FileSystem } from '../../file-system.ts';
import type { DiskProfile, Failure, ListedEntry } from '../../folder.ts';
import { failureOf, hasErrno } from './failure.ts';
import { spotIn, type Directory, type Grip } from './grip.ts';
import { lookAt } from './list.ts';
import type { OwnNames } from './own-names.ts';

/** What Windows holds in no name; of what else it refuses a file system that holds these has its own opinion. */
const REFUSED_ON_WINDOWS = [':', '?', '.'];

export function measureNames(grip: Grip, ownNames: OwnNames): DiskProfile {
  const { fs } = grip;
  const tmp = grip.own('tmp');
  const letterCase = ruleOf(fs, tmp, ownNames.made(), ['Case', 'cASE']);
  const forms = ruleOf(fs, tmp, ownNames.made(), ['\u00e9', 'e\u0301']);
  // Windows takes what follows a colon for a stream of the file before it, and makes that.
  const isWindows =
    fs.traits.windowsNames || REFUSED_ON_WINDOWS.some((tail) => !holds(fs, tmp, ownNames.made() + tail));
  const names = { letterCase, forms, refuses: isWindows ? 'windows' : 'nothing' } as const;
  return keepsExec(fs, tmp, ownNames.made()) ? names : { ...names, lacksExec: true };
}

/** One file, made with one end of its name and looked for under the other. */
function ruleOf(fs: FileSystem, tmp: Directory, name: string, [one, other]: readonly [string, string]): NameRule {
  const made = spotIn(tmp, name + one);
  fs.close(fs.open(made.at, 'create', 0o600));
  try {
    if (fs.lstat(tmp.at(name + other)) === null) return 'distinct';
    return fs.readdir(tmp.at('')).includes(made.name) ? 'kept' : 'changed';
  } finally {
    fs.unlink(made.at);
  }
}

/** True where this can be made, and is what was made. */
function holds(fs: FileSystem, tmp: Directory, name: string): boolean {
  const made = spotIn(tmp, name);
  try {
    fs.close(fs.open(made.at, 'create', 0o600));
  } catch (error) {
    if (hasErrno(error, 'EINVAL', 'ENOENT', 'EILSEQ', 'EACCES', 'EPERM')) return false;
    throw error;
  }
  const isListed = fs.readdir(tmp.at('')).includes(made.name);
  fs.unlink(made.at);
  return isListed;
}

/** Some show every file as executable, some none; all of them say that they changed it. */
function keepsExec(fs: FileSystem, tmp: Directory, name: string): boolean {
  const made = spotIn(tmp, name);
  const fd = fs.open(made.at, 'create', 0o600);
  try {
    const isAlways = (fs.modeOf(fd) & 0o100) !== 0;
    fs.fchmod(fd, 0o700);
    return !isAlways && (fs.modeOf(fd) & 0o100) !== 0;
  } catch (error) {
    if (hasErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) return false;
    throw error;
  } finally {
    fs.close(fd);
    fs.unlink(made.at);
  }
}

/** Of one batch of looks: directories are listed once. */
export class Spellings {
  readonly #names: NameProfile;
  readonly #listed = new Map<string, ReadonlyMap<string, string>>();

  constructor(names: NameProfile) {
    this.#names = names;
  }

  /** What is seen at a path, under the name that is listed. */
  look(grip: Grip, path: string): ListedEntry | null | Failure {
    const seen = lookAt(grip, path);
    if (tellsAllApart(this.#names) || seen === null || 'kind' in seen) return seen;
    const cut = path.lastIndexOf('/') + 1;
    try {
      const listed = this.#listedIn(grip, path.slice(0, Math.max(0, cut - 1)));
      const name = listed.get(seen.name) ?? listed.get(spotOf(this.#names, seen.name)) ?? seen.name;
      return name === seen.name ? seen : lookAt(grip, path.slice(0, cut) + name);
    } catch (error) {
      return failureOf(error, path);
    }
  }

  /** Names and spots alike lead to the name that is listed. */
  #listedIn(grip: Grip, path: string): ReadonlyMap<string, string> {
    const known = this.#listed.get(path);
    if (known) return known;
    const listed = new Map<string, string>();
    const directory = grip.directory(path);
    const names = directory === null ? [] : grip.fs.readdir(directory.at(''));
    for (const name of names) listed.set(spotOf(this.#names, name), name);
    for (const name of names) listed.set(name, name);
    this.#listed.set(path, listed);
    return listed;
  }
}

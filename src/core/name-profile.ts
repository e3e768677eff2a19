/**
 * What a device's file system makes of names. An entry keeps its name whatever a device can hold: there it has a local alias, or is
 * absent. Pure: the folder's door measures, the planner decides.
 */
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { collisionKey, judgeName, numberedName } from './name.ts';

/** `distinct`: two names. `kept`: one name, spelled as it was given. `changed`: one name, spelled as the file system likes. */
export type NameRule = 'distinct' | 'kept' | 'changed';

export type NameProfile = {
  /** Names that differ in letter case alone. */
  readonly letterCase: NameRule;
  /** Names that are one text in two of Unicode's forms. */
  readonly forms: NameRule;
  /** `windows`: what Windows reserves and refuses, and so do the file systems that are its own wherever they are mounted. */
  readonly refuses: 'nothing' | 'windows';
};

/** What Holdfast itself makes of names. */
export const EXACT_NAMES: NameProfile = { letterCase: 'distinct', forms: 'distinct', refuses: 'nothing' };

const RESERVED_ON_WINDOWS = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?$/i;
const IMPOSSIBLE_ON_WINDOWS = /[<>:"\\|?*]|[ .]$/;
/** The folder's own, at its root. */
const OWN = '.holdfast';

/** True where any two names can lie side by side. */
export function tellsAllApart({ letterCase, forms }: NameProfile): boolean {
  return letterCase === 'distinct' && forms === 'distinct';
}

/** Names with one spot cannot lie side by side in a directory. */
export function spotOf({ letterCase, forms }: NameProfile, name: string): string {
  if (letterCase === 'distinct') return forms === 'distinct' ? name : name.normalize('NFC');
  // Some file systems fold less than this: that costs an alias at most.
  return forms === 'distinct' ? name.toLowerCase().toUpperCase().toLowerCase() : collisionKey(name);
}

/** True where `listed` may be what the file system shows of something called `name`, without anybody having renamed it. */
export function isSpelling(profile: NameProfile, name: string, listed: string): boolean {
  if (name === listed) return true;
  if (profile.letterCase === 'changed') return spotOf(profile, name) === spotOf(profile, listed);
  return profile.forms !== 'distinct' && name.normalize('NFC') === listed.normalize('NFC');
}

/** What an entry is called that was found on the disk under this name: a form that the file system chose says nothing. */
export function nameFound({ forms }: NameProfile, listed: string): string {
  return forms === 'changed' ? listed.normalize('NFC') : listed;
}

/** True where nothing can be made under this name. One that is none no device sent: on a disk it could be a place in another folder. */
export function isRefused(profile: NameProfile, parent: EntryId, name: string): boolean {
  if (judgeName(name) !== null) return true;
  if (parent === ROOT_ENTRY && spotOf(profile, name) === OWN) return true;
  return profile.refuses === 'windows' && (IMPOSSIBLE_ON_WINDOWS.test(name) || RESERVED_ON_WINDOWS.test(name));
}

/** `name (case clash).ext`, shortened to fit the limit, with a number where that is `taken`: what a device calls the second of two that it cannot hold side by side. */
export function aliasName(name: string, taken: (name: string) => boolean): string {
  return numberedName(name, (count) => ` (case clash${count})`, taken);
}

/** What may be the name of an entry (normative: docs/on-disk.md, "Names"), and what two entries are called that want the same one. */
import { utf8 } from './bytes.ts';
import { limits } from './limits.ts';

const CONTROL_CHARACTER = /\p{Cc}/u;
const ASCII = /^[\x20-\x7e]*$/;
/** Characters that one system or another cannot have in a name, that a device may have been given all the same. */
const UNFIT_FOR_SOME_SYSTEM = /[\p{Cc}/\\:*?"<>|]/gu;
/** A longer "extension" is a part of the name that happens to follow a dot. */
const EXTENSION_BYTES_MAX = 16;
const DEVICE_NAME_BYTES_MAX = 64;

/**
 * Null where `name` may name an entry; else why not, as one sentence for a person with the name escaped. What single systems
 * cannot hold (`CON`, `a:b`, a trailing dot) is allowed: such a device says so and leaves the entry out.
 */
export function judgeName(name: string): string | null {
  if (name === '') return 'A name cannot be empty.';
  if (name === '.' || name === '..') return `"${name}" is not a name: it means another place.`;
  if (name.includes('/')) return `The name ${escapeName(name)} contains a slash.`;
  if (!ASCII.test(name)) {
    if (!name.isWellFormed()) return `The name ${escapeName(name)} is not well-formed Unicode.`;
    if (CONTROL_CHARACTER.test(name)) return `The name ${escapeName(name)} contains a control character.`;
  }
  if (isLongerThan(name, limits.nameBytesMax)) {
    return `The name ${escapeName(name)} is longer than ${limits.nameBytesMax} bytes of UTF-8.`;
  }
  return null;
}

/** A name in quotes as it can be shown on any screen: on one line, nothing in it that moves a cursor or turns the text around, not endless. */
export function escapeName(name: string): string {
  const shown = Array.from(name.slice(0, 80), escapeCharacter).join('');
  return name.length > 80 ? `"${shown}…"` : `"${shown}"`;
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`;
  // Controls, formats (writing direction among them), lone surrogates, line and paragraph separators.
  if (!/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u.test(character)) return character;
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/**
 * Two names with one key cannot lie side by side on a file system that ignores letter case or Unicode's forms. Only a device
 * asks, and only to give one of them a local alias: names are unique by their exact bytes.
 */
export function collisionKey(name: string): string {
  if (ASCII.test(name)) return name.toLowerCase();
  // To lower, upper and lower again folds what has several lower forms (final sigma) or several letters (sharp s).
  return name.normalize('NFC').toLowerCase().toUpperCase().toLowerCase().normalize('NFC');
}

/**
 * `name (conflicted copy, device, date).ext`, shortened to fit the limit, with a number where that is `taken`. The answer is a name
 * that `judgeName` allows, for every `name` that it allows.
 */
export function conflictName(
  name: string,
  by: { readonly deviceName: string; readonly date: string },
  taken: (name: string) => boolean,
): string {
  const device = truncate(
    by.deviceName.toWellFormed().replace(UNFIT_FOR_SOME_SYSTEM, '-').trim(),
    DEVICE_NAME_BYTES_MAX,
  );
  const origin = [device, by.date].filter((part) => part !== '').join(', ');
  return numberedName(name, (count) => ` (conflicted copy, ${origin}${count})`, taken);
}

/** `suffix` goes before the extension and is told the number as it is to be shown: '' at first, then ` 2` and on. */
export function numberedName(
  name: string,
  suffix: (count: string) => string,
  taken: (name: string) => boolean,
): string {
  const { stem, extension } = splitName(name);
  for (let number = 1; ; number++) {
    const tail = suffix(number === 1 ? '' : ` ${number}`) + extension;
    const candidate = truncate(stem, limits.nameBytesMax - utf8(tail).length) + tail;
    if (!taken(candidate)) return candidate;
  }
}

/** The extension with its dot, '' where there is none. A leading dot hides a file; it begins no extension. */
export function splitName(name: string): { readonly stem: string; readonly extension: string } {
  const dot = name.lastIndexOf('.');
  const extension = name.slice(dot);
  if (dot <= 0 || extension.length === 1 || utf8(extension).length > EXTENSION_BYTES_MAX)
    return { stem: name, extension: '' };
  return { stem: name.slice(0, dot), extension };
}

/** The longest beginning of `text` that takes `bytesMax` bytes at most, whole characters with their accents and joiners only. */
function truncate(text: string, bytesMax: number): string {
  if (!isLongerThan(text, bytesMax)) return text;
  let kept = '';
  let bytes = 0;
  for (const { segment } of new Intl.Segmenter('und', { granularity: 'grapheme' }).segment(text)) {
    bytes += utf8(segment).length;
    if (bytes > bytesMax) break;
    kept += segment;
  }
  return kept;
}

/** Only texts that could be too long are encoded to find out: no UTF-16 unit takes more than three bytes. */
function isLongerThan(text: string, bytesMax: number): boolean {
  return 3 * text.length > bytesMax && utf8(text).length > bytesMax;
}

/** Which names a file system takes for one, and how it keeps them. */
import { utf8 } from '#core/bytes.ts';

export type NameRules = {
  /** `fold`: letters of either case are one, as far as that changes no lengths. The case that a name was made with is kept. */
  readonly letterCase: 'sensitive' | 'fold';
  /** `nfd`: kept decomposed. `ignored`: kept as given, and found in every form. */
  readonly unicode: 'bytes' | 'nfd' | 'ignored';
};

const NAME_BYTES_MAX = 255;
const ASCII = /^[ -~]*$/;

export class Names {
  readonly #rules: NameRules;
  readonly #isPlain: boolean;

  constructor(rules: NameRules) {
    this.#rules = rules;
    this.#isPlain = rules.letterCase === 'sensitive' && rules.unicode === 'bytes';
  }

  /** As it is kept and shown. */
  kept(name: string): string {
    return this.#rules.unicode === 'nfd' && !ASCII.test(name) ? name.normalize('NFD') : name;
  }

  /** Equal for names that are one. */
  key(name: string): string {
    if (this.#isPlain) return name;
    const formed = this.#rules.unicode === 'bytes' || ASCII.test(name) ? name : name.normalize('NFC');
    return this.#rules.letterCase === 'fold' ? folded(formed) : formed;
  }
}

export function isTooLong(name: string): boolean {
  // No character takes more than three bytes for each of its units.
  if (name.length * 3 <= NAME_BYTES_MAX) return false;
  return name.length > NAME_BYTES_MAX || bytesOfName(name).length > NAME_BYTES_MAX;
}

function folded(name: string): string {
  if (ASCII.test(name)) return name.toLowerCase();
  let text = '';
  for (const character of name) {
    const upper = character.toUpperCase();
    text += upper.length === character.length ? upper.toLowerCase() : character;
  }
  return text;
}

/** A lone low surrogate of these stands for a byte that is no UTF-8: names are bytes, and some are no text. */
const RAW_BYTE = 0xdc00;

export function nameOfRawByte(byte: number): string {
  return String.fromCharCode(RAW_BYTE + byte);
}

export function bytesOfName(name: string): Uint8Array {
  if (name.isWellFormed()) return utf8(name);
  const bytes: number[] = [];
  for (const character of name) {
    const code = character.charCodeAt(0);
    if (character.length === 1 && code >= RAW_BYTE && code < RAW_BYTE + 256) bytes.push(code - RAW_BYTE);
    else for (const byte of utf8(character)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** As Node shows it: with U+FFFD for what is no text. */
export function textOfName(name: string): string {
  return name.toWellFormed();
}

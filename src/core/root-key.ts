/**
 * The one key that a cluster cannot do without, and the text in which it lies in `root.key` and on the recovery sheet
 * (normative: docs/on-disk.md, "Recovery kit"). What it wraps: `wrap.ts`.
 */
import { assert } from './assert.ts';
import { concat, equalBytes, toHex, utf8, viewOf, type Bytes } from './bytes.ts';
import { HoldfastError } from './errors.ts';
import { id16Of, idBytes, type ClusterId } from './ids.ts';
import type { Primitives } from './primitives.ts';

export type RootKey = {
  /** From 1, raised by each rotation; 65,535 at most. */
  readonly generation: number;
  /** 32 random bytes. */
  readonly key: Bytes;
};

export type RecoveryKit = { readonly cluster: ClusterId; readonly root: RootKey };

const VERSION = 1;
const KIT_BYTES = 51;
const LINES = 3;
const LINE_BYTES = 17;
const CHECK_BYTES = 3;
const LINE_CHARACTERS = 32;
const GROUP_CHARACTERS = 4;
const CHECK_LABEL = utf8('holdfast/1 kit\0');
/** Crockford's base32: no I, L, O, U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Three lines of eight groups of four characters, each line ending in a line feed. */
export function encodeKit(p: Primitives, kit: RecoveryKit): string {
  const { generation, key } = kit.root;
  assert(generation >= 1 && generation <= 0xffff && key.length === 32, 'a root key of 32 bytes and its generation');
  const bytes = new Uint8Array(KIT_BYTES);
  bytes[0] = VERSION;
  viewOf(bytes).setUint16(1, generation);
  bytes.set(idBytes(kit.cluster), 3);
  bytes.set(key, 19);
  let text = '';
  for (let line = 1; line <= LINES; line++) {
    const own = bytes.subarray(LINE_BYTES * (line - 1), LINE_BYTES * line);
    text += `${grouped(toBase32(concat(own, checkOf(p, bytes, line))))}\n`;
  }
  return text;
}

/**
 * Reads what a person typed: letter case, spaces, hyphens and line breaks do not count; O is read as 0, I and L as 1. Throws
 * `invalid_field`, naming the first line that is wrong (also as `facts.line`), or `upgrade_required`.
 */
export function parseKit(p: Primitives, text: string): RecoveryKit {
  const bytes = new Uint8Array(KIT_BYTES);
  for (const [index, line] of linesOf(text).entries()) {
    const decoded = fromBase32(line);
    if (decoded === null) throw wrongLine(index + 1);
    bytes.set(decoded.subarray(0, LINE_BYTES), LINE_BYTES * index);
    if (!equalBytes(decoded.subarray(LINE_BYTES), checkOf(p, bytes, index + 1))) throw wrongLine(index + 1);
  }
  if (bytes[0] !== VERSION) {
    throw new HoldfastError('upgrade_required', 'This recovery kit was made by another version of Holdfast.');
  }
  const generation = viewOf(bytes).getUint16(1);
  if (generation === 0) throw wrongLine(1);
  return { cluster: id16Of(bytes.subarray(3, 19)), root: { generation, key: bytes.slice(19) } };
}

/** Shows that its bearer has the kit; the kit cannot be found from it. Hexadecimal. */
export function kitProof(p: Primitives, kit: RecoveryKit): string {
  return toHex(p.hmacSha256(kit.root.key, utf8('holdfast/1 kit confirmed'), idBytes(kit.cluster)));
}

/** Over all kit bytes up to this line's end, so that lines of two kits do not pass as one. */
function checkOf(p: Primitives, bytes: Bytes, line: number): Uint8Array {
  return p.sha256(CHECK_LABEL, bytes.subarray(0, LINE_BYTES * line)).subarray(0, CHECK_BYTES);
}

/** The three lines, bare. As they were written where there are three; a text in one piece is cut by length. */
function linesOf(text: string): readonly string[] {
  const written = text
    .split(/[\r\n]+/)
    .map((line) => line.replace(/[\s-]+/g, ''))
    .filter((line) => line !== '');
  const joined = written.join('');
  const lines = written.length === LINES ? written : cutIntoLines(joined);
  for (const [index, line] of lines.entries()) if (line.length !== LINE_CHARACTERS) throw wrongLine(index + 1);
  return lines;
}

function cutIntoLines(joined: string): readonly string[] {
  const expected = LINES * LINE_CHARACTERS;
  if (joined.length !== expected) {
    throw new HoldfastError(
      'invalid_field',
      `A recovery kit has ${LINES} lines of ${LINE_CHARACTERS} characters; these are ${joined.length} characters in all.`,
    );
  }
  return Array.from({ length: LINES }, (_, line) => joined.slice(LINE_CHARACTERS * line, LINE_CHARACTERS * (line + 1)));
}

function wrongLine(line: number): HoldfastError {
  return new HoldfastError('invalid_field', `Line ${line} of the recovery kit has a mistake in it.`, {
    facts: { line },
  });
}

function grouped(characters: string): string {
  return (characters.match(new RegExp(`.{${GROUP_CHARACTERS}}`, 'g')) ?? []).join(' ');
}

/** Five bits a character; 20 bytes are 32 characters exactly. */
function toBase32(bytes: Bytes): string {
  let text = '';
  let pending = 0;
  let bits = 0;
  for (const byte of bytes) {
    pending = ((pending << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET.charAt((pending >>> (bits - 5)) & 31);
  }
  return text;
}

function fromBase32(line: string): Uint8Array | null {
  if (!/^[0-9a-z]*$/i.test(line)) return null;
  const bytes = new Uint8Array(LINE_BYTES + CHECK_BYTES);
  let pending = 0;
  let bits = 0;
  let length = 0;
  for (const character of line.toUpperCase().replaceAll('O', '0').replace(/[IL]/g, '1')) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return null;
    pending = ((pending << 5) | digit) & 0xffff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[length++] = (pending >>> bits) & 0xff;
  }
  return bytes;
}

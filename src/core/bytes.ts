/** Hexadecimal, UTF-8 and joining of byte arrays, without any host's own types. */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export type Bytes = Uint8Array;

/** Where the host has these (ES2026) they are ten times as fast as a loop; hexadecimal ids are on every hot path. */
type WithHex = Uint8Array & { toHex?(): string; setFromHex?(text: string): unknown };
const HAS_NATIVE_HEX = typeof (new Uint8Array(0) as WithHex).setFromHex === 'function';

export function toHex(bytes: Bytes): string {
  if (HAS_NATIVE_HEX) return (bytes as Required<WithHex>).toHex();
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i] as number] as string;
  return text;
}

/** Null where `text` is not an even number of lower-case hexadecimal digits. */
export function fromHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return null;
  const bytes = new Uint8Array(text.length / 2);
  writeHex(bytes, 0, text);
  return bytes;
}

/** Writes the bytes that `text` stands for at `offset`. `text` is an id, or was judged by `fromHex`: it is not looked at again. */
export function writeHex(target: Uint8Array, offset: number, text: string): void {
  if (HAS_NATIVE_HEX) {
    (target.subarray(offset, offset + text.length / 2) as Required<WithHex>).setFromHex(text);
    return;
  }
  for (let i = 0; 2 * i < text.length; i++) {
    target[offset + i] = (digit(text.charCodeAt(2 * i)) << 4) | digit(text.charCodeAt(2 * i + 1));
  }
}

function digit(code: number): number {
  return code <= 57 ? code - 48 : code - 87;
}

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Null where the bytes are not well-formed UTF-8 (no replacement characters, ever). */
export function fromUtf8(bytes: Bytes): string | null {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return null;
  }
}

export function concat(...pieces: readonly Bytes[]): Uint8Array {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.length;
  }
  return joined;
}

export function equalBytes(left: Bytes, right: Bytes): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

export function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

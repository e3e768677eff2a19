/**
 * The outline of a zstd frame (RFC 8878), walked without decompressing anything. Node's decompressor is lenient where
 * a seal must not be: it passes over bytes and further frames behind the first, and older versions over a cut one.
 */
import type { Bytes } from '#core/bytes.ts';

const MAGIC = 0xfd2fb528;
const BLOCK_RAW = 0;
const BLOCK_RLE = 1;
const BLOCK_COMPRESSED = 2;

/**
 * The content length that the frame's header states. Null unless `frame` is, from its first byte to its last, one whole
 * frame that states its content length, names no dictionary and uses no reserved bit.
 */
export function zstdFrameContentLength(frame: Bytes): number | null {
  const header = parseHeader(frame);
  if (header === null) return null;
  let offset = header.length;
  for (;;) {
    if (offset + 3 > frame.length) return null;
    const word = byteAt(frame, offset) | (byteAt(frame, offset + 1) << 8) | (byteAt(frame, offset + 2) << 16);
    const kind = (word >> 1) & 3;
    if (kind !== BLOCK_RAW && kind !== BLOCK_RLE && kind !== BLOCK_COMPRESSED) return null;
    offset += 3 + (kind === BLOCK_RLE ? 1 : word >> 3);
    if (word & 1) break;
  }
  return offset + header.checksumLength === frame.length ? header.contentLength : null;
}

type Header = { readonly length: number; readonly contentLength: number; readonly checksumLength: number };

function parseHeader(frame: Bytes): Header | null {
  if (frame.length < 6) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== MAGIC) return null;
  const descriptor = byteAt(frame, 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const reservedBit = descriptor & 0x08;
  const dictionaryFlag = descriptor & 0x03;
  if (reservedBit !== 0 || dictionaryFlag !== 0) return null;
  const offset = singleSegment ? 5 : 6;
  const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  if (sizeLength === 0 || frame.length < offset + sizeLength) return null;
  return {
    length: offset + sizeLength,
    contentLength: readContentLength(view, offset, sizeLength),
    checksumLength: (descriptor & 0x04) === 0 ? 0 : 4,
  };
}

function readContentLength(view: DataView, offset: number, sizeLength: number): number {
  if (sizeLength === 1) return view.getUint8(offset);
  // Two bytes say 256 less than they mean, so that every length has its shortest form.
  if (sizeLength === 2) return view.getUint16(offset, true) + 256;
  if (sizeLength === 4) return view.getUint32(offset, true);
  return Number(view.getBigUint64(offset, true));
}

function byteAt(bytes: Bytes, offset: number): number {
  return bytes[offset] as number;
}

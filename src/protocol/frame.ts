/**
 * A message as bytes (normative: docs/protocol.md):
 *   "HFP" 01 | json length u32 | part count u32 | part length u32, count times | json (UTF-8) | parts
 * Big-endian. The lengths add up to the whole exactly: nothing follows.
 */
import { concat, fromUtf8, utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import type { Wire } from './wire.ts';

export const FRAME_MEDIA_TYPE = 'application/vnd.holdfast.message';
const HEAD_BYTES = 12;

/** As pieces, so that a socket can write large parts without copying them. Throws `too_large` where every receiver would refuse it. */
export function framePieces(message: Wire): readonly Uint8Array[] {
  const json = utf8(bodyText(message));
  limitMessage(json.length, message.parts);
  const head = new Uint8Array(HEAD_BYTES + 4 * message.parts.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0x48465001);
  view.setUint32(4, json.length);
  view.setUint32(8, message.parts.length);
  message.parts.forEach((part, index) => view.setUint32(HEAD_BYTES + 4 * index, part.length));
  return [concat(head, json), ...message.parts];
}

/** The body as every transport carries it. */
export function bodyText(message: Wire): string {
  return JSON.stringify(message.body ?? {});
}

/** Throws `too_large` where a message with a JSON part of that many bytes exceeds a limit, on whichever transport. */
export function limitMessage(jsonLength: number, parts: readonly Uint8Array[]): void {
  if (jsonLength > limits.messageJsonBytesMax)
    throw new HoldfastError('too_large', `the JSON part is limited to ${limits.messageJsonBytesMax} bytes`);
  if (parts.length > limits.messagePartsMax)
    throw new HoldfastError('too_large', `a message has at most ${limits.messagePartsMax} parts`);
  let length = HEAD_BYTES + 4 * parts.length + jsonLength;
  for (const part of parts) length += part.length;
  if (length > limits.messageBytesMax)
    throw new HoldfastError(
      'too_large',
      `a message is limited to ${limits.messageBytesMax} bytes, this one has ${length}`,
    );
}

/** Parts are views into `bytes`. Throws `invalid_json`, `short_body` or `too_large`. */
export function parseFrame(bytes: Uint8Array): Wire {
  const malformed = (detail: string) => new HoldfastError('invalid_json', detail);
  if (bytes.length < HEAD_BYTES)
    throw new HoldfastError('short_body', `a message has at least ${HEAD_BYTES} bytes, this one ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x48465001) throw malformed('a message begins with "HFP" and version 1');
  const jsonLength = view.getUint32(4);
  const partCount = view.getUint32(8);
  if (jsonLength > limits.messageJsonBytesMax)
    throw new HoldfastError('too_large', `the JSON part is limited to ${limits.messageJsonBytesMax} bytes`);
  if (partCount > limits.messagePartsMax)
    throw new HoldfastError('too_large', `a message has at most ${limits.messagePartsMax} parts`);
  let offset = HEAD_BYTES + 4 * partCount;
  if (bytes.length < offset + jsonLength) throw new HoldfastError('short_body', 'the body ended inside the JSON part');
  const text = fromUtf8(bytes.subarray(offset, offset + jsonLength));
  if (text === null) throw malformed('the JSON part is not UTF-8');
  const body = parseJson(text);
  offset += jsonLength;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < partCount; index++) {
    const length = view.getUint32(HEAD_BYTES + 4 * index);
    if (bytes.length - offset < length) throw new HoldfastError('short_body', `the body ended inside part ${index}`);
    parts.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  if (offset !== bytes.length) throw malformed(`${bytes.length - offset} bytes follow the message`);
  return { body, parts };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HoldfastError('invalid_json', error instanceof Error ? error.message.slice(0, 200) : 'not JSON');
  }
}

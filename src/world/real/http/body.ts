/** Messages as bodies of HTTP: written without joining large parts, read without exceeding a limit. */
import type { Readable } from 'node:stream';
import { concat } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { framePieces } from '#protocol/frame.ts';
import type { Wire } from '#protocol/wire.ts';
import type { HttpLimits } from './limits.ts';

export type Body = { readonly length: number; readonly content: Uint8Array | Iterable<Uint8Array> };

/** Throws `too_large`. Large parts are referred to until they are sent: they must not change before. */
export function bodyOf(message: Wire, limits: HttpLimits): Body {
  const pieces = framePieces(message);
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length <= limits.joinBytesMax) return { length, content: concat(...pieces) };
  return { length, content: slices(pieces, limits.sliceBytes) };
}

/** Slices let the socket say "enough", and show that a slow receiver moves at all. */
function* slices(pieces: readonly Uint8Array[], sliceBytes: number): Iterable<Uint8Array> {
  for (const piece of pieces) {
    for (let offset = 0; offset < piece.length; offset += sliceBytes) yield piece.subarray(offset, offset + sliceBytes);
  }
}

/**
 * Reads a body to its end. `declaredLength` null: not known before. Rejects with `too_large` as soon as it is known to be, with
 * `short_body` where the stream ends early or fails, and with what `tooSlow` makes after `pauseMsMax` without a byte. After a rejection
 * the stream stands still; what becomes of it is the caller's to say.
 */
export function readBody(stream: Readable, declaredLength: number | null, bounds: BodyBounds): Promise<Uint8Array> {
  const { bytesMax, pause } = bounds;
  return new Promise((resolve, reject) => {
    const tooLarge = () => new HoldfastError('too_large', `a message is limited to ${bytesMax} bytes`);
    if (declaredLength !== null && declaredLength > bytesMax) return reject(tooLarge());
    const body = declaredLength === null ? growing() : ofLength(declaredLength);
    const timer = pause ? setTimeout(() => fail(pause.tooSlow()), pause.msMax) : null;
    const data = (piece: Uint8Array) => {
      timer?.refresh();
      if (body.received() + piece.length > (declaredLength ?? bytesMax)) fail(tooLarge());
      else body.add(piece);
    };
    const end = () => {
      stop();
      if (declaredLength === null || body.received() === declaredLength) resolve(body.whole());
      else reject(shortBody(body.received(), declaredLength));
    };
    const fail = (error: unknown) => {
      stop();
      stream.pause();
      reject(error);
    };
    const failed = (error: Error) => fail(bounds.failed(error));
    const closed = () => fail(shortBody(body.received(), declaredLength));
    const stop = () => {
      if (timer) clearTimeout(timer);
      stream.off('data', data).off('end', end).off('error', failed).off('close', closed);
      stream.on('error', () => {});
    };
    stream.on('data', data).on('end', end).on('error', failed).on('close', closed);
  });
}

export type BodyBounds = {
  readonly bytesMax: number;
  readonly pause?: { readonly msMax: number; readonly tooSlow: () => Error };
  /** What a failure of the stream itself means. */
  readonly failed: (error: Error) => Error;
};

function shortBody(received: number, declared: number | null): HoldfastError {
  return new HoldfastError(
    'short_body',
    `the body ended after ${received}${declared === null ? '' : ` of ${declared}`} bytes`,
  );
}

/** Uninitialised memory costs nothing until it is written: a large length that is declared and never arrives takes none. */
function ofLength(length: number) {
  const whole = Buffer.allocUnsafeSlow(length);
  let received = 0;
  return {
    received: () => received,
    add(piece: Uint8Array) {
      whole.set(piece, received);
      received += piece.length;
    },
    // Not the Buffer itself: its `slice` does not copy, and parts are handed to code that takes it to.
    whole: () => new Uint8Array(whole.buffer),
  };
}

function growing() {
  const pieces: Uint8Array[] = [];
  let received = 0;
  return {
    received: () => received,
    add(piece: Uint8Array) {
      pieces.push(piece);
      received += piece.length;
    },
    whole: () => concat(...pieces),
  };
}

/** Null where the header is missing; the parser below has refused everything that is no number. */
export function declaredLengthOf(header: string | readonly string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : null;
}

/** One message in, one message out. */
import { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HoldfastError } from '#core/errors.ts';
import { FRAME_MEDIA_TYPE, parseFrame } from '#protocol/frame.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import { bodyOf, declaredLengthOf, readBody } from './body.ts';
import type { HttpLimits } from './limits.ts';
import { HttpRefusal } from './problem.ts';
import { shownPin } from './tls-identity.ts';

/** What all requests of one listener share. */
export type Exchange = {
  readonly handler: Handler;
  readonly limits: HttpLimits;
  /** Of all requests that are being received or answered. */
  bytesHeld: number;
  readonly running: Set<AbortController>;
  closing: boolean;
  /** Called whenever the last request under way has been answered. */
  idle: () => void;
};

const VERB_NAME = /^[a-z][a-z0-9-]{0,63}$/;

/** Refuses by what the headers say before a byte of the body is read. */
export async function answerMessage(
  exchange: Exchange,
  verbName: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { raw } = request;
  const { limits } = exchange;
  if (!VERB_NAME.test(verbName)) throw new HoldfastError('unknown_route', 'there is nothing at this address');
  checkMedia(raw);
  const caller = callerOf(raw);
  const declared = declaredLengthOf(raw.headers['content-length']);
  const bytes = declared ?? limits.messageBytesMax;
  if (bytes > limits.messageBytesMax)
    throw new HoldfastError('too_large', `a message is limited to ${limits.messageBytesMax} bytes`);
  if (exchange.bytesHeld + bytes > limits.requestBytesHeldMax)
    throw new HoldfastError('busy', 'too much is being received at this moment');

  const controller = new AbortController();
  const gone = () => {
    if (!reply.raw.writableFinished) controller.abort(new HoldfastError('unreachable', 'the caller went away'));
  };
  exchange.bytesHeld += bytes;
  exchange.running.add(controller);
  reply.raw.once('close', gone);
  try {
    const message = parseFrame(await receive(raw, declared, limits));
    const answer = bodyOf(await exchange.handler(verbName, message, caller, controller.signal), limits);
    const payload =
      answer.content instanceof Uint8Array ? answer.content : Readable.from(answer.content, { objectMode: false });
    return await reply.type(FRAME_MEDIA_TYPE).header('content-length', answer.length).send(payload);
  } finally {
    reply.raw.off('close', gone);
    exchange.bytesHeld -= bytes;
    exchange.running.delete(controller);
    if (exchange.running.size === 0) exchange.idle();
  }
}

function checkMedia({ headers }: IncomingMessage): void {
  const mediaType = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (mediaType !== FRAME_MEDIA_TYPE)
    throw new HoldfastError('unsupported_media', `the content type of a message is ${FRAME_MEDIA_TYPE}`);
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity')
    throw new HoldfastError('unsupported_media', 'a message has no content encoding');
}

const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/**
 * One proof, or none. A key and a token together are refused: which of the two somebody acts under is a question that no request
 * may leave open. A malformed `Authorization` proves nothing, and is judged as nothing.
 */
function callerOf({ socket, headers }: IncomingMessage): Caller {
  const address = socket.remoteAddress ?? '';
  const pin = socket instanceof TLSSocket ? shownPin(socket) : null;
  const token = BEARER.exec(headers.authorization ?? '')?.[1];
  if (pin !== null && token !== undefined)
    throw new HoldfastError('unauthenticated', 'show a key or a token, not both');
  if (pin !== null) return { kind: 'pinned', pin, address };
  return token === undefined ? { kind: 'anonymous', address } : { kind: 'bearer', token, address };
}

/** A sender that pauses for too long is cut off, however slow a steady one may be. */
function receive(request: IncomingMessage, declared: number | null, limits: HttpLimits): Promise<Uint8Array> {
  const msMax = limits.bodyPauseMsMax;
  return readBody(request, declared, {
    bytesMax: limits.messageBytesMax,
    pause: { msMax, tooSlow: () => new HttpRefusal(408, 'short_body', `no byte of the body came for ${msMax} ms`) },
    failed: (cause) => new HoldfastError('short_body', 'the connection ended inside the body', { cause }),
  });
}

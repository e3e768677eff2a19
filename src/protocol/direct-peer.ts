/** A peer in the same thread: what a handler answers, without a transport in between. */
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { bodyText, limitMessage } from './frame.ts';
import { givenUp } from './given-up.ts';
import { errorOfProblem, problemOf } from './problem.ts';
import type { Caller, Handler, Peer, Wire } from './wire.ts';

/**
 * Messages are copied both ways and errors cross as problem documents, so that neither side can come to rely on sharing memory,
 * or on anything else that no transport keeps.
 */
export function directPeer(handler: Handler, caller: Caller): Peer {
  const open = new Set<AbortController>();
  let closed = false;
  return {
    async call(verbName, message, signal) {
      if (closed) throw connectionClosed();
      if (signal.aborted) throw givenUp(signal);
      const request = copyOf(message);
      const controller = new AbortController();
      open.add(controller);
      const cancelled = rejection(signal, controller, () => closed);
      try {
        const answer = answered(handler, verbName, request, caller, controller.signal);
        return await Promise.race([answer, cancelled.promise]);
      } finally {
        cancelled.end();
        open.delete(controller);
      }
    },
    async close() {
      closed = true;
      for (const controller of open) controller.abort(connectionClosed());
    },
  };
}

async function answered(...[handler, verbName, message, caller, signal]: [Handler, ...Parameters<Handler>]) {
  try {
    return copyOf(await handler(verbName, message, caller, signal));
  } catch (error) {
    throw errorOfProblem(problemOf(error), 'an error');
  }
}

/** Rejects when the caller gives up (and tells the handler), or when the connection was closed. */
function rejection(signal: AbortSignal, handlers: AbortController, isClosed: () => boolean) {
  let end = () => {};
  const promise = new Promise<never>((_, reject) => {
    const giveUp = () => handlers.abort(givenUp(signal));
    const stop = () => reject(isClosed() ? connectionClosed() : givenUp(signal));
    signal.addEventListener('abort', giveUp, { once: true });
    handlers.signal.addEventListener('abort', stop, { once: true });
    end = () => {
      signal.removeEventListener('abort', giveUp);
      handlers.signal.removeEventListener('abort', stop);
    };
  });
  return { promise, end };
}

function copyOf(message: Wire): Wire {
  const text = bodyText(message);
  limitMessage(utf8(text).length, message.parts);
  return { body: JSON.parse(text), parts: message.parts.map((part) => new Uint8Array(part)) };
}

function connectionClosed(): HoldfastError {
  return new HoldfastError('unreachable', 'the connection was closed');
}

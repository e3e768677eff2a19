/** Messages between two threads of one process: structured clones over a MessagePort, large answers moved instead of copied. */
import type { MessagePort } from 'node:worker_threads';
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Pin } from '#core/ids.ts';
import { KIB } from '#core/limits.ts';
import { bodyText, limitMessage } from '#protocol/frame.ts';
import { givenUp } from '#protocol/given-up.ts';
import { errorOfProblem, problemOf } from '#protocol/problem.ts';
import type { Caller, Handler, Peer, Problem, Wire } from '#protocol/wire.ts';
import type { Log } from '../log.ts';
import { notSent } from '../not-sent.ts';
import { httpLimits } from './http/limits.ts';
import { stderrLog } from './log.ts';

/** The body crosses as the text that it is on every other transport, so that nothing survives here that would not survive there. */
type Request =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly verb: string;
      readonly text: string;
      readonly parts: readonly Uint8Array[];
      readonly credential: string | null;
    }
  | { readonly kind: 'cancel'; readonly id: number };
type Answer =
  | { readonly kind: 'answer'; readonly id: number; readonly text: string; readonly parts: readonly Uint8Array[] }
  | { readonly kind: 'problem'; readonly id: number; readonly problem: Problem };

/** Below this a copy costs less than moving the buffer, and leaves small things that a handler answers with, a key list say, where they are. */
const MOVED_BYTES_MIN = 64 * KIB;
const THREAD = 'another thread';

/** Who calls over a port: whoever holds its other end was given it by this process, and carries a token like any device. */
export function bearerOverPort(credential: string | null): Caller {
  return credential === null
    ? { kind: 'anonymous', address: THREAD }
    : { kind: 'bearer', token: credential, address: THREAD };
}

/** For a port whose other end is one known role: it counts as the holder of that key. */
export function pinnedOverPort(pin: Pin): () => Caller {
  return () => ({ kind: 'pinned', pin, address: THREAD });
}

/** Answers what comes over `port` until either side closes it, which aborts what is being handled. */
export function servePort(
  port: MessagePort,
  handler: Handler,
  callerOf: (credential: string | null) => Caller,
  log: Log = stderrLog('error'),
): { close(): void } {
  const running = new Map<number, AbortController>();
  const abortAll = () => {
    for (const controller of running.values()) {
      controller.abort(new HoldfastError('unreachable', 'the caller went away'));
    }
  };
  port.on('message', (request: Request) => {
    if (request.kind === 'cancel') {
      running.get(request.id)?.abort(new HoldfastError('unreachable', 'the caller gave up'));
      return;
    }
    const controller = new AbortController();
    running.set(request.id, controller);
    void answered(request, handler, callerOf(request.credential), controller.signal, log).then((answer) => {
      running.delete(request.id);
      post(port, answer, log);
    });
  });
  port.on('messageerror', () => port.close());
  port.once('close', abortAll);
  return {
    close() {
      abortAll();
      port.close();
    },
  };
}

/** An answer that cannot cross (a part of it was moved away before, say) is a defect that its caller must not wait for in vain. */
function post(port: MessagePort, answer: Answer, log: Log): void {
  try {
    port.postMessage(answer, answer.kind === 'answer' ? movable(answer.parts) : []);
  } catch (error) {
    log.error('an answer could not be sent', { error });
    port.postMessage({ kind: 'problem', id: answer.id, problem: problemOf(error) } satisfies Answer);
  }
}

/** Never rejects. */
async function answered(
  request: Request & { kind: 'call' },
  handler: Handler,
  caller: Caller,
  signal: AbortSignal,
  log: Log,
): Promise<Answer> {
  const { id, verb } = request;
  try {
    const answer = await handler(verb, { body: JSON.parse(request.text), parts: request.parts }, caller, signal);
    return { kind: 'answer', id, ...carried(answer) };
  } catch (error) {
    if (!(error instanceof HoldfastError)) log.error('a request failed', { verb, error });
    return { kind: 'problem', id, problem: problemOf(error) };
  }
}

/** Throws `too_large`. */
function carried(message: Wire): { readonly text: string; readonly parts: readonly Uint8Array[] } {
  const text = bodyText(message);
  limitMessage(utf8(text).length, message.parts);
  // A view is copied alone, not with all of the buffer that it shows a piece of.
  const parts = message.parts.map((part) => (ownsBuffer(part) ? part : new Uint8Array(part)));
  return { text, parts };
}

function ownsBuffer(part: Uint8Array): boolean {
  return part.byteLength === part.buffer.byteLength && part.buffer instanceof ArrayBuffer;
}

/** Each buffer once, however many parts show it. Parts that own theirs are moved, and with them the copies that `carried` made. */
function movable(parts: readonly Uint8Array[]): ArrayBuffer[] {
  const large = parts.filter((part) => part.length >= MOVED_BYTES_MIN && ownsBuffer(part));
  return [...new Set(large.map((part) => part.buffer as ArrayBuffer))];
}

type Pending = { readonly resolve: (answer: Wire) => void; readonly reject: (error: HoldfastError) => void };

/** The caller's end. `credential` travels as a bearer token with each call. */
export function portPeer(port: MessagePort, credential: string | null = null): Peer {
  return new PortPeer(port, credential);
}

class PortPeer implements Peer {
  readonly #port: MessagePort;
  readonly #credential: string | null;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closed = false;

  constructor(port: MessagePort, credential: string | null) {
    this.#port = port;
    this.#credential = credential;
    port.on('message', (answer: Answer) => this.#settle(answer));
    port.on('messageerror', () => void this.close());
    port.once('close', () => this.#end());
  }

  call(verb: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw notSent(closedError());
      if (signal.aborted) throw notSent(givenUp(signal));
      if (this.#pending.size >= httpLimits.callsPerPeerMax)
        throw notSent(new HoldfastError('busy', 'too many requests to another thread are under way'));
      const request = carried(message);
      const id = (this.#lastId += 1);
      // The caller may send the same parts again: what crosses is a copy, and only that is moved.
      const copies = request.parts.filter((part, index) => part !== message.parts[index]);
      this.#port.postMessage(
        { kind: 'call', id, verb, ...request, credential: this.#credential } satisfies Request,
        movable(copies),
      );
      const giveUp = () => {
        this.#port.postMessage({ kind: 'cancel', id } satisfies Request);
        this.#take(id)?.reject(givenUp(signal));
      };
      const ended = () => signal.removeEventListener('abort', giveUp);
      this.#pending.set(id, {
        resolve: (answer) => (ended(), resolve(answer)),
        reject: (error) => (ended(), reject(error)),
      });
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  async close(): Promise<void> {
    this.#end();
    this.#port.close();
  }

  /** An answer that nobody waits for any more belongs to a call that was given up. */
  #settle(answer: Answer): void {
    const pending = this.#take(answer.id);
    if (answer.kind === 'answer') pending?.resolve({ body: JSON.parse(answer.text), parts: answer.parts });
    else pending?.reject(errorOfProblem(answer.problem, 'an error'));
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #end(): void {
    this.#closed = true;
    for (const id of this.#pending.keys()) this.#take(id)?.reject(closedError());
  }
}

function closedError(): HoldfastError {
  return new HoldfastError('unreachable', 'the connection to another thread was closed');
}

/** The client's side of HTTP: keep-alive connections, one request at a time on each, to one address. */
import { callbackify } from 'node:util';
import type { Dispatcher, Pool } from 'undici';
import { assert } from '#core/assert.ts';
import { fromUtf8 } from '#core/bytes.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import { FRAME_MEDIA_TYPE, parseFrame } from '#protocol/frame.ts';
import { givenUp } from '#protocol/given-up.ts';
import { errorOfProblem } from '#protocol/problem.ts';
import type { Peer, Wire } from '#protocol/wire.ts';
import { notSent } from '../../not-sent.ts';
import { codeOf, openConnection, unreachableError } from './connector.ts';
import { bodyOf, declaredLengthOf, readBody } from './body.ts';
import type { HttpLimits } from './limits.ts';
import type { Target } from './target.ts';

/** Connects with the first call. `credential` goes into every request, and nowhere before the target has proven itself. */
export function httpPeer(target: Target, credential: string | null, limits: HttpLimits): Peer {
  return new HttpPeer(target, credential, limits);
}

class HttpPeer implements Peer {
  readonly #target: Target;
  readonly #credential: string | null;
  readonly #limits: HttpLimits;
  #library: Promise<{ readonly pool: Pool; readonly request: Request }> | null = null;
  #calls = 0;
  #closed = false;

  constructor(target: Target, credential: string | null, limits: HttpLimits) {
    this.#target = target;
    this.#credential = credential;
    this.#limits = limits;
  }

  async call(verbName: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    assert(this.#target.proof.kind !== 'unverified' || verbName === 'keys', 'a stranger is asked for its keys alone');
    if (signal.aborted) throw notSent(givenUp(signal));
    const body = bodyOf(message, this.#limits);
    if (this.#calls >= this.#limits.callsPerPeerMax)
      throw notSent(new HoldfastError('busy', `too many requests to ${this.#target.address} are under way`));
    this.#calls += 1;
    try {
      const { pool, request } = await this.#connections();
      const answer = await request.call(pool, {
        method: 'POST',
        path: `/v1/${encodeURIComponent(verbName)}`,
        headers: this.#headers(body.length),
        body: body.content as NonNullable<Dispatcher.DispatchOptions['body']>,
        signal,
      });
      return await this.#read(answer);
    } catch (error) {
      throw signal.aborted ? givenUp(signal) : translated(error, this.#target.address);
    } finally {
      this.#calls -= 1;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#library)?.pool.destroy();
  }

  #headers(length: number): Record<string, string> {
    return {
      'content-type': FRAME_MEDIA_TYPE,
      'content-length': String(length),
      accept: `${FRAME_MEDIA_TYPE}, application/problem+json`,
      ...(this.#credential === null ? {} : { authorization: `Bearer ${this.#credential}` }),
    };
  }

  /** The library is loaded by the first call: a process that only listens, or only prints its help, does without. */
  async #connections(): Promise<{ readonly pool: Pool; readonly request: Request }> {
    this.#library ??= loadLibrary().then(({ PoolClass, request }) => ({
      pool: makePool(PoolClass, this.#target, this.#limits),
      request,
    }));
    const library = await this.#library;
    if (this.#closed)
      throw notSent(new HoldfastError('unreachable', `the connection to ${this.#target.address} was closed`));
    return library;
  }

  async #read({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Wire> {
    const declared = declaredLengthOf(headers['content-length']);
    const isMessage = statusCode === 200 && mediaType(headers['content-type']) === FRAME_MEDIA_TYPE;
    // An answer that is not read to its end must not hold its connection, and how it ends is no news then.
    body.on('error', () => {});
    const bytesMax = isMessage ? this.#limits.messageBytesMax : this.#limits.problemBytesMax;
    const bytes = await readAnswer(
      () => readBody(body, declared, { bytesMax, failed: (error) => error }),
      this.#target.address,
    ).finally(() => body.destroy());
    if (isMessage) return readAnswer(async () => parseFrame(bytes), this.#target.address);
    const problem = mediaType(headers['content-type']) === 'application/problem+json' ? json(bytes) : null;
    throw errorOfProblem(problem, `HTTP status ${statusCode}`);
  }
}

type Request = (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>;

/** Pools and requests alone: the whole library, with its fetch, caches and mocks, takes thrice as long to load, on every thread that calls. */
async function loadLibrary(): Promise<{ readonly PoolClass: typeof Pool; readonly request: Request }> {
  const { default: PoolClass } = await import('undici/lib/dispatcher/pool.js');
  const { default: request } = await import('undici/lib/api/api-request.js');
  return { PoolClass, request };
}

const openForPool = callbackify(openConnection);

function makePool(PoolClass: typeof Pool, target: Target, limits: HttpLimits): Pool {
  return new PoolClass(target.origin, {
    connections: limits.connectionsPerPeer,
    pipelining: 1,
    headersTimeout: limits.answerMsMax,
    bodyTimeout: limits.answerPauseMsMax,
    keepAliveTimeout: limits.idleConnectionMsMax,
    keepAliveMaxTimeout: limits.idleConnectionMsMax,
    maxHeaderSize: limits.headerBytesMax,
    connect: (_, callback) =>
      openForPool(target, limits, (error, socket) => (error ? callback(error, null) : callback(null, socket))),
  });
}

/** What is wrong with an answer says nothing about the request, whose outcome is unknown: codes of bad requests do not fit. */
async function readAnswer<T>(read: () => Promise<T>, address: string): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!hasCode(error, 'too_large', 'short_body', 'invalid_json')) throw error;
    throw new HoldfastError('unreachable', `the answer of ${address} is not whole: ${error.message}`, { cause: error });
  }
}

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

function translated(error: unknown, address: string): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  if (TIMEOUTS.has(code))
    return new HoldfastError('timeout', `${address} did not answer in time; the outcome is unknown`, { cause: error });
  return code === '' || code === 'UND_ERR_INVALID_ARG' ? error : unreachableError(error, address);
}

function mediaType(header: string | string[] | undefined): string {
  return typeof header === 'string' ? (header.split(';')[0] ?? '').trim().toLowerCase() : '';
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes) ?? '');
  } catch {
    return null;
  }
}

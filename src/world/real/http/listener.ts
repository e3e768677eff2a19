/** Serves a handler over HTTP: `POST /v1/<verb>` carries one message each way, `GET` shows pages to people. */
import type { IncomingMessage, Server } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HoldfastError } from '#core/errors.ts';
import type { Handler } from '#protocol/wire.ts';
import type { Log } from '../../log.ts';
import type { Listening, Page, TlsIdentity } from '../../net.ts';
import { answerMessage, type Exchange } from './exchange.ts';
import { PAGE_HEADERS, SECURITY_HEADERS } from './headers.ts';
import type { HttpLimits } from './limits.ts';
import { HttpRefusal, problemAnswer, refusalOfParser, refuseConnection, requestIdOf } from './problem.ts';
import { httpServer, type HttpServer } from './server.ts';

export type ListenOptions = {
  readonly identity?: TlsIdentity;
  readonly page?: (path: string) => Promise<Page | null>;
};
export type ListenAt = { readonly host: string; readonly port: number };

/** Rejects with `port_in_use`, `not_permitted_by_disk` or `invalid_usage` where nothing can be listened to there. */
export async function listenHttp(
  at: ListenAt,
  handler: Handler,
  options: ListenOptions,
  environment: { readonly limits: HttpLimits; readonly log: Log },
): Promise<Listening> {
  const { limits } = environment;
  const exchange: Exchange = { handler, limits, bytesHeld: 0, running: new Set(), closing: false, idle: () => {} };
  const { app, http } = await makeApp(exchange, options, environment);
  await app.ready();
  await listen(http.server, at);
  // A connection that could not be accepted (too many open files, say) is lost; those that are there go on.
  http.server.on('error', (error) => environment.log.warn('a connection was not accepted', { error }));
  const bound = http.server.address();
  return {
    port: typeof bound === 'object' && bound ? bound.port : at.port,
    replaceIdentity: (identity) => http.replaceIdentity(identity),
    close: () => close(exchange, app, http),
  };
}

/** Messages have schemas of the protocol's. The framework's own, which it would load on each start, take more time than all the rest of it. */
function noSchema(): never {
  throw new HoldfastError('defect', 'no route has a schema of the framework');
}

async function makeApp(
  exchange: Exchange,
  options: ListenOptions,
  { limits, log }: { readonly limits: HttpLimits; readonly log: Log },
): Promise<{ app: FastifyInstance; http: HttpServer }> {
  const { fastify } = await import('fastify');
  let http!: HttpServer;
  const refuse = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const known = ownError(error);
    if (!(known instanceof HoldfastError)) log.error('a request failed', { requestId: request.id, error });
    const { status, text } = problemAnswer(known, request.id);
    // As bytes: to a text the framework would add a charset, which this media type does not have.
    return reply.headers(SECURITY_HEADERS).code(status).type('application/problem+json').send(Buffer.from(text));
  };
  /** Connections on which an answer is being written, or was written before its request had ended. */
  const answering = new WeakSet<object>();
  const refused = new WeakSet<object>();
  const app = fastify({
    schemaController: { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } },
    serverFactory(listener) {
      http = httpServer(listener, options.identity ?? null, limits);
      return http.server;
    },
    clientErrorHandler(error, socket) {
      if (refused.has(socket)) return;
      // Words between the lines of an answer under way would be read as a part of it.
      if (!socket.writable || answering.has(socket)) return void socket.destroy();
      refused.add(socket);
      refuseConnection(socket, refusalOfParser(error.code), limits.lingerMsMax);
    },
    frameworkErrors: (error, request, reply) => refuse(error, request as FastifyRequest, reply as FastifyReply),
    genReqId: requestIdOf,
    requestIdHeader: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: limits.urlBytesMax },
  });

  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    if (exchange.closing) {
      reply.header('connection', 'close');
      throw new HoldfastError('stopping', 'this process is stopping');
    }
    if (request.raw.url !== undefined && request.raw.url.length > limits.urlBytesMax)
      throw new HttpRefusal(414, 'too_large', `an address is limited to ${limits.urlBytesMax} bytes`);
  });
  app.addHook('onSend', async (request, reply) => {
    answering.add(request.raw.socket);
    if (exchange.closing) reply.header('connection', 'close');
    if (!request.raw.complete) linger(request.raw, limits.lingerMsMax);
  });
  app.addHook('onResponse', async (request) => {
    if (request.raw.complete) answering.delete(request.raw.socket);
  });
  app.setErrorHandler(refuse);

  // Bodies are read by the exchange itself, and only where a message is expected.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_, payload, done) => done(null, payload));
  app.post<{ Params: { verb: string } }>('/v1/:verb', (request, reply) =>
    answerMessage(exchange, request.params.verb, request, reply),
  );
  servePages(app, options.page);
  return { app, http };
}

function servePages(app: FastifyInstance, page: ListenOptions['page']): void {
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.raw.url);
    const allowed = path.startsWith('/v1/') ? 'POST' : page ? 'GET, HEAD' : null;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (allowed === null || (allowed !== 'POST' && isRead)) throw nothingHere();
    reply.header('allow', allowed);
    throw new HoldfastError('method_not_allowed', `possible here: ${allowed}`);
  });
  if (!page) return;
  app.get('/*', async (request, reply) => {
    const path = pathOf(request.raw.url);
    if (path.startsWith('/v1/')) return reply.callNotFound();
    const found = await page(path);
    if (!found) throw nothingHere();
    return reply.headers(PAGE_HEADERS).code(found.status).type(found.contentType).send(found.body);
  });
}

const nothingHere = () => new HoldfastError('unknown_route', 'there is nothing at this address');
const pathOf = (url: string | undefined) => (url ?? '/').split('?', 1)[0] as string;

/** What the framework refused by itself becomes one of Holdfast's own errors. */
function ownError(error: unknown): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const { code = '', statusCode = 500 } = error as Error & { code?: string; statusCode?: number };
  if (!code.startsWith('FST_') || statusCode >= 500) return error;
  if (statusCode === 415) return new HoldfastError('unsupported_media', 'this content type is not possible here');
  return new HttpRefusal(statusCode, 'invalid_json', 'the request is not well-formed');
}

/** Takes the rest of a refused body for a moment, so that its sender gets to read why. */
function linger(request: IncomingMessage, lingerMs: number): void {
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, lingerMs);
  // The connection's own end is enough to keep a process waiting for.
  timer.unref();
  request.once('close', () => clearTimeout(timer));
  request.resume();
}

function listen(server: Server, { host, port }: ListenAt): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port));
    server.once('error', failed);
    server.listen({ host, port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): HoldfastError {
  switch (error.code) {
    case 'EADDRINUSE':
      return new HoldfastError(
        'port_in_use',
        `port ${port} is in use by another process; end that one, or choose another port`,
        { facts: { port }, cause: error },
      );
    case 'EACCES':
      return new HoldfastError(
        'not_permitted_by_disk',
        `the operating system does not let this user listen on port ${port}; choose one above 1023`,
        { facts: { port }, cause: error },
      );
    default:
      return new HoldfastError('invalid_usage', `this machine cannot listen at ${host}, port ${port}`, {
        cause: error,
      });
  }
}

async function close(exchange: Exchange, app: FastifyInstance, { server, destroyConnections }: HttpServer) {
  exchange.closing = true;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  // Connections without a request wait for nobody: only requests under way are given time.
  const idle = new Promise<void>((resolve) => {
    exchange.idle = resolve;
    if (exchange.running.size === 0) resolve();
  });
  await within(idle, exchange.limits.closeGraceMs);
  for (const controller of exchange.running)
    controller.abort(new HoldfastError('stopping', 'this process is stopping'));
  await within(idle, exchange.limits.closeAbortMs);
  destroyConnections();
  await closed;
  await app.close();
}

async function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, over]);
  clearTimeout(timer);
}

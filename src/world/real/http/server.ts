/** The sockets under a listener: TLS where there is an identity, limits on everything a stranger can do without a request. */
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { constants } from 'node:crypto';
import { HoldfastError } from '#core/errors.ts';
import type { TlsIdentity } from '../../net.ts';
import type { HttpLimits } from './limits.ts';
import { createServer as createPlainServer } from './node-http.ts';

export type HttpServer = {
  readonly server: Server;
  replaceIdentity(identity: TlsIdentity): void;
  /** Ends every connection, also those that have not finished their handshake. */
  destroyConnections(): void;
};

export function httpServer(listener: RequestListener, identity: TlsIdentity | null, limits: HttpLimits): HttpServer {
  const http: ServerOptions = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headersMsMax,
    requestTimeout: limits.requestMsMax,
    connectionsCheckingInterval: Math.min(5_000, limits.headersMsMax),
    keepAliveTimeout: limits.keepAliveMs,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: limits.keepAliveMs,
  };
  const tls = identity ? tlsServer(listener, http, identity, limits) : null;
  const server = (tls as Server | null) ?? createPlainServer(http, listener);
  server.maxConnections = limits.connectionsMax;
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return {
    server,
    replaceIdentity(next) {
      if (!tls) throw new HoldfastError('invalid_usage', 'a listener without TLS has no key to replace');
      tls.setSecureContext(secureContext(next));
    },
    destroyConnections() {
      for (const socket of connections) socket.destroy();
    },
  };
}

function tlsServer(listener: RequestListener, http: ServerOptions, identity: TlsIdentity, limits: HttpLimits) {
  const options: TlsServerOptions = {
    ...http,
    ...secureContext(identity),
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: limits.handshakeMsMax,
    // Whose key it is, use-cases judge by its pin; a chain of authorities means nothing here.
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createTlsServer(options, listener);
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.isSessionReused()) socket.destroy();
  });
  return server;
}

/**
 * A resumed session shows no certificate, so there are none: no tickets (TLS 1.3 then asks for sessions that the server remembers), and
 * nothing remembers one.
 */
function secureContext(identity: TlsIdentity): SecureContextOptions {
  return {
    key: identity.privateKeyPem,
    cert: identity.certificatePem,
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

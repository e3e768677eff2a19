/** Makes the connections of a peer: whoever is at the other end has proven itself before the caller's first byte. */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { HoldfastError } from '#core/errors.ts';
import { notSent } from '../../not-sent.ts';
import { isLoopbackAddress, type Target } from './target.ts';
import type { HttpLimits } from './limits.ts';
import { shownPin } from './tls-identity.ts';

const SOCKET_PROBE_MS = 60_000;

/** Rejects with `unreachable` or `unknown_pin`; either way nothing was sent. */
export function openConnection(target: Target, limits: HttpLimits): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = target.proof.kind === 'loopback' ? openTcp(target) : openTls(target);
    const fail = (error: HoldfastError) => {
      clearTimeout(timer);
      socket.destroy();
      reject(notSent(error));
    };
    const failedByItself = (error: Error) => fail(connectionError(error, target));
    const timer = setTimeout(() => {
      fail(new HoldfastError('unreachable', `${target.address} did not answer within ${limits.connectMsMax} ms`));
    }, limits.connectMsMax);
    socket.once('error', failedByItself);
    socket.once(target.proof.kind === 'loopback' ? 'connect' : 'secureConnect', () => {
      const objection = judge(socket, target);
      if (objection) return fail(objection);
      clearTimeout(timer);
      socket.off('error', failedByItself);
      resolve(socket);
    });
  });
}

function openTcp({ host, port }: Target): Socket {
  return connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: SOCKET_PROBE_MS });
}

/** Without a session of an earlier connection, ever: a resumed one shows no certificate. */
function openTls({ host, port, proof, show }: Target): TLSSocket {
  const socket = connectTls({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(show ? { key: show.privateKeyPem, cert: show.certificatePem } : {}),
    minVersion: proof.kind === 'public' ? 'TLSv1.2' : 'TLSv1.3',
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: proof.kind === 'public',
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, SOCKET_PROBE_MS);
  return socket;
}

/** What speaks against this very connection, or null. */
function judge(socket: Socket, { proof, address }: Target): HoldfastError | null {
  switch (proof.kind) {
    case 'loopback':
      return isLoopbackAddress(socket.remoteAddress ?? '')
        ? null
        : new HoldfastError(
            'unreachable',
            `${address} leads to another machine; plain http is possible to this one only`,
          );
    case 'pinned': {
      const pin = shownPin(socket as TLSSocket);
      if (pin !== null && proof.pins.includes(pin)) return null;
      return new HoldfastError(
        'unknown_pin',
        `${address} showed ${pin === null ? 'no key' : 'a key that is not known'}`,
      );
    }
    case 'public':
    case 'unverified':
      return null;
  }
}

/** Codes of certificates that do not verify, as OpenSSL and Node.js name them. */
const DISTRUSTED = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_)/;

function connectionError(error: Error, { address, proof }: Target): HoldfastError {
  if (proof.kind === 'public' && DISTRUSTED.test(codeOf(error)))
    return new HoldfastError('unknown_pin', `${address} showed a certificate that this system does not trust`, {
      cause: error,
    });
  return unreachableError(error, address);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the other side closed the connection',
  EPIPE: 'the other side closed the connection',
  UND_ERR_SOCKET: 'the other side closed the connection',
  UND_ERR_CLOSED: 'the connection was closed',
  UND_ERR_DESTROYED: 'the connection was closed',
  ENOTFOUND: 'there is no machine of that name',
  EAI_AGAIN: 'the name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to that machine',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'no answer',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what listens there does not speak TLS',
};

export function unreachableError(error: Error, address: string): HoldfastError {
  const reason = REASONS[codeOf(error)] ?? 'the connection failed';
  return new HoldfastError('unreachable', `${address} cannot be reached: ${reason}`, { cause: error });
}

/** Attempts at several addresses of one name fail together; the first says why. */
export function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

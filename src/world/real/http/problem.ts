/** Errors as answers of HTTP: RFC 9457 problem documents. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { HoldfastError, type ErrorCode } from '#core/errors.ts';
import { problemOf } from '#protocol/problem.ts';
import { SECURITY_HEADERS } from './headers.ts';
import { STATUS_CODES } from './node-http.ts';

/** A refusal whose status of HTTP says more than that of its code. */
export class HttpRefusal extends HoldfastError {
  readonly status: number;

  constructor(status: number, code: ErrorCode, detail: string) {
    super(code, detail);
    this.status = status;
  }
}

export const requestIdOf = (): string => randomBytes(8).toString('hex');

/** `requestId` is how a person's report finds the log's line. */
export function problemAnswer(error: unknown, requestId: string): { readonly status: number; readonly text: string } {
  const problem = problemOf(error);
  const status = error instanceof HttpRefusal ? error.status : problem.status;
  return { status, text: JSON.stringify({ ...problem, status, requestId }) };
}

/** What the parser of HTTP itself refused, by its own codes. */
export function refusalOfParser(code: string): HttpRefusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new HttpRefusal(431, 'too_large', 'the headers are larger than their limit');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpRefusal(408, 'short_body', 'the request took too long to arrive');
    case 'HPE_INVALID_EOF_STATE':
      return new HttpRefusal(400, 'short_body', 'the request ended early');
    default:
      return new HttpRefusal(400, 'invalid_json', 'the request is not well-formed HTTP');
  }
}

/** Answers on a connection whose request never became one, and closes it; a moment later, so that the other side gets to read why. */
export function refuseConnection(socket: Socket, refusal: HttpRefusal, lingerMs: number): void {
  const { status, text } = problemAnswer(refusal, requestIdOf());
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(text)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}\r\n${lines.join('')}\r\n${text}`);
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
}

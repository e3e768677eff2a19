/** An address and the proof asked of it, checked to belong together before anything is connected. */
import { isIP } from 'node:net';
import { assert, unreachable } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Proof, TlsIdentity } from '../../net.ts';
import { notSent } from '../../not-sent.ts';

export type Target = {
  /** As a person wrote it, for error messages. */
  readonly address: string;
  readonly origin: string;
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly proof: Proof;
  readonly show: TlsIdentity | null;
};

/**
 * Throws `invalid_field` for an address that no connection can be made to under this proof. Plain HTTP is for loopback alone: anywhere else
 * a token and every byte would be there for all to read.
 */
export function targetOf(
  address: string,
  proof: Proof,
  options: { readonly credential?: string; readonly show?: TlsIdentity },
): Target {
  assert(!(options.credential !== undefined && options.show), 'a request proves its sender in one way');
  assert(proof.kind !== 'unverified' || (options.credential === undefined && !options.show), 'no proof for strangers');
  const url = parse(address);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const tls = url.protocol === 'https:';
  if (proof.kind === 'loopback' ? tls : !tls) throw refused(address, schemeDetail(proof));
  if (!tls && !isLoopbackHost(host)) throw refused(address, 'plain http is possible to this machine only; use https');
  if (!tls && options.show) throw refused(address, 'a TLS key is shown over TLS; use https');
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port);
  return { address, origin: url.origin, host, port, proof, show: options.show ?? null };
}

function parse(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : null;
  const bare =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.hostname !== '' &&
    url.pathname === '/' &&
    `${url.search}${url.hash}${url.username}${url.password}` === '';
  if (!bare) throw refused(address, 'an address is http://host:port or https://host:port');
  return url;
}

function schemeDetail(proof: Proof): string {
  switch (proof.kind) {
    case 'loopback':
      return 'a connection inside this machine is plain http';
    case 'pinned':
    case 'public':
    case 'unverified':
      return 'this connection needs https';
    default:
      return unreachable(proof);
  }
}

function refused(address: string, why: string): HoldfastError {
  return notSent(new HoldfastError('invalid_field', `address "${address.slice(0, 300)}": ${why}`));
}

/** By what is written; `isLoopbackAddress` judges again what a name led to. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || (isIP(host) !== 0 && isLoopbackAddress(host));
}

export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(address);
}

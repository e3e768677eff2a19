/** Connections to other processes. Messages and handlers: `protocol/wire.ts`. */
import type { Pin } from '#core/ids.ts';
import type { Handler, Peer } from '#protocol/wire.ts';

/**
 * How the other side proves who it is. `pinned`: its TLS key is one of `pins`; before the first byte of a request, with no session
 * cache. A connection that shows another key fails with `unknown_pin`, and nothing was sent. `public`: a certificate that the
 * system trusts. `loopback`: plain HTTP to this very machine. `unverified`: only for asking `keys`; never carries a credential.
 */
export type Proof =
  | { readonly kind: 'pinned'; readonly pins: readonly Pin[] }
  | { readonly kind: 'public' }
  | { readonly kind: 'loopback' }
  | { readonly kind: 'unverified' };

/** A TLS key and its self-made certificate, PEM. */
export type TlsIdentity = { readonly privateKeyPem: string; readonly certificatePem: string; readonly pin: Pin };

export interface Net {
  /** Lazy: the connection is made by the first call. `credential` travels as a bearer token. `show`: the TLS key to prove oneself by. */
  connect(address: string, proof: Proof, options: { readonly credential?: string; readonly show?: TlsIdentity }): Peer;
  /**
   * Serves `handler`. TLS where `identity` is given; it may be changed while running. Rejects with `port_in_use`. `page` answers a
   * browser's GET with a page.
   */
  listen(
    at: { readonly host: string; readonly port: number },
    handler: Handler,
    options: { readonly identity?: TlsIdentity; readonly page?: (path: string) => Promise<Page | null> },
  ): Promise<Listening>;
  /** P-256, self-signed; dates mean nothing under a pin. */
  makeTlsIdentity(commonName: string): Promise<TlsIdentity>;
  /** The address book's view of this machine: its non-loopback addresses. */
  ownAddresses(): readonly string[];
}

export type Page = { readonly status: number; readonly contentType: string; readonly body: Uint8Array };

export interface Listening {
  readonly port: number;
  replaceIdentity(identity: TlsIdentity): void;
  /** Stops accepting, lets running requests end for a moment, then closes. */
  close(): Promise<void>;
}

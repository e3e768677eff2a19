/** TLS keys that are trusted by their pin: H(SubjectPublicKeyInfo), which outlives a renewed certificate. */
import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { id32Of, type Pin } from '#core/ids.ts';
import type { TlsIdentity } from '../../net.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** P-256, self-signed. RFC 5280's "no well-defined expiration date": nobody judges dates under a pin. */
export async function makeTlsIdentity(commonName: string): Promise<TlsIdentity> {
  // The library's dependency container asks for this polyfill before it is loaded itself.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: [{ CN: [commonName] }],
      notBefore: new Date('2000-01-01T00:00:00Z'),
      notAfter: new Date('9999-12-31T23:59:59Z'),
      signingAlgorithm: ALGORITHM,
      keys,
    },
    webcrypto,
  );
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const certificatePem = certificate.toString('pem');
  return { privateKeyPem: pem('PRIVATE KEY', pkcs8), certificatePem, pin: pinOf(new X509Certificate(certificatePem)) };
}

export function pinOf(certificate: X509Certificate): Pin {
  const publicKeyInfo = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return id32Of<Pin>(createHash('sha256').update(publicKeyInfo).digest());
}

const shownPins = new WeakMap<TLSSocket, Pin | null>();

/** Null where the other side proved no key on this very connection: a resumed session shows what an earlier one proved, or nothing. */
export function shownPin(socket: TLSSocket): Pin | null {
  const known = shownPins.get(socket);
  if (known !== undefined) return known;
  const certificate = socket.isSessionReused() ? undefined : socket.getPeerX509Certificate();
  const pin = certificate ? pinOf(certificate) : null;
  shownPins.set(socket, pin);
  return pin;
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

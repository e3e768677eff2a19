/** The network of the real machine: HTTP/1.1, over TLS wherever it leaves this machine. */
import { networkInterfaces } from 'node:os';
import type { Log } from '../log.ts';
import type { Net } from '../net.ts';
import { httpLimits, type HttpLimits } from './http/limits.ts';
import { httpPeer } from './http/peer.ts';
import { targetOf } from './http/target.ts';
import { stderrLog } from './log.ts';
import { makeTlsIdentity } from './http/tls-identity.ts';

/** `log` hears of defects in handlers, whose callers learn no more than that there was one. */
export function makeNet(environment: { readonly log: Log; readonly limits?: HttpLimits }): Net {
  const limits = environment.limits ?? httpLimits;
  return {
    connect: (address, proof, options) =>
      httpPeer(targetOf(address, proof, options), options.credential ?? null, limits),
    // What a listener is made of is loaded where one is: most commands only call.
    listen: async (at, handler, options) =>
      (await import('./http/listener.ts')).listenHttp(at, handler, options, { log: environment.log, limits }),
    makeTlsIdentity,
    ownAddresses,
  };
}

export const realNet: Net = makeNet({ log: stderrLog('error') });

/** IPv4 first: it is what people recognise. Link-local IPv6 is left out: it means nothing without the name of an interface. */
function ownAddresses(): readonly string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address));
  const ofFamily = (family: string) => addresses.filter((one) => one.family === family).map(({ address }) => address);
  return [...new Set([...ofFamily('IPv4'), ...ofFamily('IPv6')])];
}

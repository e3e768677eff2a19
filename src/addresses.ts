/** Under which addresses others may call what listens here. */
import type { Net } from '#world/net.ts';

const ANY = ['0.0.0.0', '::', '*'];

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** Best first. What listens on every address of the machine is called under each of its own. */
export function addressesOf(net: Net, scheme: 'http' | 'https', host: string, port: number): readonly string[] {
  const own = ANY.includes(host) ? net.ownAddresses() : [host];
  const hosts = own.length > 0 ? own : ['127.0.0.1'];
  return hosts.slice(0, 8).map((name) => `${scheme}://${name.includes(':') ? `[${name}]` : name}:${port}`);
}

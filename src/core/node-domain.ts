/**
 * What a storage node fails together with: nodes of one host do, and so do the hosts of one site: a room, a house. Written down as `HOST`, or as `SITE/HOST`
 * where a site was named. No host and no site has a slash in its name.
 */

export function domainOf(host: string, site: string | null): string {
  return site === null ? host : `${site}/${host}`;
}

/** Null: none was named. */
export function siteOf(domain: string): string | null {
  const at = domain.indexOf('/');
  return at < 0 ? null : domain.slice(0, at);
}

export function hostOf(domain: string): string {
  return domain.slice(domain.indexOf('/') + 1);
}

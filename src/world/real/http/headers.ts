/** Nothing that is served here may be kept by a cache, framed, sniffed or named to another site. */
const CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const SECURITY_HEADERS = {
  'cache-control': 'private, no-store',
  'content-security-policy': CONTENT_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

/** Pages carry their own style and no script. */
export const PAGE_HEADERS = {
  ...SECURITY_HEADERS,
  'content-security-policy': `${CONTENT_POLICY}; style-src 'unsafe-inline'`,
} as const;

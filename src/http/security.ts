// Headers that every answer carries.

/** Everything comes from this node, nothing is evaluated, nobody frames us. */
export const pagePolicy = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'", "connect-src 'self'",
  "manifest-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
].join('; ')

export const securityHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy': pagePolicy,
  'Strict-Transport-Security': 'max-age=31536000',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  // Not no-referrer: under it browsers send `Origin: null` with our own forms (Fetch §3.2), and the Origin check would refuse them.
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
}

/** The same with the rule for caches, as plain fields: for an answer that is made in one go. */
export const plainSecurityHeaders: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({ ...securityHeaders, 'Cache-Control': 'no-store' }).map(([name, value]) => [name.toLowerCase(), value]),
)

/** Adds them in place; an answer without a cache rule of its own is not stored. */
export function secure(headers: Headers): void {
  for (const [name, value] of Object.entries(securityHeaders)) headers.set(name, value)
  if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store')
}

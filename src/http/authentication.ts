// Who asks: bearer tokens, the session cookie, and the checks that keep other sites from using a browser's cookie.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { App, Caller } from '../app/face.ts'
import { OperationalError } from '../model/error.ts'
import { joinTokenPrefix } from '../model/token.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

export const sessionCookie = '__Host-novacron'
const credentialCharactersMax = 4096

/** The bearer credential of a request; null without one. A scheme other than Bearer is an empty credential, which nobody has. */
export function bearerOf(headers: Headers): string | null {
  const header = headers.get('Authorization')
  if (header === null) return null
  return /^bearer +(\S+) *$/i.exec(header)?.[1] ?? ''
}

/** A joiner's token from the Authorization header. @throws UNAUTHENTICATED where there is none */
export function joinTokenOf(headers: Headers): string {
  const bearer = bearerOf(headers)
  if (bearer === null || !bearer.startsWith(joinTokenPrefix)) throw unauthenticated('Joining needs a join token: Authorization: Bearer ncj_…')
  return bearer
}

/** `Authorization: Node ID.SIGNATURE`. @throws UNAUTHENTICATED where it is missing or no such thing */
export function nodeProofOf(headers: Headers): { readonly nodeId: string; readonly signature: string } {
  const [, nodeId, signature] = /^node +([0-9a-f-]{36})\.([\w-]{86}) *$/i.exec(headers.get('Authorization') ?? '') ?? []
  if (nodeId === undefined || signature === undefined) throw unauthenticated('This is asked by nodes: Authorization: Node ID.SIGNATURE.')
  return { nodeId, signature }
}

/** Null where the credential is missing or not valid. A bearer credential, right or wrong, goes before the cookie. */
export async function authenticate(app: App, headers: Headers, address: string): Promise<Caller | null> {
  const bearer = bearerOf(headers)
  if (bearer !== null) return bearer === '' || bearer.length > credentialCharactersMax ? null : app.identity.authenticateToken(bearer, address)
  const cookie = cookieOf(headers)
  return cookie === null || cookie.length > credentialCharactersMax ? null : app.identity.authenticateSession(cookie, address, headers.get('User-Agent') ?? '')
}

/** Whether any was shown, good or not. */
export function hasCredential(headers: Headers): boolean {
  return (bearerOf(headers) ?? '') !== '' || cookieOf(headers) !== null
}

/**
 * A member whose state is not there yet (it has just joined, or lost its disk) knows nobody, which is no word on the credential that was shown.
 * @throws NO_QUORUM
 */
export function requireKnowledge(app: App, headers: Headers): void {
  if (app.freshness().clusterName !== '' || !hasCredential(headers)) return
  throw new OperationalError('NO_QUORUM', 'This node does not hold the state of its cluster yet, so it cannot tell who you are. Nothing was changed; ask another node, or again in a moment.')
}

/** How often a credential is looked at though nothing was said of it: it may simply have ended. */
const recheckMs = 5_000

type Watched = { readonly app: App; readonly caller: Caller; readonly headers: Headers; readonly address: string; readonly clock: Clock }

/** Calls once, as soon as the credential of a long stream is not what it was: no longer valid, or of other roles. */
export function watchCredential({ app, caller, headers, address, clock }: Watched, onChange: () => void): Cancel {
  const roles = JSON.stringify(caller.bindings)
  let ended = false
  const end = () => {
    if (ended) return
    cancel()
    onChange()
  }
  const look = () => {
    authenticate(app, headers, address).then((now) => (now === null || JSON.stringify(now.bindings) !== roles ? end() : undefined), end)
  }
  const leave = () => {
    if (app.divergence() !== null) end()
  }
  const cancels = [app.onPulse(leave), app.identity.onCredentialChange(look), clock.every(recheckMs, look)]
  const cancel = () => {
    ended = true
    for (const each of cancels) each()
  }
  return cancel
}


export function unauthenticated(detail = 'Send an API token (Authorization: Bearer nct_…), or sign in.'): OperationalError {
  return new OperationalError('UNAUTHENTICATED', detail)
}

function cookieOf(headers: Headers): string | null {
  for (const part of (headers.get('Cookie') ?? '').split(';')) {
    const at = part.indexOf('=')
    if (at > 0 && part.slice(0, at).trim() === sessionCookie) return part.slice(at + 1).trim()
  }
  return null
}

/** @param expiresMs wall clock */
export function renderSessionCookie(cookie: string, expiresMs: number): string {
  // Lax, not Strict: a link to a page from elsewhere would find the visitor signed out.
  return `${sessionCookie}=${cookie}; Path=/; Expires=${new Date(expiresMs).toUTCString()}; Secure; HttpOnly; SameSite=Lax`
}
export const endedSessionCookie = `${sessionCookie}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`

export function isWrite(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS'
}

/**
 * Refuses what a browser sends on behalf of another site (Fetch Metadata, and Origin for browsers without it).
 * @param needed with a cookie as credential one of both headers must be there; a program that signs in sends neither
 * @throws CROSS_ORIGIN
 */
export function checkOrigin(headers: Headers, needed: boolean): void {
  const site = headers.get('Sec-Fetch-Site')
  const origin = headers.get('Origin')
  if (site !== null && site !== 'same-origin' && site !== 'none') throw crossOrigin()
  if (origin !== null && origin !== `https://${headers.get('Host') ?? ''}`) throw crossOrigin()
  if (needed && site === null && origin === null) throw crossOrigin()
}

/** @throws CROSS_ORIGIN unless the token that came is the session's */
export function checkCsrf(caller: Caller, token: string | null): void {
  if (caller.session === null) return
  const digest = (text: string) => createHash('sha256').update(text).digest()
  if (token === null || !timingSafeEqual(digest(token), digest(caller.session.csrf))) {
    throw new OperationalError('CROSS_ORIGIN', 'The CSRF token is missing or is not this session\'s: send X-CSRF-Token, or reload the page.')
  }
}

function crossOrigin(): OperationalError {
  return new OperationalError('CROSS_ORIGIN', 'A browser sent this for another site; nothing was done.')
}

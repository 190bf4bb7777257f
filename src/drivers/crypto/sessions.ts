// Signed stateless sessions: a JWT that any node with the cluster's session key can check, also without quorum.
import { z } from 'zod'

export type SessionClaims = {
  /** The session's own id, by which it can be revoked. */
  readonly sid: string
  /** The user's id. */
  readonly sub: string
  /** Must come back with every write that the cookie authenticates. */
  readonly csrf: string
  readonly issuedMs: number
  readonly expiresMs: number
}

const typ = 'novacron-session+jwt'
const claimsSchema = z.object({ sid: z.string().min(1), sub: z.string().min(1), csrf: z.string().min(1), iat: z.number().int(), exp: z.number().int() })

/** @param key at least 32 bytes (RFC 7518 §3.2). Times are cut to whole seconds. */
export async function signSession(key: Uint8Array, claims: SessionClaims): Promise<string> {
  const { SignJWT } = await import('jose')
  return new SignJWT({ sid: claims.sid, csrf: claims.csrf })
    .setProtectedHeader({ alg: 'HS256', typ })
    .setSubject(claims.sub)
    .setIssuedAt(Math.floor(claims.issuedMs / 1000))
    .setExpirationTime(Math.floor(claims.expiresMs / 1000))
    .sign(key)
}

/** Null where the cookie is no session of this cluster, or is over. Revocation is the caller's to check. */
export async function verifySession(key: Uint8Array, cookie: string, nowMs: number): Promise<SessionClaims | null> {
  const { jwtVerify } = await import('jose')
  try {
    const { payload } = await jwtVerify(cookie, key, { algorithms: ['HS256'], typ, currentDate: new Date(nowMs) })
    const claims = claimsSchema.parse(payload)
    return { sid: claims.sid, sub: claims.sub, csrf: claims.csrf, issuedMs: claims.iat * 1000, expiresMs: claims.exp * 1000 }
  } catch {
    return null
  }
}

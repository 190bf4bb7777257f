// Routes of the own session: signing in by name and password, seeing who one is, signing out.
import { z } from 'zod'
import type { Caller } from '../../app/face.ts'
import { endedSessionCookie, renderSessionCookie, unauthenticated } from '../authentication.ts'
import type { Route } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/session'
const signInSchema = z.strictObject({ name: z.string().max(63), password: z.string().max(256) })

export const sessionRoutes: readonly Route[] = [
  {
    method: 'POST', path: base, operationId: 'signIn', tag: 'Session', summary: 'Sign in by name and password: sets the session cookie', credential: 'password',
    body: { required: true, types: ['application/json'], schema: schemas.signIn },
    answers: { 201: { description: 'Signed in', schema: schemas.session } }, errors: ['SIGN_IN_FAILED', 'TOO_MANY_ATTEMPTS', 'CROSS_ORIGIN', 'OVERLOADED'],
    handle: async ({ app, body, address, headers }) => {
      const input = signInSchema.safeParse(body)
      if (!input.success) throw unauthenticated('Send {"name", "password"}.')
      const signedIn = await app.identity.signIn({ ...input.data, address, agent: headers.get('User-Agent') ?? '' })
      return { status: 201, body: viewOf(signedIn.caller), headers: { 'Set-Cookie': renderSessionCookie(signedIn.cookie, signedIn.expiresMs) } }
    },
  },
  {
    method: 'GET', path: base, operationId: 'getSession', tag: 'Session', summary: 'Show who asks', credential: 'caller', right: 'any',
    answers: { 200: { description: 'The session, or the token\'s user', schema: schemas.session } }, errors: [],
    handle: (caller) => ({ status: 200, body: viewOf(caller) }),
  },
  {
    method: 'DELETE', path: base, operationId: 'signOut', tag: 'Session', summary: 'Sign out: the session is revoked on every node', credential: 'caller', right: 'any',
    answers: { 204: { description: 'Signed out' } }, errors: [],
    handle: async (caller, { app }) => {
      await app.identity.signOut(caller)
      return { status: 204, headers: { 'Set-Cookie': endedSessionCookie } }
    },
  },
]

function viewOf(caller: Caller) {
  return {
    user: { id: caller.userId, name: caller.userName, bindings: caller.bindings },
    expiresAt: caller.session === null ? null : new Date(caller.session.expiresMs).toISOString(),
    csrf: caller.session?.csrf ?? null,
  }
}

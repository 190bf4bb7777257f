// Routes of signed-in sessions, one's own and, for administrators, everybody's.
import { listParameters, listQueryOf, writeParameters } from '../query.ts'
import type { CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/sessions'

export const sessionsRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listSessions', tag: 'Session', summary: 'List signed-in sessions, as far as nodes have told each other of them', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of sessions', schema: schemas.sessionList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.sessions.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'revokeSession', tag: 'Session', summary: 'End a session, on every node', credential: 'caller', right: 'own', query: writeParameters,
    answers: { 204: { description: 'Ended' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'LIMIT_REACHED'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.sessions.revoke(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
  {
    method: 'POST', path: '/api/v1/users/{ref}/sign-out', operationId: 'signOutUser', tag: 'Session', summary: 'Sign a user out everywhere; API tokens go on', credential: 'caller', right: 'own', query: writeParameters,
    answers: { 204: { description: 'Signed out' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.sessions.revokeAll(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]

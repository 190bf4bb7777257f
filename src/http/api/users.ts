// Routes of users.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/users'
const json = ['application/json']

export const userRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listUsers', tag: 'Access', summary: 'List users', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of users', schema: schemas.userList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.users.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'createUser', tag: 'Access', summary: 'Create a user', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: json, schema: schemas.userCreate },
    answers: { 201: { description: 'The user', schema: schemas.user }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'NAME_TAKEN', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const user = await app.users.create(caller, body, write)
      return 'dryRun' in user ? { status: 200, body: user } : answerResource(201, user, `${base}/${user.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getUser', tag: 'Access', summary: 'Show a user', credential: 'caller', right: 'own', query: readParameters,
    answers: { 200: { description: 'The user', schema: schemas.user } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.users.get(caller, params['ref']!)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchUser', tag: 'Access', summary: 'Change a user\'s labels, display name, roles, or disable it', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', ...json], schema: schemas.userPatch },
    answers: { 200: { description: 'The user, or the difference of a dry run', schema: schemas.user } }, errors: ['NOT_FOUND', 'INVALID', 'REFERENCE_MISSING', 'REVISION_STALE', 'PRECONDITION_FAILED', 'STATE_CONFLICT'],
    handle: async (caller, { app, params, body, write }) => {
      const user = await app.users.patch(caller, params['ref']!, body, write)
      return 'dryRun' in user ? { status: 200, body: user } : answerResource(200, user)
    },
  },
  {
    method: 'POST', path: `${base}/{ref}/password`, operationId: 'setPassword', tag: 'Access', summary: 'Set a user\'s password; one\'s own needs the current one', credential: 'caller', right: 'own', query: writeParameters,
    body: { required: true, types: json, schema: schemas.passwordChange },
    answers: { 200: { description: 'The user, or the difference of a dry run', schema: schemas.user } }, errors: ['NOT_FOUND', 'INVALID', 'TOO_MANY_ATTEMPTS'],
    handle: async (caller, { app, params, body, write }) => {
      const user = await app.users.setPassword(caller, params['ref']!, body, write)
      return 'dryRun' in user ? { status: 200, body: user } : answerResource(200, user)
    },
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'deleteUser', tag: 'Access', summary: 'Delete a user with its tokens and sessions', credential: 'caller', right: 'administer cluster', query: writeParameters,
    answers: { 204: { description: 'Deleted' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'STATE_CONFLICT'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.users.delete(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]

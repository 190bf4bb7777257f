// Routes of role bindings.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/roles'

export const roleRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listRoles', tag: 'Access', summary: 'List role bindings: who may act as what, where', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of role bindings', schema: schemas.roleList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.roles.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'grantRole', tag: 'Access', summary: 'Grant a role to a user, in the cluster or in a project', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: ['application/json'], schema: schemas.roleGrant },
    answers: { 201: { description: 'The binding', schema: schemas.role }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'REFERENCE_MISSING', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const binding = await app.roles.grant(caller, body, write)
      return 'dryRun' in binding ? { status: 200, body: binding } : answerResource(201, binding, `${base}/${binding.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getRole', tag: 'Access', summary: 'Show a role binding', credential: 'caller', right: 'own', query: readParameters,
    answers: { 200: { description: 'The binding', schema: schemas.role } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.roles.get(caller, params['ref']!)),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'revokeRole', tag: 'Access', summary: 'Revoke a role; the last administrator keeps theirs', credential: 'caller', right: 'administer cluster', query: writeParameters,
    answers: { 204: { description: 'Revoked' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'STATE_CONFLICT'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.roles.revoke(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]

// Routes of API tokens.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/tokens'

export const tokenRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listTokens', tag: 'Access', summary: 'List API tokens', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of tokens', schema: schemas.tokenList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.tokens.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'createToken', tag: 'Access', summary: 'Create an API token; only this answer holds its secret', credential: 'caller', right: 'any', query: writeParameters,
    body: { required: true, types: ['application/json'], schema: schemas.tokenCreate },
    answers: { 201: { description: 'The token with its secret', schema: schemas.token }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'NAME_TAKEN', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const token = await app.tokens.create(caller, body, write)
      return 'dryRun' in token ? { status: 200, body: token } : answerResource(201, token, `${base}/${token.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getToken', tag: 'Access', summary: 'Show an API token', credential: 'caller', right: 'own', query: readParameters,
    answers: { 200: { description: 'The token, without its secret', schema: schemas.token } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.tokens.get(caller, params['ref']!)),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'revokeToken', tag: 'Access', summary: 'Revoke an API token', credential: 'caller', right: 'own', query: writeParameters,
    answers: { 204: { description: 'Revoked' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.tokens.revoke(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]

// Routes of operations.
import { z } from 'zod'
import { listParameters, listQueryOf, readParameters, writeParameters, type QueryParameters } from '../query.ts'
import { waitSecondsMax } from '../preconditions.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'
import { answerOperation } from './vms.ts'

const base = '/api/v1/operations'
const waitParameters = {
  ...readParameters,
  wait: { from: 'integer', schema: z.number().int().min(0).max(waitSecondsMax).describe('Seconds to wait for its end') },
} as const satisfies QueryParameters

export const operationRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listOperations', tag: 'Operations', summary: 'List operations, the newest first', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of operations', schema: schemas.operationList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.operations.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getOperation', tag: 'Operations', summary: 'Show an operation; ?wait= or Prefer: wait=N waits for its end', credential: 'caller', right: 'read project', query: waitParameters,
    answers: { 200: { description: 'The operation', schema: schemas.operation } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params, query, write, signal }) => {
      const seconds = query['wait'] === undefined ? write.waitSeconds : Number(query['wait'])
      const ref = params['ref']!
      return answerResource(200, seconds > 0 ? await app.operations.wait(caller, ref, seconds, signal) : app.operations.get(caller, ref))
    },
  },
  {
    method: 'POST', path: `${base}/{ref}/cancel`, operationId: 'cancelOperation', tag: 'Operations', summary: 'Cancel an operation: what it began is undone', credential: 'caller', right: 'operate project', query: writeParameters,
    answers: { 202: { description: 'The operation', schema: schemas.operation }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'STATE_CONFLICT'],
    handle: async (caller, { app, params, write }) => answerOperation(await app.operations.cancel(caller, params['ref']!, write)),
  },
]

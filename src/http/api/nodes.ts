// Routes of nodes.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/nodes'

export const nodeRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listNodes', tag: 'Nodes', summary: 'List nodes', credential: 'caller', query: listParameters,
    answers: { 200: { description: 'A page of nodes', schema: schemas.nodeList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.nodes.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getNode', tag: 'Nodes', summary: 'Show a node', credential: 'caller', query: readParameters,
    answers: { 200: { description: 'The node', schema: schemas.node } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.nodes.get(caller, params['ref']!)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchNode', tag: 'Nodes', summary: 'Change a node\'s labels and spec', credential: 'caller', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', 'application/json'], schema: schemas.nodePatch },
    answers: { 200: { description: 'The node as it is now, or the difference of a dry run', schema: schemas.node } },
    errors: ['NOT_FOUND', 'INVALID', 'REVISION_STALE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, body, write }) => {
      const node = await app.nodes.patch(caller, params['ref']!, body, write)
      return 'dryRun' in node ? { status: 200, body: node } : answerResource(200, node)
    },
  },
]

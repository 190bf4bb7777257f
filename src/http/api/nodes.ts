// Routes of nodes.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/nodes'
const json = ['application/json']

export const nodeRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listNodes', tag: 'Nodes', summary: 'List nodes', credential: 'caller', right: 'read cluster', query: listParameters,
    answers: { 200: { description: 'A page of nodes', schema: schemas.nodeList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.nodes.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: `${base}/discovered`, operationId: 'listDiscoveredNodes', tag: 'Nodes', credential: 'caller', right: 'read cluster', query: readParameters,
    summary: 'List appliances on the local network that are in no cluster, as this node hears them',
    answers: { 200: { description: 'All that were heard of lately', schema: schemas.discoveredNodeList } }, errors: [],
    handle: (caller, { app }) => ({ status: 200, body: app.nodes.discovered(caller) }),
  },
  {
    method: 'POST', path: `${base}/discovered/{fingerprint}/admit`, operationId: 'admitNode', tag: 'Nodes', credential: 'caller', right: 'administer cluster', query: writeParameters,
    summary: 'Admit an appliance: it gets a join token over TLS to the certificate with this fingerprint, and joins',
    answers: { 201: { description: 'The new node', schema: schemas.node }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'NAME_TAKEN', 'PEER_UNREACHABLE', 'FORBIDDEN', 'LIMIT_REACHED'],
    handle: async (caller, { app, params, write }) => {
      const node = await app.nodes.admit(caller, params['fingerprint']!, write)
      return 'dryRun' in node ? { status: 200, body: node } : answerResource(201, node, `${base}/${node.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getNode', tag: 'Nodes', summary: 'Show a node', credential: 'caller', right: 'read cluster', query: readParameters,
    answers: { 200: { description: 'The node', schema: schemas.node } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.nodes.get(caller, params['ref']!)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchNode', tag: 'Nodes', summary: 'Change a node\'s labels and spec', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', 'application/json'], schema: schemas.nodePatch },
    answers: { 200: { description: 'The node as it is now, or the difference of a dry run', schema: schemas.node } },
    errors: ['NOT_FOUND', 'INVALID', 'REVISION_STALE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, body, write }) => {
      const node = await app.nodes.patch(caller, params['ref']!, body, write)
      return 'dryRun' in node ? { status: 200, body: node } : answerResource(200, node)
    },
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'removeNode', tag: 'Nodes', credential: 'caller', right: 'administer cluster', query: writeParameters,
    summary: 'Remove a node from the cluster, also a dead one: it is refused from then on, its connections are cut',
    body: { required: false, types: json, schema: schemas.nodeRemove },
    answers: { 204: { description: 'It is a member no longer' }, 202: { description: 'It is leaving', schema: schemas.node }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'INVALID', 'IN_USE', 'STATE_CONFLICT', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, body, write }) => {
      const node = await app.nodes.remove(caller, params['ref']!, body, write)
      if (node === null) return { status: 204 }
      return 'dryRun' in node ? { status: 200, body: node } : answerResource(202, node, `${base}/${node.id}`)
    },
  },
]

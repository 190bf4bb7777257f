// Routes of the cluster itself: its state, join tokens, joining.
import type { JoinTokenView } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { joinTokenOf, nodeProofOf, unauthenticated } from '../authentication.ts'
import { readParameters, writeParameters } from '../query.ts'
import type { Route } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/cluster'
const json = ['application/json']

export const clusterRoutes: readonly Route[] = [
  {
    method: 'GET', path: base, operationId: 'getCluster', tag: 'Cluster', summary: 'Show the cluster as this node sees it', credential: 'caller', right: 'read cluster', query: readParameters,
    answers: { 200: { description: 'The cluster', schema: schemas.cluster } }, errors: [],
    handle: (caller, { app }) => ({ status: 200, body: app.membership.view(caller) }),
  },
  {
    method: 'GET', path: `${base}/join-tokens`, operationId: 'listJoinTokens', tag: 'Cluster', summary: 'List join tokens', credential: 'caller', right: 'administer cluster', query: readParameters,
    answers: { 200: { description: 'All join tokens that are kept', schema: schemas.joinTokenList } }, errors: [],
    handle: (caller, { app }) => {
      const items = app.membership.listJoinTokens(caller)
      return { status: 200, body: { items, next: null, total: items.length } }
    },
  },
  {
    method: 'POST', path: `${base}/join-tokens`, operationId: 'createJoinToken', tag: 'Cluster', summary: 'Create a join token: for one node, once, for a time', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: false, types: json, schema: schemas.joinTokenCreate },
    answers: { 201: { description: 'The join token', schema: schemas.joinToken }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const token = await app.membership.createJoinToken(caller, body, write)
      return 'dryRun' in token ? { status: 200, body: token } : { status: 201, body: token, headers: { Location: `${base}/join-tokens/${token.id}` } }
    },
  },
  {
    method: 'GET', path: `${base}/join-tokens/{id}`, operationId: 'getJoinToken', tag: 'Cluster', summary: 'Show a join token, without its secret', credential: 'caller', right: 'administer cluster', query: readParameters,
    answers: { 200: { description: 'The join token', schema: schemas.joinTokenView } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => ({ status: 200, body: joinTokenById(app.membership.listJoinTokens(caller), params['id']!) }),
  },
  {
    method: 'DELETE', path: `${base}/join-tokens/{id}`, operationId: 'revokeJoinToken', tag: 'Cluster', summary: 'Revoke a join token', credential: 'caller', right: 'administer cluster', query: writeParameters,
    answers: { 204: { description: 'Revoked' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.membership.revokeJoinToken(caller, params['id']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
  {
    method: 'POST', path: `${base}/join`, operationId: 'join', tag: 'Cluster', summary: 'Become a member; the join token is the credential. Used by "novacron cluster join"', credential: 'joinToken',
    body: { required: true, types: json, schema: schemas.join },
    answers: { 200: { description: 'Admitted', schema: schemas.joined } },
    errors: ['TOKEN_INVALID', 'TOKEN_EXPIRED', 'TOKEN_USED', 'TOKEN_OTHER_CLUSTER', 'NAME_TAKEN', 'INVALID', 'NOT_CLUSTERED'],
    handle: async ({ app, headers, body, address }) => ({ status: 200, body: await app.membership.admit(joinTokenOf(headers), body, address) }),
  },
  {
    method: 'GET', path: `${base}/standing`, operationId: 'getStanding', tag: 'Cluster', credential: 'nodeKey',
    summary: 'Whether a node is still a member; the node\'s own signature is the credential. Used by nodes that have lost touch',
    answers: { 200: { description: 'How the node stands', schema: schemas.nodeStanding } }, errors: ['NOT_CLUSTERED'],
    handle: async ({ app, headers }) => {
      const { nodeId, signature } = nodeProofOf(headers)
      return Promise.resolve({ status: 200, body: app.membership.standing(nodeId, signature) })
    },
  },
  {
    method: 'POST', path: '/api/v1/appliance/join', operationId: 'joinAppliance', tag: 'Cluster', credential: 'joinToken',
    summary: 'Of an appliance in no cluster: join the cluster that made the token, which is the credential. Used by members that admit it',
    answers: { 200: { description: 'It has joined', schema: schemas.applianceJoined } },
    errors: ['TOKEN_INVALID', 'TOKEN_EXPIRED', 'TOKEN_USED', 'TOKEN_OTHER_CLUSTER', 'ALREADY_MEMBER', 'FORBIDDEN', 'PEER_UNREACHABLE'],
    // An appliance in no cluster answers this in router.ts; here it is a member.
    handle: async ({ app, headers }) => {
      if (!app.membership.isUsable(joinTokenOf(headers))) throw unauthenticated()
      throw new OperationalError('ALREADY_MEMBER', 'This node is in a cluster already. Nothing was changed.')
    },
  },
]

function joinTokenById(tokens: readonly JoinTokenView[], id: string): JoinTokenView {
  const token = tokens.find((one) => one.id === id)
  if (token === undefined) throw new OperationalError('NOT_FOUND', `There is no join token ${id}.`)
  return token
}

// Routes of consensus: how its members are, who leads, who may vote, and shortening a log.
import { readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const cluster = '/api/v1/cluster'
const node = '/api/v1/nodes/{ref}'
const json = ['application/json']
const administer = { credential: 'caller', right: 'administer cluster', query: writeParameters } as const

function voteRoute(verb: 'promote' | 'demote' | 'auto-vote', words: { readonly operationId: string; readonly summary: string }): CallerRoute {
  const voting = ({ promote: 'always', demote: 'never', 'auto-vote': 'auto' } as const)[verb]
  return {
    method: 'POST', path: `${node}/${verb}`, tag: 'Nodes', ...words, ...administer,
    body: { required: false, types: json, schema: schemas.nodeVote },
    answers: { 200: { description: 'The node as it is now, or the difference of a dry run', schema: schemas.node } }, errors: ['NOT_FOUND', 'STATE_CONFLICT', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, body, write }) => {
      const voted = await app.members.vote(caller, params['ref']!, { voting, body }, write)
      return 'dryRun' in voted ? { status: 200, body: voted } : answerResource(200, voted)
    },
  }
}

export const memberRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: `${cluster}/members`, operationId: 'getMembers', tag: 'Cluster', credential: 'caller', right: 'read cluster', query: readParameters,
    summary: 'Show how the members of consensus are: role, lag, last contact, latencies, time-outs; each is asked now',
    answers: { 200: { description: 'All members; stale where no leader answers', schema: schemas.members } }, errors: [],
    handle: async (caller, { app }) => ({ status: 200, body: await app.members.view(caller) }),
  },
  {
    method: 'POST', path: `${cluster}/leader`, operationId: 'transferLeader', tag: 'Cluster', ...administer,
    summary: 'Hand leadership to a voter, by default the one that is furthest; answers when it leads',
    body: { required: false, types: json, schema: schemas.leaderChange },
    answers: { 200: { description: 'Who leads now, or the difference of a dry run', schema: schemas.leadership } }, errors: ['NOT_FOUND', 'INVALID', 'STATE_CONFLICT', 'PEER_UNREACHABLE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, body, write }) => ({ status: 200, body: await app.members.lead(caller, body, write) }),
  },
  voteRoute('promote', { operationId: 'promoteNode', summary: 'Wish that a node votes; the cluster sees to it once it has caught up' }),
  voteRoute('demote', { operationId: 'demoteNode', summary: 'Wish that a node does not vote; another takes its place first' }),
  voteRoute('auto-vote', { operationId: 'autoVoteNode', summary: 'Leave it to the cluster whether a node votes' }),
  {
    method: 'POST', path: `${node}/compact`, operationId: 'compactNode', tag: 'Nodes', ...administer,
    summary: 'Shorten the Raft log of a node behind its state on disk, now',
    answers: { 200: { description: 'Where the log begins now and what was forgotten, or the difference of a dry run', schema: schemas.compaction } }, errors: ['NOT_FOUND', 'STATE_CONFLICT', 'PEER_UNREACHABLE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, write }) => ({ status: 200, body: await app.members.compact(caller, params['ref']!, write) }),
  },
]

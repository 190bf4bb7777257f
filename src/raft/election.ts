// Elections: campaigns, votes asked for and given, and the leader's duty to hear from a quorum.
import type { Core } from './core.ts'
import { isPromised } from './lease.ts'
import { membersOf, isVoter, voteResult } from './quorum.ts'
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './role.ts'
import type { Message, RaftId } from './types.ts'

type VoteRequest = Extract<Message, { kind: 'vote' | 'preVote' }>
type VoteResponse = Extract<Message, { kind: 'voteResponse' | 'preVoteResponse' }>

/** Starts a campaign unless this node leads, may not, has promised not to, or has a membership change unapplied (statement 32). */
export function campaign(core: Core, options: { readonly transfer: boolean }): void {
  if (core.role === 'leader' || !core.isPromotable || core.log.hasUnappliedConfiguration) return
  if (!options.transfer && isPromised(core)) return
  if ((core.options.preVote || core.isDeparting) && !options.transfer) {
    becomePreCandidate(core)
    // Nothing of a pre-vote has to be durable, so our own counts at once.
    core.votes.set(core.id, true)
    if (!concludePreVote(core)) askForVotes(core, { kind: 'preVote', transfer: false })
    return
  }
  standForElection(core, options.transfer)
}

/** Follower, any role: somebody asks for our vote, or whether they would get it. Learners answer too (statement 33). */
export function handleVoteRequest(core: Core, message: VoteRequest): void {
  const isFree = core.vote === message.from || (core.vote === null && core.leader === null)
  const mayGrant = isFree || (message.kind === 'preVote' && message.term > core.term)
  const isGranted = mayGrant && core.log.isUpToDate(message.lastTerm, message.lastIndex)
  const kind = message.kind === 'vote' ? 'voteResponse' : 'preVoteResponse'
  // A granted pre-vote speaks of the term asked for, a refusal of our own, so that who is behind catches up (statement 5).
  const term = isGranted ? message.term : core.term
  core.sendAfterSync({ kind, from: core.id, to: message.from, term, reject: !isGranted })
  if (isGranted && message.kind === 'vote') {
    core.electionElapsed = 0
    core.vote = message.from
  }
}

/** Candidate or pre-candidate: counts an answer, each kind in its own ballot only (statement 3). */
export function handleVoteResponse(core: Core, message: VoteResponse): void {
  if (message.kind === 'preVoteResponse') {
    if (core.role !== 'preCandidate') return
    // A grant names the term we would stand for; one that names our present term answers an earlier question.
    if (!message.reject && message.term !== core.term + 1) return
    recordVote(core, message)
    concludePreVote(core)
    return
  }
  if (core.role !== 'candidate') return
  recordVote(core, message)
  concludeElection(core)
}

/** Stickiness (statement 10): while we hear from a leader, or lead with a quorum, requests for votes do not move us. */
export function isInLease(core: Core): boolean {
  return core.options.checkQuorum && core.leader !== null && core.electionElapsed < core.options.electionTicks
}

/** Leader: steps down unless a quorum has been heard within the last election time-out (statement 9). */
export function checkQuorum(core: Core): void {
  const result = voteResult(core.configuration, {
    get: (id) => id === core.id || core.progress.get(id)?.recentActive === true,
  })
  if (result !== 'won') {
    becomeFollower(core, core.term, null)
    return
  }
  for (const [id, progress] of core.progress) {
    if (id !== core.id) progress.recentActive = false
  }
}

function standForElection(core: Core, transfer: boolean): void {
  becomeCandidate(core)
  // Our own vote counts when it is durable, like everybody's (statement 2). The requests wait for it too: otherwise we could be
  // elected by the others, crash, and be elected in the same term a second time.
  core.sendAfterSync({ kind: 'voteResponse', from: core.id, to: core.id, term: core.term, reject: false })
  askForVotes(core, { kind: 'vote', transfer })
}

function askForVotes(core: Core, ask: { readonly kind: 'vote' | 'preVote'; readonly transfer: boolean }): void {
  const { lastIndex, lastTerm } = core.log
  const term = ask.kind === 'vote' ? core.term : core.term + 1
  for (const id of membersOf(core.configuration)) {
    if (id === core.id || !isVoter(core.configuration, id)) continue
    const request: Message = { ...ask, from: core.id, to: id, term, lastIndex, lastTerm }
    if (ask.kind === 'vote') core.sendAfterSync(request)
    else core.send(request)
  }
}

/** The first answer of a member stands. */
function recordVote(core: Core, message: VoteResponse & { readonly from: RaftId }): void {
  if (!core.votes.has(message.from)) core.votes.set(message.from, !message.reject)
}

/** True when the pre-vote is over. */
function concludePreVote(core: Core): boolean {
  const result = voteResult(core.configuration, core.votes)
  if (result === 'won') standForElection(core, false)
  if (result === 'lost') becomeFollower(core, core.term, null)
  return result !== 'pending'
}

function concludeElection(core: Core): void {
  const result = voteResult(core.configuration, core.votes)
  if (result === 'won') becomeLeader(core)
  if (result === 'lost') becomeFollower(core, core.term, null)
}

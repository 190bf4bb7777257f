// Quorum arithmetic for majority and joint configurations, free of any node's state.
import type { Configuration, LogIndex, RaftId } from './types.ts'

/** Anything that knows a value per member; a Map is one. */
export type MemberValues<Value> = { get(id: RaftId): Value | undefined }

export type VoteResult = 'won' | 'lost' | 'pending'

/** A configuration without members, the state of a node that has not been told of any cluster. */
export const emptyConfiguration: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/**
 * The highest index that a quorum has acknowledged: of both halves while joint. A member without a value counts as 0.
 * Infinity for a configuration without voters, which constrains nothing (so that min() over halves works).
 */
export function committedIndex(configuration: Configuration, acked: MemberValues<LogIndex>): LogIndex {
  const incoming = majorityIndex(configuration.voters, acked)
  if (configuration.votersOutgoing.length === 0) return incoming
  return Math.min(incoming, majorityIndex(configuration.votersOutgoing, acked))
}

/** The outcome of a ballot: won needs a majority of both halves while joint, one lost half loses it. No voters: won. */
export function voteResult(configuration: Configuration, votes: MemberValues<boolean>): VoteResult {
  const incoming = majorityVote(configuration.voters, votes)
  if (configuration.votersOutgoing.length === 0) return incoming
  const outgoing = majorityVote(configuration.votersOutgoing, votes)
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}

/** True for members whose vote counts in either half. */
export function isVoter(configuration: Configuration, id: RaftId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id)
}

/** True while two majorities are needed. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

/** All members, voters of both halves and learners, each once, sorted. */
export function membersOf(configuration: Configuration): readonly RaftId[] {
  const { voters, votersOutgoing, learners } = configuration
  return [...new Set([...voters, ...votersOutgoing, ...learners])].sort()
}

function majorityIndex(voters: readonly RaftId[], acked: MemberValues<LogIndex>): LogIndex {
  if (voters.length === 0) return Infinity
  const needed = Math.floor(voters.length / 2) + 1
  let best = 0
  // Voters are few and this is asked at every acknowledgement: counting is cheaper than sorting.
  for (const id of voters) {
    const index = acked.get(id) ?? 0
    if (index <= best) continue
    let holders = 0
    for (const other of voters) if ((acked.get(other) ?? 0) >= index) holders += 1
    if (holders >= needed) best = index
  }
  return best
}

function majorityVote(voters: readonly RaftId[], votes: MemberValues<boolean>): VoteResult {
  if (voters.length === 0) return 'won'
  let granted = 0
  let missing = 0
  for (const id of voters) {
    const vote = votes.get(id)
    if (vote === undefined) missing += 1
    else if (vote) granted += 1
  }
  const needed = Math.floor(voters.length / 2) + 1
  if (granted >= needed) return 'won'
  return granted + missing >= needed ? 'pending' : 'lost'
}

// Changes of role, and what each of them resets.
import { assertRaft } from './assertion.ts'
import type { Core } from './core.ts'
import { membersOf } from './quorum.ts'
import { dropReads } from './read-index.ts'
import type { Entry, RaftId, Term } from './types.ts'

const noData = new Uint8Array(0)

/**
 *   follower --time-out--> preCandidate --quorum--> candidate --quorum--> leader
 *       ^______________________|____________________|____________________|   higher term, lost ballot, lost quorum
 */
export function becomeFollower(core: Core, term: Term, leader: RaftId | null): void {
  reset(core, term)
  core.role = 'follower'
  setLeader(core, leader)
}

/** Asks whether an election could be won; term and vote stay as they are (statement 3), the leader is forgotten (statement 8). */
export function becomePreCandidate(core: Core): void {
  assertRaft(core.role !== 'leader', 'a leader does not campaign')
  core.role = 'preCandidate'
  core.votes.clear()
  core.electionElapsed = 0
  core.drawElectionTimeout()
  setLeader(core, null)
}

/** A new term, with our vote for ourselves; it counts once it is durable. */
export function becomeCandidate(core: Core): void {
  assertRaft(core.role !== 'leader', 'a leader does not campaign')
  reset(core, core.term + 1)
  core.role = 'candidate'
  core.vote = core.id
  setLeader(core, null)
}

/** Won the ballot: an empty entry of our own term makes earlier entries committable (§5.4.2). */
export function becomeLeader(core: Core): void {
  assertRaft(core.role === 'candidate', `a ${core.role} cannot become leader`)
  reset(core, core.term)
  core.role = 'leader'
  setLeader(core, core.id)
  const { log } = core
  // Any entry of an earlier term may be a configuration change; searching for it would save little (statement 28).
  core.pendingConfigurationIndex = log.lastIndex
  core.uncommittedBytes = log.dataBytes(log.committed + 1, log.lastIndex)
  appendOwn(core, 'normal', noData)
}

/** The leader appends an entry of its term; it is sent and made durable with the next Ready. */
export function appendOwn(core: Core, kind: Entry['kind'], data: Uint8Array): Entry {
  const entry: Entry = { index: core.log.lastIndex + 1, term: core.term, kind, data }
  core.log.append([entry])
  core.uncommittedBytes += data.length
  core.appendsDue = true
  return entry
}

/** Whom we follow; when it changes, reads forwarded to the former leader will not be answered any more. */
export function setLeader(core: Core, leader: RaftId | null): void {
  if (core.leader === leader) return
  core.leader = leader
  dropReads(core)
}

function reset(core: Core, term: Term): void {
  assertRaft(term >= core.term, `term ${term} falls below ${core.term}`)
  if (term !== core.term) {
    core.term = term
    core.vote = null
  }
  core.electionElapsed = 0
  core.heartbeatElapsed = 0
  core.drawElectionTimeout()
  core.votes.clear()
  core.transferee = null
  core.pendingConfigurationIndex = 0
  core.uncommittedBytes = 0
  core.selfAcknowledged = 0
  core.appendsDue = false
  core.heartbeatsDue = false
  core.leaseBook.clear()
  dropReads(core)
  core.progress.clear()
  for (const id of membersOf(core.configuration)) {
    const progress = core.newProgress(core.log.lastIndex + 1, id === core.id)
    if (id === core.id) progress.match = core.log.stable
    core.progress.set(id, progress)
  }
}

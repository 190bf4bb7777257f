// Leadership transfer (thesis §3.10): bring the target up to date, tell it to campaign, give up after one election time-out.
import type { Core } from './core.ts'
import type { RaftId } from './types.ts'

/** Leader: starts a transfer, or on a follower passes the wish to the leader. Only a voter of the incoming half is a target. */
export function transferLeadership(core: Core, to: RaftId): void {
  if (core.role !== 'leader') {
    if (core.leader !== null && core.leader !== core.id) {
      core.send({ kind: 'transferLeader', from: core.id, to: core.leader, term: core.term, transferee: to })
    }
    return
  }
  if (to === core.transferee) return
  // A wish for ourselves, or for somebody impossible, ends a transfer under way and begins none.
  core.transferee = null
  if (to === core.id || !core.configuration.voters.includes(to)) return
  core.transferee = to
  // The transfer has one whole election time-out; proposals are held off until then (statement 35).
  core.electionElapsed = 0
  core.appendsDue = true
  continueTransfer(core, to)
}

/** Leader: a sign of life from the target; once it has all our entries it is told to campaign, again if the word was lost. */
export function continueTransfer(core: Core, from: RaftId): void {
  if (core.role !== 'leader' || core.transferee !== from) return
  if (core.progress.get(from)?.match !== core.log.lastIndex) return
  core.leaseBook.isForgone = true
  core.send({ kind: 'timeoutNow', from: core.id, to: from, term: core.term })
}

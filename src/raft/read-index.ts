// ReadIndex (thesis §6.4): a read is linearizable at a commit index taken before a quorum confirmed that we still lead.
import type { Core } from './core.ts'
import { holdsLease } from './lease.ts'
import { committedIndex } from './quorum.ts'
import type { LogIndex, Message, RaftId } from './types.ts'

type ReadIndexResponse = Extract<Message, { kind: 'readIndexResponse' }>

/** A read by this node or one forwarded by a follower. Reads that cannot be taken are answered at once. */
export function requestRead(core: Core, from: RaftId, context: string): void {
  const canBeServed = core.role === 'leader' || (from === core.id && core.leader !== null)
  if (!canBeServed || !core.reads.add({ from, context })) answerRead(core, { from, context, index: null })
}

/** Turns waiting reads into one round of heartbeats (leader) or one message to the leader (follower). */
export function flushReads(core: Core): void {
  if (!core.reads.hasWaiting) return
  if (core.role !== 'leader') {
    if (core.leader === null) return dropReads(core)
    core.send({ kind: 'readIndex', from: core.id, to: core.leader, term: 0, context: core.reads.forward() })
    return
  }
  // Until an entry of its own term is committed a leader does not know what its predecessors committed (statement 20).
  if (core.log.termAt(core.log.committed) !== core.term) return
  if (holdsLease(core)) {
    for (const read of core.reads.takeWaiting()) answerRead(core, { ...read, index: core.log.committed })
    return
  }
  if (core.reads.isRoundsFull) return
  core.reads.openRound(core.log.committed)
  core.heartbeatsDue = true
  confirmReads(core)
}

/** A peer of our term answered the heartbeat of this round, perhaps with its promise. */
export function acknowledgeRound(core: Core, from: RaftId, answer: { readonly context: string; readonly promise: boolean }): void {
  const progress = core.progress.get(from)
  const number = Number(answer.context)
  if (progress === undefined || !Number.isSafeInteger(number) || number > core.reads.lastRound) return
  if (answer.promise) progress.promisedRound = Math.max(progress.promisedRound, number)
  if (number <= progress.confirmedRound) return
  progress.confirmedRound = number
  confirmReads(core)
}

/** Answers every round that a quorum has confirmed. */
export function confirmReads(core: Core): void {
  if (!core.reads.hasRoundsOpen) return
  const confirmed = committedIndex(core.configuration, {
    get: (id) => (id === core.id ? core.reads.lastRound : core.progress.get(id)?.confirmedRound),
  })
  for (const round of core.reads.takeConfirmed(confirmed)) {
    for (const read of round.reads) answerRead(core, { ...read, index: round.index })
  }
}

/** The leader's answer to a batch that we forwarded. */
export function handleReadIndexResponse(core: Core, message: ReadIndexResponse): void {
  for (const context of core.reads.takeForwarded(message.context)) {
    core.readStates.push({ context, index: message.reject ? null : message.index })
  }
}

/** A forwarded read that was lost in the network is given up after one election time-out, so that the asker tries anew. */
export function tickReads(core: Core): void {
  for (const context of core.reads.takeExpired(core.options.electionTicks)) core.readStates.push({ context, index: null })
}

/** The leader (we or another) is gone: every read is answered as dropped (statement 23). */
export function dropReads(core: Core): void {
  const { own, others } = core.reads.takeAll(core.id)
  for (const context of own) core.readStates.push({ context, index: null })
  for (const read of others) answerRead(core, { ...read, index: null })
}

function answerRead(core: Core, read: { readonly from: RaftId; readonly context: string; readonly index: LogIndex | null }): void {
  if (read.from === core.id) {
    core.readStates.push({ context: read.context, index: read.index })
    return
  }
  core.send({
    kind: 'readIndexResponse',
    from: core.id,
    to: read.from,
    term: core.term,
    context: read.context,
    index: read.index ?? 0,
    reject: read.index === null,
  })
}

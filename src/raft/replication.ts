// The log from leader to follower: appends, acknowledgements, heartbeats, commit.
import { assertRaft, breakRaft } from './assertion.ts'
import type { Core } from './core.ts'
import { noteRound, promiseLease } from './lease.ts'
import { entryBytes } from './log.ts'
import type { PeerProgress } from './progress.ts'
import { committedIndex } from './quorum.ts'
import { acknowledgeRound } from './read-index.ts'
import { becomeFollower, setLeader } from './role.ts'
import { sendSnapshot } from './snapshot.ts'
import { continueTransfer } from './transfer.ts'
import type { Entry, LogIndex, Message, RaftId } from './types.ts'

type Append = Extract<Message, { kind: 'append' }>
type AppendResponse = Extract<Message, { kind: 'appendResponse' }>
type Heartbeat = Extract<Message, { kind: 'heartbeat' }>
type HeartbeatResponse = Extract<Message, { kind: 'heartbeatResponse' }>

/** Leader: turns what is due into messages. Called when a Ready is built, so that proposals made meanwhile share an append. */
export function flushReplication(core: Core): void {
  if (core.role !== 'leader') return
  if (core.heartbeatsDue) sendHeartbeats(core)
  if (!core.appendsDue) return
  core.appendsDue = false
  for (const [id, progress] of core.progress) {
    if (id !== core.id) sendAppends(core, id, progress)
  }
}

/** Leader: commits what a quorum holds, if it ends with an entry of our own term (statement 13, §5.4.2). */
export function maybeCommit(core: Core): void {
  const { log } = core
  const index = committedIndex(core.configuration, { get: (id) => core.progress.get(id)?.match })
  if (index <= log.committed || log.termAt(index) !== core.term) return
  core.uncommittedBytes -= log.dataBytes(log.committed + 1, index)
  log.commitTo(index)
  core.appendsDue = true
}

/** Follower: a leader's entries. */
export function handleAppend(core: Core, message: Append): void {
  followSender(core, message)
  const { log } = core
  if (message.prevIndex < log.committed) {
    // Late or duplicated; what we have committed matches the leader's log by all means.
    acknowledge(core, message.from, log.committed)
    return
  }
  // A node without a configuration cannot start from the first entry: those who could were told their configuration at birth.
  const isBlank = log.lastIndex === 0 && core.configuration.voters.length === 0
  const match = isBlank ? null : log.maybeAppend(message.prevIndex, message.prevTerm, message.entries)
  if (match === null) {
    const hint = log.findConflictByTerm(message.prevIndex, message.prevTerm)
    core.sendAfterSync({
      kind: 'appendResponse',
      from: core.id,
      to: message.from,
      term: core.term,
      index: message.prevIndex,
      reject: true,
      hintIndex: hint.index,
      hintTerm: hint.term,
    })
    return
  }
  // Entries behind `match` are not verified against the leader's log yet (statement 15).
  log.commitTo(Math.min(message.commit, match))
  acknowledge(core, message.from, match)
}

/** Follower: the leader lives. */
export function handleHeartbeat(core: Core, message: Heartbeat): void {
  followSender(core, message)
  // A leader never names a commit beyond what we acknowledged; if it does, we lost our log: do not crash, do not commit.
  if (message.commit <= core.log.lastIndex) core.log.commitTo(message.commit)
  core.send({ kind: 'heartbeatResponse', from: core.id, to: message.from, term: core.term, context: message.context, promise: promiseLease(core, message.leaseMs) })
}

/** Leader: a peer's answer to an append or a snapshot. */
export function handleAppendResponse(core: Core, message: AppendResponse): void {
  const progress = core.progress.get(message.from)
  if (core.role !== 'leader' || progress === undefined) return
  progress.recentActive = true
  if (message.reject) handleRejection(core, progress, message)
  else handleAcceptance(core, progress, message)
}

/** Leader: a peer's sign of life. */
export function handleHeartbeatResponse(core: Core, message: HeartbeatResponse): void {
  const progress = core.progress.get(message.from)
  if (core.role !== 'leader' || progress === undefined) return
  progress.recentActive = true
  progress.isPaused = false
  if (progress.state === 'probe' || progress.match < core.log.lastIndex) {
    // Appends or their answers may be lost; one more, even an empty one, draws an answer that tells.
    progress.isNudged = progress.state === 'replicate'
    core.appendsDue = true
  }
  if (message.context !== '') acknowledgeRound(core, message.from, message)
  continueTransfer(core, message.from)
}

/** Makes sure that the sender, who leads this term, is whom we follow. */
export function followSender(core: Core, message: Message): void {
  assertRaft(core.role !== 'leader', `two leaders in term ${core.term}: ${core.id} and ${message.from}`)
  if (core.role !== 'follower') becomeFollower(core, message.term, message.from)
  assertRaft(core.leader === null || core.leader === message.from, `two leaders in term ${core.term}: ${core.leader} and ${message.from}`)
  core.electionElapsed = 0
  setLeader(core, message.from)
}

/** Follower: everything up to `index` is what the leader has; leaves when it is durable. */
export function acknowledge(core: Core, to: RaftId, index: LogIndex): void {
  core.sendAfterSync({ kind: 'appendResponse', from: core.id, to, term: core.term, index, reject: false, hintIndex: 0, hintTerm: 0 })
}

function handleRejection(core: Core, progress: PeerProgress, message: AppendResponse): void {
  if (message.index === 0) {
    if (progress.state !== 'probe' || progress.next !== 1) return
    progress.needsSnapshot = true
    progress.isPaused = false
    core.appendsDue = true
    return
  }
  // A whole term of the follower's is skipped at once: no entry of ours with a higher term can match there.
  const hint = message.hintTerm > 0 ? core.log.findConflictByTerm(message.hintIndex, message.hintTerm).index : message.hintIndex
  if (!progress.maybeDecrease(message.index, hint)) return
  if (progress.state === 'replicate') progress.becomeProbe()
  core.appendsDue = true
}

function handleAcceptance(core: Core, progress: PeerProgress, message: AppendResponse): void {
  const { log } = core
  assertRaft(message.index <= log.lastIndex, `${message.from} acknowledges ${message.index} beyond our end ${log.lastIndex}`)
  const isNews = progress.maybeUpdate(message.index)
  if (!isNews && !(progress.state === 'probe' && progress.match === message.index)) return
  switch (progress.state) {
    case 'probe':
      progress.becomeReplicate()
      break
    case 'snapshot':
      // Whatever snapshot was pending: the peer can go on from our log now (statement 37).
      if (progress.match >= log.snapshotIndex) progress.becomeReplicate()
      break
    case 'replicate':
      progress.inflight.freeTo(message.index)
      break
  }
  progress.needsSnapshot = false
  if (isNews) maybeCommit(core)
  core.appendsDue = true
  continueTransfer(core, message.from)
}

function sendAppends(core: Core, id: RaftId, progress: PeerProgress): void {
  const { log } = core
  if (progress.state === 'snapshot' || progress.isPaused) return
  if (progress.needsSnapshot || progress.next < log.firstIndex) {
    sendSnapshot(core, id, progress)
    return
  }
  if (progress.state === 'probe') {
    sendAppend(core, id, { progress, bytesMax: core.options.messageBytesMax })
    progress.isPaused = true
    return
  }
  let isAnswerDue = progress.isNudged || progress.sentCommit < log.committed
  while (progress.next <= log.lastIndex && !progress.inflight.isFull) {
    const entries = sendAppend(core, id, { progress, bytesMax: core.options.messageBytesMax })
    progress.inflight.add({ index: progress.next - 1, bytes: entries.reduce((bytes, entry) => bytes + entryBytes(entry), 0) })
    isAnswerDue = false
  }
  if (isAnswerDue && (progress.isNudged || !progress.inflight.isFull)) sendAppend(core, id, { progress, bytesMax: 0 })
  progress.isNudged = false
}

/** Sends the next entries, none when `bytesMax` is 0, and in replicate state takes them for received. */
function sendAppend(core: Core, id: RaftId, options: { readonly progress: PeerProgress; readonly bytesMax: number }): readonly Entry[] {
  const { log } = core
  const { progress, bytesMax } = options
  const prevIndex = progress.next - 1
  const prevTerm = log.termAt(prevIndex)
  // Statement 18: what we do not know is never sent as "before the log".
  if (prevTerm === null) return breakRaft(`entry ${prevIndex} is not in the log`)
  const entries = bytesMax === 0 ? [] : log.slice(progress.next, log.lastIndex, bytesMax)
  core.send({ kind: 'append', from: core.id, to: id, term: core.term, prevIndex, prevTerm, entries, commit: log.committed })
  progress.sentCommit = log.committed
  if (progress.state === 'replicate') progress.next += entries.length
  return entries
}

function sendHeartbeats(core: Core): void {
  core.heartbeatsDue = false
  noteRound(core)
  const isNumbered = core.reads.hasRoundsOpen || core.options.lease !== null
  const context = isNumbered ? String(core.reads.lastRound) : ''
  for (const [id, progress] of core.progress) {
    if (id === core.id) continue
    // Never beyond what the peer acknowledged: the rest of its log may still differ from ours.
    const commit = Math.min(progress.match, core.log.committed)
    core.send({ kind: 'heartbeat', from: core.id, to: id, term: core.term, commit, context, ...(core.options.lease === null ? {} : { leaseMs: core.options.lease.durationMs }) })
  }
}

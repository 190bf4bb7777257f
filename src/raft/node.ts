// One Raft node as a pure state machine: ticks, messages and proposals go in, a Ready comes out.
import { assertRaft } from './assertion.ts'
import { encodeConfChange } from './confchange-codec.ts'
import { Core } from './core.ts'
import { campaign, checkQuorum, handleVoteRequest, handleVoteResponse, isInLease } from './election.ts'
import { isPromised, promiseLease } from './lease.ts'
import { RaftLog } from './log.ts'
import { appendConfChange, applyConfChange } from './membership.ts'
import { completeRaftOptions, type RaftNodeOptions } from './options.ts'
import { emptyConfiguration, isVoter } from './quorum.ts'
import { ReadyCycle } from './ready.ts'
import { handleReadIndexResponse, requestRead, tickReads } from './read-index.ts'
import { acknowledge, followSender, handleAppend, handleAppendResponse, handleHeartbeat, handleHeartbeatResponse } from './replication.ts'
import { appendOwn, becomeFollower, setLeader } from './role.ts'
import { installSnapshot, reportSnapshot } from './snapshot.ts'
import { transferLeadership } from './transfer.ts'
import type {
  ConfChange, Configuration, ElectionPriority, Entry, HardState, LogIndex, Message, Progress, ProposeResult, RaftId, Ready, SnapshotMeta, Status,
} from './types.ts'

/**
 * What a node finds on its disk. `entries` follow `snapshot` without a gap. `applied` is how far the engine's durable state goes
 * (default: the snapshot). `voters` is the configuration that a cluster was born with, as of index 0; pass it as long as there is no snapshot.
 */
export type RestoredRaft = {
  readonly hardState: HardState | null
  readonly snapshot: SnapshotMeta | null
  readonly entries: readonly Entry[]
  readonly applied?: LogIndex
  readonly voters?: readonly RaftId[]
}

export class RaftNode {
  readonly #core: Core
  readonly #cycle: ReadyCycle

  /** Throws `RaftAssertion` when the options or what was restored cannot be right. */
  constructor(options: RaftNodeOptions, restored: RestoredRaft) {
    const { hardState } = restored
    const log = restoreLog(restored)
    const term = hardState?.term ?? log.lastTerm
    assertRaft(term >= log.lastTerm, `the restored term ${term} is behind the log's ${log.lastTerm}`)
    this.#core = new Core(completeRaftOptions(options), log, { term, vote: hardState?.vote ?? null })
    // What it promised in its former life is not on the disk.
    if (term > 0) promiseLease(this.#core)
    this.#cycle = new ReadyCycle(this.#core)
  }

  /** One tick of the engine's monotonic clock has passed. */
  tick(): void {
    const core = this.#core
    core.electionElapsed += 1
    if (core.promiseTicks > 0) core.promiseTicks -= 1
    tickReads(core)
    if (core.role === 'leader') {
      tickLeader(core)
      return
    }
    if (core.electionElapsed < core.electionTimeout || !core.isPromotable) return
    core.electionElapsed = 0
    campaign(core, { transfer: false })
  }

  /** A message from a peer, or one of this node's own from messagesAfterSync. */
  step(message: Message): void {
    if (message.to !== this.#core.id) return
    if (isTermFree(message) || admitTerm(this.#core, message)) dispatch(this.#core, message)
  }

  /** Campaigns now, without waiting for the time-out; does nothing on a leader or a non-voter. */
  campaign(): void {
    campaign(this.#core, { transfer: false })
  }

  /** Leader: appends `data` (bytes, opaque). Never forwards. */
  propose(data: Uint8Array): ProposeResult {
    const core = this.#core
    const refusal = refuseProposal(core, data)
    if (refusal !== null) return refusal
    const entry = appendOwn(core, 'normal', data)
    return { kind: 'appended', index: entry.index, term: entry.term }
  }

  /** Leader: appends a membership change. A change that is not allowed now leaves an empty entry and is refused. */
  proposeConfChange(change: ConfChange): ProposeResult {
    const data = encodeConfChange(change)
    return refuseProposal(this.#core, data) ?? appendConfChange(this.#core, change, data)
  }

  /** Hands leadership to a voter; on a follower the wish goes to the leader. Watch `status().transferee` and the soft state. */
  transferLeadership(to: RaftId): void {
    transferLeadership(this.#core, to)
  }

  /** Asks for an index at which a read is linearizable; the answer comes as a ReadState with this context, index null when dropped. */
  readIndex(context: string): void {
    requestRead(this.#core, this.#core.id, context)
  }

  /** Follower: stops believing in the leader, so that a vote can be given before the time-out. Ignored with lease reads, which rest on that belief. */
  forgetLeader(): void {
    forgetLeader(this.#core)
  }

  /** How much this node should lead from now on; a leader goes on leading, and its engine may hand over. */
  setElectionPriority(priority: ElectionPriority): void {
    const core = this.#core
    if (core.priority === priority) return
    core.priority = priority
    core.drawElectionTimeout()
  }

  /** Leader: leads no more, in the same term; whoever campaigns first follows it. */
  stepDown(): void {
    const core = this.#core
    if (core.role === 'leader') becomeFollower(core, core.term, null)
  }

  /** Leader: `id` has lost its log and begins anew; what it acknowledged before is forgotten, what it still holds is probed for. */
  renewProgress(id: RaftId): void {
    const core = this.#core
    if (core.role !== 'leader' || id === core.id || !core.progress.has(id)) return
    core.progress.set(id, core.newProgress(Math.max(core.log.lastIndex, 1), false))
    if (core.transferee === id) core.transferee = null
  }

  /** The last message to `id` was not delivered. */
  reportUnreachable(id: RaftId): void {
    const progress = this.#core.progress.get(id)
    if (this.#core.role === 'leader' && progress?.state === 'replicate') progress.becomeProbe()
  }

  /** Every snapshot message that was handed out must be reported, or its receiver gets nothing more. */
  reportSnapshot(id: RaftId, outcome: 'finished' | 'failed'): void {
    reportSnapshot(this.#core, id, outcome)
  }

  /** True when a Ready would hold something; false while one is outstanding. */
  hasReady(): boolean {
    return this.#cycle.hasReady()
  }

  /** What to do next, by the contract of `Ready`. Throws `RaftAssertion` while one is outstanding. */
  ready(): Ready {
    return this.#cycle.ready()
  }

  /** The outstanding Ready is done: durable, sent and applied. */
  advance(): void {
    this.#cycle.advance()
  }

  /** The engine applies this committed config entry now: puts it in force and returns the configuration to store with the state. */
  applyConfChange(entry: Entry): Configuration {
    return applyConfChange(this.#core, entry)
  }

  /**
   * Forgets the log up to `index`, which must be applied; older or repeated indexes are ignored. Returns where the log's
   * snapshot is now, the index to which the disk may be compacted too: less than asked for while this node, removed
   * from the voters, may be needed once more and has to remember that it was one.
   */
  compact(index: LogIndex): LogIndex {
    const { log, isDeparting, id } = this.#core
    const removal = isDeparting ? log.removalOf(id) : null
    log.compact(removal === null ? index : Math.min(index, removal - 1))
    return log.snapshotIndex
  }

  /** The entries that are in the log from `from` up to `to`: for a look, never to be changed. */
  entries(from: LogIndex, to: LogIndex): readonly Entry[] {
    const { log } = this.#core
    return log.slice(Math.max(from, log.firstIndex), Math.min(to, log.lastIndex), Infinity)
  }

  /** Of the status what costs nothing. */
  standing(): Pick<Status, 'role' | 'leader' | 'term' | 'configuration'> {
    const { role, leader, term, configuration } = this.#core
    return { role, leader, term, configuration }
  }

  status(): Status {
    const { id, role, term, vote, leader, log, configuration, transferee, priority } = this.#core
    const { committed: commit, applied, firstIndex, lastIndex, bytes: logBytes } = log
    const progress: Record<RaftId, Progress> = {}
    if (role === 'leader') {
      for (const [peer, peerProgress] of [...this.#core.progress].sort(([left], [right]) => (left < right ? -1 : 1))) {
        progress[peer] = peerProgress.view(configuration.learners.includes(peer))
      }
    }
    return { id, role, term, vote, leader, commit, applied, firstIndex, lastIndex, logBytes, configuration, transferee, priority, progress }
  }
}

function restoreLog(restored: RestoredRaft): RaftLog {
  const { snapshot, voters, applied = 0, hardState, entries } = restored
  const isBorn = snapshot === null && voters !== undefined
  const birth: SnapshotMeta | null = isBorn ? { index: 0, term: 0, configuration: { ...emptyConfiguration, voters: [...voters].sort() } } : snapshot
  const log = new RaftLog(birth, entries)
  // The state may be durable further than the last hard state says: commit alone is not worth a sync.
  log.restoreProgress(Math.max(hardState?.commit ?? 0, applied), applied)
  return log
}

function tickLeader(core: Core): void {
  core.heartbeatElapsed += 1
  for (const progress of core.progress.values()) progress.tickRound(core.log.lastIndex, core.options.electionTicks)
  if (core.electionElapsed >= core.options.electionTicks) {
    core.electionElapsed = 0
    if (core.options.checkQuorum) checkQuorum(core)
    // The transfer had its time; proposals are taken again.
    core.transferee = null
  }
  if (core.role !== 'leader' || core.heartbeatElapsed < core.options.heartbeatTicks) return
  core.heartbeatElapsed = 0
  core.heartbeatsDue = true
}

function refuseProposal(core: Core, data: Uint8Array): ProposeResult | null {
  if (core.role !== 'leader') return { kind: 'notLeader', leader: core.leader }
  if (!core.progress.has(core.id)) return { kind: 'refused', reason: 'notMember' }
  if (core.transferee !== null) return { kind: 'refused', reason: 'transferring' }
  if (data.length > core.options.entryBytesMax) return { kind: 'refused', reason: 'tooLarge' }
  const isOver = core.uncommittedBytes > 0 && core.uncommittedBytes + data.length > core.options.uncommittedBytesMax
  return isOver && data.length > 0 ? { kind: 'refused', reason: 'uncommittedBytesMax' } : null
}

/** A question whose answer does not depend on the asker's term. */
function isTermFree(message: Message): boolean {
  return message.kind === 'readIndex'
}

/** Brings our term and the message's together (figure 2, rules for all servers); false when the message goes no further. */
function admitTerm(core: Core, message: Message): boolean {
  if (message.term < core.term) {
    answerStale(core, message)
    return false
  }
  const isVoteRequest = message.kind === 'vote' || message.kind === 'preVote'
  if (isVoteRequest && !message.transfer && isPromised(core)) return false
  if (message.term === core.term) return true
  if (isVoteRequest && !message.transfer && isInLease(core)) return false
  // A pre-vote speaks of a term that nobody has entered (statement 3).
  if (message.kind === 'preVote' || (message.kind === 'preVoteResponse' && !message.reject)) return true
  const isFromLeader = message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot'
  becomeFollower(core, message.term, isFromLeader ? message.from : null)
  return true
}

/** Who is behind must learn our term, or it would go on leading or asking for ever (statements 5, 8). */
function answerStale(core: Core, message: Message): void {
  switch (message.kind) {
    case 'vote':
    case 'preVote': {
      const kind = message.kind === 'vote' ? 'voteResponse' : 'preVoteResponse'
      core.sendAfterSync({ kind, from: core.id, to: message.from, term: core.term, reject: true })
      return
    }
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      // Index 0 acknowledges nothing; only the term counts.
      acknowledge(core, message.from, 0)
      return
    default:
      return
  }
}

function dispatch(core: Core, message: Message): void {
  switch (message.kind) {
    case 'vote':
    case 'preVote':
      handleVoteRequest(core, message)
      return
    case 'voteResponse':
    case 'preVoteResponse':
      handleVoteResponse(core, message)
      return
    case 'append':
      handleAppend(core, message)
      return
    case 'appendResponse':
      handleAppendResponse(core, message)
      return
    case 'heartbeat':
      handleHeartbeat(core, message)
      return
    case 'heartbeatResponse':
      handleHeartbeatResponse(core, message)
      return
    case 'snapshot':
      followSender(core, message)
      acknowledge(core, message.from, installSnapshot(core, message.snapshot))
      return
    case 'timeoutNow':
      if (core.role !== 'leader' && isVoter(core.configuration, core.id)) campaign(core, { transfer: true })
      return
    case 'transferLeader':
      if (core.role === 'leader') transferLeadership(core, message.transferee)
      return
    case 'readIndex':
      requestRead(core, message.from, message.context)
      return
    case 'readIndexResponse':
      handleReadIndexResponse(core, message)
      return
    case 'forget':
      forgetLeader(core)
      return
  }
}

function forgetLeader(core: Core): void {
  if (core.role === 'follower' && core.options.lease === null) setLeader(core, null)
}

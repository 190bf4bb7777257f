// The cluster as one node sees it: propose commands, read points, membership, status, and the stream of what was applied.
import type { Command, CommandResult } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { Compacted, MemberReport, Timing } from '../model/member.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Agreement, Consensus, ConsensusStanding, ConsensusTrouble, StateHistory } from '../ports/consensus.ts'
import type { RaftNode } from '../raft/node.ts'
import type { ConfChange, LogIndex, Message, ProposeResult, Status as RaftStatus, Term } from '../raft/types.ts'
import type { State } from '../state/state.ts'
import { Checkpoints, defaultCheckpointBounds, type CheckpointBounds } from './checkpoint.ts'
import { defaultCompactionBounds, type CompactionBounds } from './compaction.ts'
import { Engine } from './engine.ts'
import type { EngineOptions, EnginePorts } from './engine-ports.ts'
import { Fates } from './fates.ts'
import { Leadership } from './leadership.ts'
import { cutLog } from './log-cut.ts'
import type { MeasuredLogStore } from './measured-log-store.ts'
import { MemberDesk } from './member-desk.ts'
import { noQuorum, Proposer, outcomeLimitMs, type ProposeOptions } from './proposer.ts'
import { leaseOf } from './read-lease.ts'
import { Reader } from './reader.ts'
import { grantRenewal, Resync } from './resync.ts'
import { checkpointMethod, decodeCommand, encodeJson, proposeMethod, renewMethod, statusMethod, type ProposeReply } from './request.ts'
import { Succession } from './succession.ts'
import { bestSuccessor } from './successor.ts'
import { timingDefault } from './timing.ts'
import { emptyConfiguration, type ClusterEvent, type ClusterStatus, type Halt } from './status.ts'

export const defaultTickMs = 100
const defaultElectionTicks = 10
/** Five to ten heartbeats may be lost before an election; each costs a message to every member. */
const defaultHeartbeatTicks = 2
/** How long an orderly stop waits for another node to lead. */
const handOverLimitMs = 500
const watchersMax = 1024
const noTroubles: readonly ConsensusTrouble[] = []
const diskTroubles = {
  full: { type: 'DiskFull', message: 'There is no space for the Raft log: this node does not lead, and takes no writes, until there is some.' },
  hung: { type: 'DiskHung', message: 'The disk of the Raft log does not answer: this node does not lead, and takes no writes, until it does.' },
} as const

/** Of the status what is there at once. */
type Brief = Omit<ClusterStatus, 'commit' | 'firstIndex' | 'lastIndex' | 'logBytes' | 'progress'>

export type ClusterOptions = {
  readonly nodeId: NodeId
  /** Heartbeats go every other tick; an election begins after 10 to 20 ticks without a leader. Default 100. */
  readonly tickMs?: number
  /** Departures from the production values. */
  readonly compaction?: Partial<CompactionBounds>
  readonly checkpoints?: CheckpointBounds
  readonly raft?: EngineOptions['raft']
  /** The cluster was founded anew without this node: its state is shown, and nothing else. */
  readonly superseded?: string
  /** Told with this node's time-outs; the leader acts on its own. */
  readonly replacement?: Pick<Timing, 'lostMs' | 'steadyMs'>
  /** Reads are answered by the leader's lease instead of a round of heartbeats; the same on every member. Default false: see docs/raft.md. */
  readonly leaseReads?: boolean
  /** Called once, when this node stops taking part by itself. */
  readonly onHalted?: (halt: Halt) => void
}

export class Cluster implements Consensus {
  readonly #nodeId: NodeId
  readonly #electionMs: number
  readonly #timing: Timing
  readonly #ports: EnginePorts
  readonly #engine: Engine
  readonly #leadership: Leadership
  readonly #fates = new Fates()
  readonly #proposer: Proposer
  readonly #reader: Reader
  readonly #desk: MemberDesk
  readonly #succession: Succession
  readonly #checkpoints: Checkpoints
  readonly #resync: Resync
  readonly #onHalted: (halt: Halt) => void
  readonly #watchers = new Set<(event: ClusterEvent) => void>()
  /** Commands that this node proposed, and those that came to nothing or whose outcome it does not know. */
  readonly proposals = { begun: 0, failed: 0 }
  #said: Brief | null = null

  constructor(options: ClusterOptions, ports: EnginePorts) {
    const { nodeId, tickMs = defaultTickMs, checkpoints = defaultCheckpointBounds, raft = {} } = options
    const compaction = { ...defaultCompactionBounds, ...options.compaction }
    this.#nodeId = nodeId
    this.#onHalted = options.onHalted ?? (() => undefined)
    const electionTicks = raft.electionTicks ?? defaultElectionTicks
    this.#electionMs = tickMs * electionTicks
    this.#timing = { heartbeatMs: tickMs * (raft.heartbeatTicks ?? defaultHeartbeatTicks), electionMs: this.#electionMs, lostMs: options.replacement?.lostMs ?? timingDefault.lostMs, steadyMs: options.replacement?.steadyMs ?? timingDefault.steadyMs }
    const lease = options.leaseReads === true ? leaseOf({ tickMs, electionTicks }, ports.clock) : null
    this.#ports = ports
    this.#engine = new Engine({ nodeId, tickMs, compaction, superseded: options.superseded, raft: { heartbeatTicks: defaultHeartbeatTicks, electionTicks, lease, ...raft } }, ports, {
      applied: (entry) => {
        this.#fates.applied({ index: entry.index, commandId: entry.command?.id ?? null, result: entry.result })
        this.#emit({ kind: 'applied', ...entry })
        this.#reader.appliedMore()
      },
      replaced: (index) => {
        this.#fates.replaced(index)
        this.#emit({ kind: 'replaced', index })
        this.#reader.appliedMore()
      },
      read: (state) => this.#reader.answered(state),
      turned: () => this.#turned(),
      halted: (kind, reason, cause) => this.#halted({ kind, reason, cause }),
      checkpoint: (index, checkpoint) => this.#checkpoints.applied(index, checkpoint),
    })
    this.#leadership = new Leadership({ nodeId, electionMs: this.#electionMs }, ports.clock)
    const parts = { engine: this.#engine, leadership: this.#leadership, fates: this.#fates }
    this.#proposer = new Proposer({ nodeId, electionMs: this.#electionMs }, ports, parts)
    this.#reader = new Reader(ports.clock, parts)
    this.#succession = new Succession({ nodeId, heartbeatMs: this.#timing.heartbeatMs }, ports, parts)
    const own = { report: () => this.report(), lead: (to: string) => this.transferLeadership(to), compact: () => cutLog(this.#engine, ports) }
    this.#desk = new MemberDesk({ nodeId, electionMs: this.#electionMs }, ports, { leadership: this.#leadership, own })
    this.#checkpoints = new Checkpoints({ nodeId, bounds: checkpoints }, ports, this.#engine)
    this.#resync = new Resync({ nodeId, onChange: () => this.#turned() }, ports, this.#engine)
  }

  /**
   * Opens the stores, restores the state and starts ticking. `bootstrap` forms a new cluster of one, where the log is fresh.
   * `resumes`: this node was a member before, so that an empty disk is a loss. A damaged log does not throw: the node is up, takes no part, says why in
   * `status`, and comes back by itself as soon as it has a leader's word.
   * @throws OperationalError STORAGE_FAILED where a store cannot be opened
   */
  async start(options: { readonly bootstrap: boolean; readonly resumes?: boolean | undefined }): Promise<void> {
    await this.#engine.start(options)
    this.#turned()
  }

  /** Hands leadership over where this node has it, then takes no further part; pending proposals hear that their outcome is unknown. Closes the stores. */
  async stop(): Promise<void> {
    this.#succession.stop()
    this.#resync.stop()
    await this.#handOver()
    const stopping = this.#engine.stop()
    this.#abandon()
    await stopping
  }

  /** The state as applied here: read it, never write it. Another object after a `replaced` event. */
  get state(): State {
    return this.#engine.state
  }

  /**
   * Commits the command and waits until this node has applied it. The outcome may be `refused`: that is a result.
   * @throws NO_QUORUM: surely not done, within about a second. OUTCOME_UNKNOWN: within 5 s, or `timeoutMs` where that is less.
   *   OVERLOADED, INVALID: surely not done. The signal's reason where aborted; then the outcome is unknown too.
   */
  async propose(command: Command, options: ProposeOptions = {}): Promise<CommandResult> {
    this.proposals.begun++
    try {
      return await this.#proposer.propose(command, options)
    } catch (error) {
      this.proposals.failed++
      throw error
    }
  }

  /** An index at which a read begun now is linearizable, applied here when it resolves. @throws NO_QUORUM within about a second */
  readBarrier(signal?: AbortSignal): Promise<LogIndex> {
    return this.#reader.barrier(signal)
  }

  /** Resolves when this node has applied `index`. @throws NO_QUORUM after 5 s */
  waitApplied(index: LogIndex, signal?: AbortSignal): Promise<void> {
    return this.#reader.waitApplied(index, { limitMs: outcomeLimitMs, signal })
  }

  /**
   * On the leader: changes the membership and waits until that is applied here.
   * @throws STATE_CONFLICT where this is not the leader or another change is under way; OUTCOME_UNKNOWN after 5 s
   */
  async changeConfiguration(change: ConfChange): Promise<void> {
    await this.#appendAndApply((node) => node.proposeConfChange(change), 'change of membership')
  }

  /**
   * On the leader: commits an empty entry. Whoever acknowledges it is told with it what is committed before, and keeps that: so when this
   * resolves a majority of the present voters knows, and will know after a crash, of every change of membership that is applied here.
   * @throws like `changeConfiguration`
   */
  async commitBarrier(): Promise<void> {
    await this.#appendAndApply((node) => node.propose(new Uint8Array(0)), 'entry')
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#ports.clock.after(0, resolve))
  }

  async #appendAndApply(append: (node: RaftNode) => ProposeResult, what: string): Promise<void> {
    const outcome = this.#engine.act(append)
    if (outcome === null) throw noQuorum('This node takes no part in the cluster.')
    const { index, term } = requireAppended(outcome, what)
    let appliedTerm: Term | null = null
    const unwatch = this.watch((event) => {
      if (event.kind === 'applied' && event.index === index) appliedTerm = event.term
    })
    let cause: unknown = null
    try {
      await this.waitApplied(index)
    } catch (error) {
      cause = error
    } finally {
      unwatch()
    }
    // Also where a snapshot went over it: what stood there cannot be told.
    if (appliedTerm === null) throw new OperationalError('OUTCOME_UNKNOWN', `The ${what} was not confirmed in time; look at the members before trying again.`, { cause })
    if (appliedTerm !== term) throw new OperationalError('STATE_CONFLICT', `The ${what} was lost with its leader. Try again.`)
  }

  /**
   * On the leader: hands leadership over, to the most up-to-date other voter where none is named.
   * @throws STATE_CONFLICT where this is not the leader, that one could not take it, or nobody did within two election time-outs
   */
  async transferLeadership(to?: string): Promise<void> {
    const status = this.#engine.node?.status()
    if (status === undefined || status.role !== 'leader') throw notLeader(status?.leader ?? null)
    if (to === this.#nodeId) return
    const target = to ?? bestSuccessor(status)
    if (target === null || !status.configuration.voters.includes(target)) throw new OperationalError('STATE_CONFLICT', target === null ? 'There is no other voter that could lead.' : 'That node does not vote, so it cannot lead.')
    this.#engine.act((node) => node.transferLeadership(target))
    const isDone = await this.#leadership.wait({ limitMs: 2 * this.#electionMs, suits: ({ id }) => id !== null && id !== this.#nodeId })
    if (!isDone) throw new OperationalError('STATE_CONFLICT', 'Leadership was not taken over in time; this node goes on leading.')
  }

  /** An orderly stop costs the others no election time-out. Only a voter heard from is asked, and not for long. */
  async #handOver(): Promise<void> {
    const status = this.#engine.isRunning ? this.#engine.node?.status() : undefined
    const target = status === undefined || status.role !== 'leader' || !this.#leadership.hasQuorum(status) ? null : bestSuccessor(status)
    if (target === null) return
    this.#engine.act((node) => node.transferLeadership(target))
    await this.#leadership.wait({ limitMs: handOverLimitMs, suits: ({ id }) => id !== this.#nodeId })
  }

  reports(nodeIds: readonly string[]): Promise<ReadonlyMap<string, MemberReport>> {
    return this.#desk.reports(nodeIds)
  }

  lead(nodeId: string): Promise<void> {
    return this.#desk.lead(nodeId)
  }

  compact(nodeId: string): Promise<Compacted> {
    return this.#desk.compact(nodeId)
  }

  /** What this node says of itself, to operators at any node. */
  report(): MemberReport {
    const { role, leaderId, term, commit, applied, firstIndex, lastIndex, logBytes, quorum, halted, troubles, progress } = this.status()
    const followers = Object.entries(progress).map(([id, { match, state, recentActive }]) => [id, { match, state, recentActive, heardMs: id === this.#nodeId ? 0 : this.#leadership.heardMs(id) }] as const)
    return { role, leaderId, term, commit, applied, firstIndex, lastIndex, logBytes, quorum, halted, troubles: troubles.map(({ message }) => message), leaderlessMs: Math.round(this.#leadership.gapMs), timing: this.#timing, logSync: logSyncOf(this.#ports.logStore), followers: Object.fromEntries(followers) }
  }

  status(): ClusterStatus {
    const brief = this.#brief()
    const status = this.#engine.node?.status()
    if (status === undefined) {
      const { index } = this.state
      return { ...brief, commit: index, firstIndex: index + 1, lastIndex: index, logBytes: 0, progress: {} }
    }
    const { role, commit, firstIndex, lastIndex, logBytes } = status
    return { ...brief, commit, firstIndex, lastIndex, logBytes, progress: role === 'leader' ? this.#progressOf(status) : status.progress }
  }

  /** Looked at at every turn, so without what has to be gathered. */
  #brief(): Brief {
    const troubles = this.#troubles()
    const halted = this.#engine.halted?.kind === 'damaged' ? (troubles[0]?.message ?? null) : (this.#engine.halted?.reason ?? null)
    const { leaderId, quorum, divergence } = this.standing()
    const { role, term, configuration } = this.#engine.node?.standing() ?? { role: 'follower', term: this.state.term, configuration: emptyConfiguration }
    return { nodeId: this.#nodeId, role, leaderId, term, applied: this.state.index, configuration, quorum, halted, divergence, troubles }
  }

  standing(): ConsensusStanding {
    const standing = this.#engine.node?.standing()
    const { divergence } = this.#engine
    if (standing === undefined) return { leaderId: null, quorum: false, divergence }
    return { leaderId: standing.leader, quorum: this.#engine.isRunning && this.#leadership.hasQuorum(standing), divergence }
  }

  /** The core forgets once in an election time-out of whom it heard; whoever looks just then is not to take all of them for silent. */
  #progressOf({ progress }: RaftStatus): ClusterStatus['progress'] {
    const isActive = (id: string) => id === this.#nodeId || (this.#leadership.heardMs(id) ?? Infinity) < this.#electionMs
    return Object.fromEntries(Object.entries(progress).map(([id, each]) => [id, { ...each, recentActive: isActive(id) }]))
  }

  /** What comparing this node's state with the others' has shown so far. */
  agreement(): Agreement {
    return { index: this.#checkpoints.agreedIndex, dissenters: this.#checkpoints.dissenters }
  }

  /** Of this node: the past that it remembers, with at most so many entries. */
  history(entriesMax: number): StateHistory {
    return this.#engine.history(entriesMax)
  }

  /** Asked at every turn: nothing is made while all is well. */
  #troubles(): readonly ConsensusTrouble[] {
    const { state, sinceMs } = this.#engine.disk
    const resync = this.#resync.trouble
    if (resync === null && state === 'good') return noTroubles
    const disk: readonly ConsensusTrouble[] = state === 'good' ? [] : [{ ...diskTroubles[state], sinceMs }]
    return resync === null ? disk : [resync, ...disk]
  }

  /** Calls back synchronously and in order; see `ClusterEvent`. A listener must not throw. */
  watch(listener: (event: ClusterEvent) => void): Cancel {
    if (this.#watchers.size >= watchersMax) throw new OperationalError('OVERLOADED', 'Too many watchers.')
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  /** To be plugged into the transport's handler. */
  handle(): {
    readonly message: (message: Message) => void
    /** Answers `propose`, `status` and what operators ask. @throws OperationalError INVALID for anything else */
    readonly request: (from: string, method: string, body: Uint8Array) => Promise<Uint8Array>
    readonly disconnected: (nodeId: string) => void
  } {
    return {
      message: (message) => {
        this.#leadership.heard(message.from)
        this.#engine.receive(message)
      },
      request: async (from, method, body) => this.#answer(from, method, body),
      disconnected: (nodeId) => {
        this.#engine.act((node) => node.reportUnreachable(nodeId))
        this.#succession.disconnected(nodeId)
      },
    }
  }

  /** The cluster was founded anew without this node: it takes no part from now on. */
  supersede(reason: string): void {
    this.#engine.halt('superseded', reason)
  }

  /** How long the durable write under way has taken so far, in milliseconds. */
  get diskWaitMs(): number {
    return this.#engine.disk.waitingMs
  }

  /** Whom this leader hands over to, and takes no proposals meanwhile; null where it does not. */
  get successor(): string | null {
    return this.#engine.node?.status().transferee ?? null
  }

  /** Sizes of what waits, for metrics and tests. */
  waiting(): { readonly proposals: number; readonly reads: number } {
    return { proposals: this.#fates.size, reads: this.#reader.waiting }
  }

  #appendFor(follower: string, command: Command): ProposeReply {
    const reply = this.#proposer.append(command)
    if (reply.kind === 'appended') this.#engine.awaitedBy(follower, reply.index)
    return reply
  }

  async #answer(from: string, method: string, body: Uint8Array): Promise<Uint8Array> {
    switch (method) {
      case proposeMethod: {
        const reply = this.#appendFor(from, decodeCommand(body))
        // The entries go first: that one is appended a node can wait to hear, and mostly hears of its application before.
        if (reply.kind === 'appended') await this.#pause()
        return encodeJson(reply)
      }
      case checkpointMethod:
        return this.#checkpoints.answer(from, body)
      case renewMethod:
        return encodeJson(await grantRenewal(from, { engine: this.#engine, hasQuorum: () => this.status().quorum, change: (change) => this.changeConfiguration(change) }))
      case statusMethod:
        return encodeJson(this.status())
      default: {
        const answer = await this.#desk.answer(method, body)
        if (answer === null) throw new OperationalError('INVALID', `There is no request ${method}.`)
        return encodeJson(answer)
      }
    }
  }

  /** Something may have changed: tells who waits for a leader, and the watchers if it shows. */
  #turned(): void {
    const brief = this.#brief()
    const { leaderId, term, halted } = brief
    if (this.#leadership.update({ id: halted === null ? leaderId : null, term })) this.#leaderChanged()
    this.#checkpoints.look(brief)
    if (this.#said !== null && saysTheSame(this.#said, brief)) return
    this.#said = brief
    this.#emit({ kind: 'status', status: this.status() })
  }

  #leaderChanged(): void {
    const { leader, gapMs } = this.#leadership
    // Of the first since the start: that is how long the start took.
    if (leader.id !== null) this.#ports.log.info('leader known', { leaderId: leader.id, term: leader.term, leaderlessMs: Math.round(gapMs) })
    this.#proposer.leaderChanged()
  }

  #halted(halt: Halt): void {
    this.#abandon()
    this.#succession.stop()
    if (halt.kind === 'damaged') this.#resync.begin()
    this.#turned()
    this.#onHalted(halt)
  }

  #abandon(): void {
    this.#proposer.abandon()
    this.#reader.abandon()
  }

  #emit(event: ClusterEvent): void {
    for (const watcher of this.#watchers) {
      try {
        watcher(event)
      } catch (error) {
        // A follower's fault must not keep this node from applying what all others apply.
        this.#ports.log.error('a watcher of the cluster failed', { event: event.kind, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
      }
    }
  }
}

/** Is there nothing between them that watchers are told of? Asked at every turn, so by identity where that suffices. */
function saysTheSame(left: Brief, right: Brief): boolean {
  const parts = ['leaderId', 'term', 'role', 'quorum', 'configuration', 'halted', 'divergence'] as const
  return parts.every((part) => left[part] === right[part]) && left.troubles.length === right.troubles.length && left.troubles.every(({ type }, at) => type === right.troubles[at]?.type)
}

/** Null where writes are not timed, or none was made. */
function logSyncOf(store: EnginePorts['logStore'] & Partial<MeasuredLogStore>): MemberReport['logSync'] {
  const measured = store.measured?.()
  if (measured === undefined || measured.writes === 0) return null
  return { p50Ms: measured.p50Seconds * 1000, p99Ms: measured.p99Seconds * 1000, maxMs: measured.maxSeconds * 1000 }
}

function requireAppended(outcome: ProposeResult, what: string): { readonly index: LogIndex; readonly term: number } {
  switch (outcome.kind) {
    case 'appended':
      return outcome
    case 'notLeader':
      throw notLeader(outcome.leader)
    case 'refused':
      throw new OperationalError('STATE_CONFLICT', `The ${what} was refused: ${outcome.reason}. Nothing was changed.`, { data: { reason: outcome.reason } })
  }
}

function notLeader(leader: string | null): OperationalError {
  return new OperationalError('STATE_CONFLICT', 'This node does not lead the cluster.', { data: { leader } })
}

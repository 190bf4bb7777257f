// The cluster as one node sees it: propose commands, read points, membership, status, and the stream of what was applied.
import type { Command, CommandResult } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Consensus, ConsensusTrouble } from '../ports/consensus.ts'
import type { RaftNode } from '../raft/node.ts'
import type { ConfChange, LogIndex, Message, ProposeResult, Term } from '../raft/types.ts'
import type { State } from '../state/state.ts'
import { defaultCompactionBounds, type CompactionBounds } from './compaction.ts'
import { Engine, type EngineOptions, type EnginePorts } from './engine.ts'
import { Fates } from './fates.ts'
import { Leadership } from './leadership.ts'
import { noQuorum, Proposer, outcomeLimitMs, type ProposeOptions } from './proposer.ts'
import { Reader } from './reader.ts'
import { grantRenewal, Resync } from './resync.ts'
import { decodeCommand, encodeJson, proposeMethod, renewMethod, statusMethod, type ProposeReply } from './request.ts'
import { bestSuccessor } from './successor.ts'
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

export type ClusterOptions = {
  readonly nodeId: NodeId
  /** Heartbeats go every other tick; an election begins after 10 to 20 ticks without a leader. Default 100. */
  readonly tickMs?: number
  readonly compaction?: CompactionBounds
  readonly raft?: EngineOptions['raft']
  /** The cluster was founded anew without this node: its state is shown, and nothing else. */
  readonly superseded?: string
  /** Called once, when this node stops taking part by itself. */
  readonly onHalted?: (halt: Halt) => void
}

export class Cluster implements Consensus {
  readonly #nodeId: NodeId
  readonly #electionMs: number
  readonly #ports: EnginePorts
  readonly #engine: Engine
  readonly #leadership: Leadership
  readonly #fates = new Fates()
  readonly #proposer: Proposer
  readonly #reader: Reader
  readonly #resync: Resync
  readonly #onHalted: (halt: Halt) => void
  readonly #watchers = new Set<(event: ClusterEvent) => void>()
  /** Commands that this node proposed, and those that came to nothing or whose outcome it does not know. */
  readonly proposals = { begun: 0, failed: 0 }
  #said: ClusterStatus | null = null

  constructor(options: ClusterOptions, ports: EnginePorts) {
    const { nodeId, tickMs = defaultTickMs, compaction = defaultCompactionBounds, raft = {} } = options
    this.#nodeId = nodeId
    this.#onHalted = options.onHalted ?? (() => undefined)
    this.#electionMs = tickMs * (raft.electionTicks ?? defaultElectionTicks)
    this.#ports = ports
    this.#engine = new Engine({ nodeId, tickMs, compaction, superseded: options.superseded, raft: { heartbeatTicks: defaultHeartbeatTicks, ...raft } }, ports, {
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
    })
    this.#leadership = new Leadership({ nodeId, electionMs: this.#electionMs }, ports.clock)
    const parts = { engine: this.#engine, leadership: this.#leadership, fates: this.#fates }
    this.#proposer = new Proposer({ nodeId, electionMs: this.#electionMs }, ports, parts)
    this.#reader = new Reader(ports.clock, parts)
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
   * @throws STATE_CONFLICT where this is not the leader, there is nobody to take it, or nobody did within an election time-out
   */
  async transferLeadership(to?: NodeId): Promise<void> {
    const status = this.#engine.node?.status()
    if (status === undefined || status.role !== 'leader') throw notLeader(status?.leader ?? null)
    const target = to ?? bestSuccessor(status)
    if (target === null) throw new OperationalError('STATE_CONFLICT', 'There is no other voter that could lead.')
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

  status(): ClusterStatus {
    const troubles = this.#troubles()
    const halted = this.#engine.halted?.kind === 'damaged' ? (troubles[0]?.message ?? null) : (this.#engine.halted?.reason ?? null)
    const status = this.#engine.node?.status()
    if (status === undefined) {
      const { index, term } = this.state
      return {
        nodeId: this.#nodeId, role: 'follower', leaderId: null, term, commit: index, applied: index, firstIndex: index + 1, lastIndex: index,
        logBytes: 0, configuration: emptyConfiguration, progress: {}, quorum: false, halted, troubles,
      }
    }
    const { role, leader, term, commit, firstIndex, lastIndex, logBytes, configuration, progress } = status
    const quorum = this.#engine.isRunning && this.#leadership.hasQuorum(status)
    return { nodeId: this.#nodeId, role, leaderId: leader, term, commit, applied: this.state.index, firstIndex, lastIndex, logBytes, configuration, progress, quorum, halted, troubles }
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
    /** Answers `propose` and `status`. @throws OperationalError INVALID for anything else */
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
      case renewMethod:
        return encodeJson(await grantRenewal(from, { engine: this.#engine, hasQuorum: () => this.status().quorum, change: (change) => this.changeConfiguration(change) }))
      case statusMethod:
        return encodeJson(this.status())
      default:
        throw new OperationalError('INVALID', `There is no request ${method}.`)
    }
  }

  /** Something may have changed: tells who waits for a leader, and the watchers if it shows. */
  #turned(): void {
    const status = this.status()
    const { leaderId, term, halted } = status
    if (this.#leadership.update({ id: halted === null ? leaderId : null, term })) this.#proposer.leaderChanged()
    if (this.#said !== null && saysTheSame(this.#said, status)) return
    this.#said = status
    this.#emit({ kind: 'status', status })
  }

  #halted(halt: Halt): void {
    this.#abandon()
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
function saysTheSame(left: ClusterStatus, right: ClusterStatus): boolean {
  const parts = ['leaderId', 'term', 'role', 'quorum', 'configuration', 'halted'] as const
  return parts.every((part) => left[part] === right[part]) && left.troubles.length === right.troubles.length && left.troubles.every(({ type }, at) => type === right.troubles[at]?.type)
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

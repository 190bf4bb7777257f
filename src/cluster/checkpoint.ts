// Divergence alarm: the leader puts the hash of its state into the log now and then; whoever has another asks the voters who is right.
//
//   equal ◄── checkpoint applied ──► other hash ──► doubt: serves nothing, asks every voter for its hash at that index
//                                                    │ a majority has mine            → serves on, the others are dissenters
//                                                    │ a majority has another one     → stops for good
//                                                    └ neither, when the time is over → stops, unless it is the leader's that I have
//
// A state that differs says nothing against the log, so consensus itself is not in danger; what would be wrong are answers, plans and snapshots.
import { divergenceText, type Checkpoint, type Divergence } from '../model/checkpoint.ts'
import { uuidV7 } from '../model/id.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Dissent } from '../ports/consensus.ts'
import type { Transport } from '../ports/transport.ts'
import type { LogIndex } from '../raft/types.ts'
import { digestVersion } from '../state/canonical.ts'
import { stateHash } from '../state/state.ts'
import type { Engine } from './engine.ts'
import { encodeCheckpointData } from './entry.ts'
import { checkpointMethod, decodeHashQuestion, decodeHashReply, encodeJson, type HashQuestion, type HashReply } from './request.ts'
import { emptyConfiguration, majorityHas, type ClusterStatus } from './status.ts'

export type CheckpointBounds = {
  /** Entries after which the next is due. */
  readonly entriesMax: number
  /** The next is due so long after the former, if anything was applied since: an idle cluster stays idle. */
  readonly periodMs: number
}
/** Production values. */
export const defaultCheckpointBounds: CheckpointBounds = { entriesMax: 4096, periodMs: 10_000 }

/** So long a node asks before it decides without the silent ones. */
export const inquiryLimitMs = 3000
const askPauseMs = 250
const askTimeoutMs = 500

type Ports = { readonly clock: Clock; readonly random: Random; readonly transport: Transport; readonly log: Log }

export class Checkpoints {
  readonly #nodeId: string
  readonly #bounds: CheckpointBounds
  readonly #ports: Ports
  readonly #engine: Engine
  /** The entry of the last one, and when it was applied. */
  #lastIndex: LogIndex = 0
  #lastMs: number
  /** Proposed by this node and not applied yet. */
  #pendingIndex: LogIndex = 0
  #isAsking = false
  #agreedIndex: LogIndex = 0
  readonly #dissenters = new Map<string, Dissent>()

  constructor(options: { readonly nodeId: string; readonly bounds: CheckpointBounds }, ports: Ports, engine: Engine) {
    this.#nodeId = options.nodeId
    this.#bounds = options.bounds
    this.#ports = ports
    this.#engine = engine
    this.#lastMs = ports.clock.monotonicMs()
  }

  /** Up to here the state is known to be the cluster's; 0 where nothing was compared yet. */
  get agreedIndex(): LogIndex {
    return this.#agreedIndex
  }

  /** Nodes found to have another state than a majority, this node among it. */
  get dissenters(): readonly Dissent[] {
    return [...this.#dissenters.values()]
  }

  /** Called at every tick: on the leader, proposes a checkpoint where one is due. */
  look(status: Pick<ClusterStatus, 'role' | 'applied' | 'quorum' | 'divergence'>): void {
    const { role, applied } = status
    if (role !== 'leader') {
      this.#pendingIndex = 0
      return
    }
    if (!status.quorum || status.divergence !== null || applied <= this.#lastIndex || applied < this.#pendingIndex) return
    const { clock, random } = this.#ports
    const isDue = applied - this.#lastIndex >= this.#bounds.entriesMax || clock.monotonicMs() - this.#lastMs >= this.#bounds.periodMs
    if (!isDue) return
    const { state } = this.#engine
    const timeMs = Math.max(clock.nowMs(), state.timeMs)
    const checkpoint: Checkpoint = { nodeId: this.#nodeId, index: state.index, hash: stateHash(state), digest: digestVersion }
    const data = encodeCheckpointData(timeMs, { ...checkpoint, id: uuidV7(clock.nowMs(), random.bytes(10)) })
    const result = this.#engine.propose(data, { kind: 'checkpoint', timeMs, checkpoint })
    if (result?.kind === 'appended') this.#pendingIndex = result.index
  }

  applied(index: LogIndex, checkpoint: Checkpoint): void {
    this.#lastIndex = index
    this.#lastMs = this.#ports.clock.monotonicMs()
    const hash = checkpoint.digest === digestVersion ? this.#engine.trail.at(checkpoint.index) : null
    // A node that has just started, or got a snapshot, does not know its hash of before.
    if (hash === null) return
    if (hash === checkpoint.hash) this.#agreedIndex = checkpoint.index
    else void this.#inquire({ index: checkpoint.index, hash, expected: checkpoint.hash }, new Map([[checkpoint.nodeId, checkpoint.hash]]))
  }

  /** A node has another hash than the leader and asks for this node's: which may be the wrong one, so it asks, too. */
  answer(from: string, body: Uint8Array): Uint8Array {
    const { index, hash: theirs, expected } = decodeHashQuestion(body)
    const hash = this.#engine.trail.at(index)
    if (hash !== null && hash !== theirs) void this.#inquire({ index, hash, expected }, new Map([[from, theirs]]))
    return encodeJson({ hash } satisfies HashReply)
  }

  /** @param known hashes told already, by node id */
  async #inquire(question: HashQuestion, known: Map<string, string>): Promise<void> {
    if (this.#isAsking || !this.#engine.isRunning) return
    this.#isAsking = true
    const { clock, log } = this.#ports
    const { index, hash, expected } = question
    // Whoever has the leader's state goes on while it asks; so does the leader.
    if (hash !== expected) this.#engine.diverge({ phase: 'doubt', index, hash, expected })
    log.error('states of nodes differ', { index, hash, expected, others: Object.fromEntries(known) })
    known.set(this.#nodeId, hash)
    const limitMs = clock.monotonicMs() + inquiryLimitMs
    try {
      // Every one of them, for with the question each is told that there is one: a leader that is wrong learns of it by this.
      await Promise.all(this.#others().map((id) => this.#ask(id, question, known)))
      let verdict = this.#verdict(known, hash)
      while (verdict === null && clock.monotonicMs() < limitMs && this.#engine.isRunning) {
        await this.#pause()
        await Promise.all(this.#others().filter((id) => !known.has(id)).map((id) => this.#ask(id, question, known)))
        verdict = this.#verdict(known, hash)
      }
      this.#decide(question, known, verdict ?? (hash === expected ? hash : expected))
    } finally {
      this.#isAsking = false
    }
  }

  #decide({ index, hash }: HashQuestion, known: ReadonlyMap<string, string>, right: string): void {
    const { log } = this.#ports
    // A snapshot, or a log begun anew, has taken the place of the state that was asked about.
    if (this.#engine.trail.at(index) !== hash) return
    if (right !== hash) {
      const divergence: Divergence = { phase: 'stopped', index, hash, expected: right }
      log.error('this node has another state than the cluster and stops', { index, hash, expected: right, advice: divergenceText(divergence) })
      this.#engine.diverge(divergence)
      return
    }
    this.#engine.diverge(null)
    for (const [nodeId, theirs] of known) {
      if (theirs === hash) continue
      this.#dissenters.set(nodeId, { nodeId, index, hash: theirs, expected: hash })
      log.error('another node has another state than the cluster', { nodeId, index, hash: theirs, expected: hash })
    }
  }

  /** The hash that a majority of the voters has; null where that is not known. */
  #verdict(known: ReadonlyMap<string, string>, own: string): string | null {
    const configuration = this.#engine.node?.status().configuration ?? emptyConfiguration
    return [own, ...known.values()].find((hash) => majorityHas(configuration, (id) => known.get(id) === hash)) ?? null
  }

  /** The voters beside this node. */
  #others(): readonly string[] {
    const { voters, votersOutgoing } = this.#engine.node?.status().configuration ?? emptyConfiguration
    return [...new Set([...voters, ...votersOutgoing])].filter((id) => id !== this.#nodeId)
  }

  async #ask(nodeId: string, question: HashQuestion, known: Map<string, string>): Promise<void> {
    try {
      const reply = decodeHashReply(await this.#ports.transport.request(nodeId, checkpointMethod, encodeJson(question), { timeoutMs: askTimeoutMs }))
      if (reply !== null) known.set(nodeId, reply)
    } catch (error) {
      this.#ports.log.debug('a node did not tell its hash', { nodeId, error: String(error) })
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#ports.clock.after(askPauseMs, resolve))
  }
}

// Brings a command into the log, here or through the leader, and finds out what became of it.
import { entryBytesMax, type Command, type CommandResult } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Transport } from '../ports/transport.ts'
import type { RaftId, Term } from '../raft/types.ts'
import { encodeEntryData } from './entry.ts'
import type { Engine } from './engine.ts'
import { PendingProposal, type Fate, type Fates } from './fates.ts'
import type { Leadership } from './leadership.ts'
import { completeCommand, decodeProposeReply, encodeCommand, proposeMethod, type ProposeReply } from './request.ts'
import { waitFor } from './wait.ts'

export type ProposeOptions = { readonly signal?: AbortSignal; readonly timeoutMs?: number }

/** Proposals of this node that wait for their fate. */
export const pendingProposalsMax = 8192
/** At most so long until a proposer hears OUTCOME_UNKNOWN. */
export const outcomeLimitMs = 5000
/** Without a leader a proposer hears NO_QUORUM within a second; the rest is for the way to it. */
export const leaderWaitMs = 700
/** Leaderless for longer than the longest election: not worth waiting. */
const hopelessElections = 4
/** After a change of leader the new one's first entries usually tell the fate; so long we listen. */
export const fateGraceMs = 1000
const replyLimitMs = 2000
export const retryPauseMs = 50

type Attempt =
  | { readonly kind: 'settled'; readonly fate: Fate }
  /** Surely not appended; another leader may take it. */
  | { readonly kind: 'notAppended'; readonly by: { readonly id: RaftId | null; readonly term: Term } }
  | { readonly kind: 'failed'; readonly error: OperationalError }

type Limits = { readonly startMs: number; readonly endMs: number; readonly signal: AbortSignal | undefined }

export class Proposer {
  readonly #nodeId: RaftId
  readonly #electionMs: number
  readonly #ports: { readonly clock: Clock; readonly transport: Transport }
  readonly #engine: Engine
  readonly #leadership: Leadership
  readonly #fates: Fates
  readonly #graces = new Set<Cancel>()
  #stampMs = 0

  constructor(
    options: { readonly nodeId: RaftId; readonly electionMs: number },
    ports: { readonly clock: Clock; readonly transport: Transport },
    parts: { readonly engine: Engine; readonly leadership: Leadership; readonly fates: Fates },
  ) {
    this.#nodeId = options.nodeId
    this.#electionMs = options.electionMs
    this.#ports = ports
    this.#engine = parts.engine
    this.#leadership = parts.leadership
    this.#fates = parts.fates
  }

  /** See `Cluster.propose`. */
  async propose(command: Command, options: ProposeOptions): Promise<CommandResult> {
    const nowMs = this.#ports.clock.monotonicMs()
    const limits: Limits = { startMs: nowMs, endMs: nowMs + Math.min(options.timeoutMs ?? outcomeLimitMs, outcomeLimitMs), signal: options.signal }
    if (this.#fates.size >= pendingProposalsMax) throw overloaded()
    // Whoever leads, this node would not get to apply it.
    if (this.#engine.disk.state !== 'good') throw diskTrouble(this.#engine.disk.state)
    // An entry that cannot be read would halt every node.
    const complete = completeCommand(command)
    for (;;) {
      limits.signal?.throwIfAborted()
      if (!this.#engine.isRunning) throw noQuorum('This node takes no part in the cluster.')
      const attempt = await this.#attempt(complete, limits)
      if (attempt.kind === 'failed') throw attempt.error
      if (attempt.kind === 'settled') {
        if (attempt.fate.kind === 'applied') return attempt.fate.result
        if (attempt.fate.kind === 'unknown') throw outcomeUnknown()
        continue
      }
      await this.#awaitLeader(attempt.by, limits)
    }
  }

  /** As leader: stamps and appends a parsed command; for this node's own clients and for followers. */
  append(command: Command): ProposeReply {
    if (this.#engine.disk.state !== 'good') return { kind: 'overloaded' }
    const timeMs = Math.max(this.#ports.clock.nowMs(), this.#stampMs, this.#engine.state.timeMs)
    const data = encodeEntryData(timeMs, command)
    if (data.length > entryBytesMax) return { kind: 'tooLarge' }
    const result = this.#engine.propose(data, { kind: 'command', timeMs, command })
    if (result === null) return { kind: 'notLeader', leader: null }
    switch (result.kind) {
      case 'appended':
        this.#stampMs = timeMs
        return result
      case 'notLeader':
        return result
      case 'refused':
        if (result.reason === 'tooLarge') return { kind: 'tooLarge' }
        return { kind: result.reason === 'uncommittedBytesMax' ? 'overloaded' : 'notNow' }
    }
  }

  /** The leader is another one: whose fate is not told within the grace, is told that it is unknown. */
  leaderChanged(): void {
    const { term } = this.#leadership.leader
    const affected = this.#fates.all().filter((proposal) => proposal.leaderTerm !== term || this.#leadership.leader.id === null)
    if (affected.length === 0) return
    const cancel = this.#ports.clock.after(fateGraceMs, () => {
      this.#graces.delete(cancel)
      const leader = this.#leadership.leader
      for (const proposal of affected) {
        // The same leader was only out of sight for a moment.
        if (leader.id === null || leader.term !== proposal.leaderTerm) proposal.settle({ kind: 'unknown' })
      }
    })
    this.#graces.add(cancel)
  }

  /** The node stops or has halted: whoever waits hears that the outcome is unknown, and no timer is left behind. */
  abandon(): void {
    for (const cancel of this.#graces) cancel()
    this.#graces.clear()
    for (const proposal of this.#fates.all()) proposal.settle({ kind: 'unknown' })
  }

  async #attempt(command: Command, limits: Limits): Promise<Attempt> {
    const { id, term } = this.#leadership.leader
    if (id === null) return { kind: 'notAppended', by: { id, term } }
    const { clock } = this.#ports
    const limitMs = limits.endMs - clock.monotonicMs()
    if (limitMs <= 0) return { kind: 'notAppended', by: { id, term } }
    let failure: Attempt | null = null
    const fate = await waitFor<Fate | 'notAppended'>({ clock, limitMs, signal: limits.signal }, (resolve) => {
      const proposal = new PendingProposal({ commandId: command.id, leaderTerm: term }, resolve)
      const cancel = this.#fates.add(proposal)
      const fail = (attempt: Attempt): void => {
        failure = attempt
        resolve('notAppended')
      }
      void this.#deliver(command, { id, term }, limitMs).then(
        (reply) => this.#digest(reply, proposal, { id, term }, fail),
        (error: unknown) => fail({ kind: 'failed', error: error instanceof OperationalError ? error : new OperationalError('OUTCOME_UNKNOWN', String(error), { cause: error }) }),
      )
      return cancel
    })
    if (fate === 'timeout') return { kind: 'settled', fate: { kind: 'unknown' } }
    if (fate === 'notAppended') return failure ?? { kind: 'notAppended', by: { id, term } }
    return { kind: 'settled', fate }
  }

  /** The reply, or null where none came though the command may have been appended: then only its application tells. */
  async #deliver(command: Command, leader: { readonly id: RaftId; readonly term: Term }, limitMs: number): Promise<ProposeReply | null> {
    if (leader.id === this.#nodeId) return this.append(command)
    const { transport } = this.#ports
    const peer = transport.peers().find((candidate) => candidate.nodeId === leader.id)
    if (peer === undefined || !peer.connected) return { kind: 'notLeader', leader: null }
    try {
      return decodeProposeReply(await transport.request(leader.id, proposeMethod, encodeCommand(command), { timeoutMs: Math.min(replyLimitMs, limitMs) }))
    } catch (error) {
      // The leader's own word comes before it appends anything; where a command left and no word came back, only the fate will tell.
      if (!(error instanceof OperationalError) || error.code === 'OUTCOME_UNKNOWN') return null
      if (error.code === 'PEER_UNREACHABLE' && error.data['sent'] !== false) return null
      if (error.code === 'INVALID') throw error
      return { kind: 'notNow' }
    }
  }

  #digest(reply: ProposeReply | null, proposal: PendingProposal, by: { readonly id: RaftId; readonly term: Term }, fail: (attempt: Attempt) => void): void {
    if (reply === null) return
    switch (reply.kind) {
      case 'appended': {
        this.#fates.placed(proposal, { index: reply.index, term: reply.term }, this.#engine.state.index)
        return
      }
      case 'overloaded':
        fail({ kind: 'failed', error: overloaded() })
        return
      case 'tooLarge':
        fail({ kind: 'failed', error: new OperationalError('INVALID', 'The command is larger than one log entry may be (1 MiB). Nothing was changed; send less.') })
        return
      case 'notLeader':
      case 'notNow':
        fail({ kind: 'notAppended', by })
        return
    }
  }

  /** Returns when trying again makes sense. */
  async #awaitLeader(by: { readonly id: RaftId | null; readonly term: Term }, limits: Limits): Promise<void> {
    const { clock } = this.#ports
    const isHopeless = this.#leadership.leaderlessMs > hopelessElections * this.#electionMs
    const limitMs = Math.min(limits.startMs + leaderWaitMs, limits.endMs) - clock.monotonicMs()
    if (isHopeless || limitMs <= 0) throw noQuorum('There is no leader that a majority of the nodes follows.')
    const isSame = (id: RaftId | null, term: Term): boolean => id === by.id && term === by.term
    if (by.id !== null && isSame(this.#leadership.leader.id, this.#leadership.leader.term)) {
      // It says it does not lead (yet or any more): its word and ours will soon agree.
      await this.#leadership.wait({ limitMs: Math.min(retryPauseMs, limitMs), signal: limits.signal, suits: ({ id, term }) => !isSame(id, term) })
      return
    }
    const found = await this.#leadership.wait({ limitMs, signal: limits.signal, suits: ({ id }) => id !== null })
    if (!found) throw noQuorum('There is no leader that a majority of the nodes follows.')
  }
}

export function noQuorum(why: string): OperationalError {
  return new OperationalError('NO_QUORUM', `${why} Nothing was changed; try again when the nodes are in touch.`, { data: { retryAfterSeconds: 2 } })
}

function outcomeUnknown(): OperationalError {
  return new OperationalError('OUTCOME_UNKNOWN', 'The leader was lost while it had the command: it may or may not take effect. Try again with the same Idempotency-Key.', {
    data: { retryAfterSeconds: 1 },
  })
}

function overloaded(): OperationalError {
  return new OperationalError('OVERLOADED', 'Too many commands wait for the disks. Nothing was changed; try again in a moment.', { data: { retryAfterSeconds: 1 } })
}

function diskTrouble(state: 'full' | 'hung'): OperationalError {
  const what = state === 'full' ? 'The disk of this node is full' : 'The disk of this node does not answer'
  return new OperationalError('OVERLOADED', `${what}, so it takes no writes. Nothing was changed; try again in a moment, or at another node.`, { data: { retryAfterSeconds: 2 } })
}

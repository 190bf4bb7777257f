// A node whose log is damaged comes back: it asks the leader to take its vote away, begins anew, and is caught up and promoted like a new member.
import { OperationalError } from '../model/error.ts'
import { clauseOf } from '../model/sentence.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { ConsensusTrouble } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import type { Transport } from '../ports/transport.ts'
import type { RaftNode } from '../raft/node.ts'
import type { ConfChange, RaftId } from '../raft/types.ts'
import type { Engine } from './engine.ts'
import { outcomeLimitMs } from './proposer.ts'
import { decodeRenewReply, renewMethod, type RenewReply } from './request.ts'

const askPeriodMs = 500
/** A change of membership may take as long as any proposal; then the way back. */
const answerLimitMs = outcomeLimitMs + 2000
/** As long as any election takes: then people should hear that they may have to act. */
const hopelessMs = 10_000

type Ports = { readonly clock: Clock; readonly transport: Transport; readonly log: Log }

/*
 *   damaged --ask--> (leader: match forgotten, voter → learner, committed by the others) --renewed--> new log
 *       ^______________not now, no leader, no answer______________|                                    |
 *                                                               learner, caught up by log or snapshot, voter
 *
 * Meanwhile the core of the node does not exist: it gives no vote and acknowledges nothing, like one that is off. See docs/adr/0017-resync.md for why
 * this is safe.
 */
export class Resync {
  readonly #nodeId: RaftId
  readonly #ports: Ports
  readonly #engine: Engine
  readonly #onChange: () => void
  #cancel: Cancel | null = null
  #busy = false
  #sinceMs = 0
  #sinceMonotonicMs = 0
  #turn = 0
  /** Who leads, as the last one asked said. */
  #hint: RaftId | null = null
  /** The last word of each that was asked. */
  readonly #words = new Map<RaftId, RenewReply['kind'] | 'silent'>()
  #reason = ''

  constructor(options: { readonly nodeId: RaftId; readonly onChange: () => void }, ports: Ports, engine: Engine) {
    this.#nodeId = options.nodeId
    this.#onChange = options.onChange
    this.#ports = ports
    this.#engine = engine
    // Where it was renewed by an earlier process.
    this.#sinceMs = ports.clock.nowMs()
  }

  /** The log was found to be damaged. */
  begin(): void {
    const { clock } = this.#ports
    if (this.#cancel !== null) return
    this.#sinceMs = clock.nowMs()
    this.#sinceMonotonicMs = clock.monotonicMs()
    this.#words.clear()
    this.#cancel = clock.every(askPeriodMs, () => void this.#ask())
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  get trouble(): ConsensusTrouble | null {
    const { halted, renewingTo, state } = this.#engine
    if (halted?.kind === 'damaged') return { type: 'LogDamaged', message: `The Raft log is damaged (${clauseOf(halted.reason)}). This node does not vote and ${this.#waitsFor()}.`, sinceMs: this.#sinceMs }
    if (renewingTo === null || halted !== null) return null
    return { type: 'Resyncing', message: state.index === 0 ? 'The Raft log was damaged; this node waits for a snapshot.' : 'The Raft log was damaged; this node catches up with the others.', sinceMs: this.#sinceMs }
  }

  #waitsFor(): string {
    const { clock } = this.#ports
    const words = [...this.#words.values()]
    const heard = words.filter((word) => word !== 'silent')
    const damaged = words.filter((word) => word === 'damaged').length
    const isLong = clock.monotonicMs() - this.#sinceMonotonicMs > hopelessMs
    const advice = isLong ? '; if a majority of the voters is lost for good, see "novacron cluster recover" on a member that is whole, or here, where none is' : ''
    if (heard.length === 0) return `waits for other members, of whom none answers${advice}`
    if (words.includes('notNow')) return `waits for its leader to take it back: ${clauseOf(this.#reason)}${advice}`
    return damaged === 0 ? `waits for a leader${advice}` : `waits for a leader; ${damaged} of the ${heard.length} members that answer are damaged too${advice}`
  }

  async #ask(): Promise<void> {
    if (this.#engine.halted?.kind !== 'damaged') return this.stop()
    const to = this.#next()
    if (this.#busy || to === null) return
    this.#busy = true
    try {
      const reply = decodeRenewReply(await this.#ports.transport.request(to, renewMethod, new Uint8Array(), { timeoutMs: answerLimitMs }))
      if (reply !== null) await this.#heard(to, reply)
    } catch (error) {
      this.#ports.log.debug('no answer to a node that wants to begin anew', { to, error: String(error) })
      this.#words.set(to, 'silent')
      this.#hint = null
    } finally {
      this.#busy = false
      this.#onChange()
    }
  }

  async #heard(from: RaftId, reply: RenewReply): Promise<void> {
    this.#words.set(from, reply.kind)
    this.#hint = reply.kind === 'notLeader' ? reply.leader : reply.kind === 'damaged' ? null : from
    if (reply.kind === 'notNow') this.#reason = reply.reason
    if (reply.kind !== 'renewed') return
    const { term, index, leaderId } = reply
    await this.#engine.renew({ term, index, leaderId })
  }

  /** The one said to lead, else the others in turn. */
  #next(): RaftId | null {
    const peers = this.#ports.transport.peers().filter((peer) => peer.connected && peer.nodeId !== this.#nodeId)
    if (peers.some((peer) => peer.nodeId === this.#hint)) return this.#hint
    this.#turn += 1
    return peers[this.#turn % Math.max(1, peers.length)]?.nodeId ?? null
  }
}

type Leading = {
  readonly engine: Engine
  readonly hasQuorum: () => boolean
  readonly change: (change: ConfChange) => Promise<void>
}

/**
 * The leader's half. What `from` acknowledged is forgotten first, so that nobody takes it for caught up; then it is made a learner, also where it is one
 * already: the entry, proposed after the damage, is what a majority without it holds. Its answer may be lost; asked again it does the same again.
 */
export async function grantRenewal(from: RaftId, { engine, hasQuorum, change }: Leading): Promise<RenewReply> {
  if (engine.halted?.kind === 'damaged') return { kind: 'damaged' }
  const status = engine.isRunning ? engine.node?.status() : undefined
  if (status === undefined || status.role !== 'leader' || !hasQuorum()) return { kind: 'notLeader', leader: status?.leader ?? null }
  const forget = (): void => {
    engine.act((node: RaftNode) => node.renewProgress(from))
  }
  forget()
  try {
    await change({ transition: 'simple', steps: [{ kind: 'addLearner', id: from }] })
  } catch (error) {
    if (error instanceof OperationalError) return { kind: 'notNow', reason: error.message }
    throw error
  }
  forget()
  return { kind: 'renewed', term: status.term, index: engine.state.index, leaderId: status.id }
}

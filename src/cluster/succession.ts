// A leader is sought soon, without waiting for the whole time-out, where it is known that there may be none: its connection ended, or this node has just started.
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Transport } from '../ports/transport.ts'
import type { RaftId } from '../raft/types.ts'
import type { Engine } from './engine.ts'
import type { Leadership } from './leadership.ts'
import { majorityHas } from './status.ts'

/** A connection that was merely cut is made again in this time, and the leader heard on it. In heartbeats. */
const graceHeartbeats = 1.5
/** Drawn on top, in heartbeats, so that two followers rarely stand together. */
const spreadHeartbeats = 2
/** After a start the voters in reach stand one after the other in the order of their ids, so far apart, rather than against each other. In heartbeats. */
const turnHeartbeats = 0.25
/** An answer is lost where the other's connection to this node is not made yet: it is asked for again. In heartbeats. */
const retryHeartbeats = 0.5
/** Who has just started asks so often before it leaves it to its time-out. */
const askedMax = 8

type SuccessionPorts = { readonly clock: Clock; readonly random: Random; readonly transport: Pick<Transport, 'peers'> }

/**
 * Only a hint, so it may be wrong: it makes this node ask (pre-vote) whether it would be elected. Whoever still hears from the leader says no, so
 * that a cut link between two nodes changes nothing; the leader itself goes on until it misses a quorum. A node that was slow just now leaves it to others.
 */
export class Succession {
  readonly #options: { readonly nodeId: RaftId; readonly heartbeatMs: number }
  readonly #ports: SuccessionPorts
  readonly #parts: { readonly engine: Engine; readonly leadership: Leadership }
  #cancel: Cancel | null = null
  /** How often this node has asked since it started; null before, and once there was a leader. */
  #asked: number | null = null

  constructor(options: { readonly nodeId: RaftId; readonly heartbeatMs: number }, ports: SuccessionPorts, parts: { readonly engine: Engine; readonly leadership: Leadership }) {
    this.#options = options
    this.#ports = ports
    this.#parts = parts
  }

  /** The connection to a member ended. */
  disconnected(from: RaftId): void {
    const { leadership } = this.#parts
    if (leadership.leader.id !== from || this.#cancel !== null) return
    const { heartbeatMs } = this.#options
    const { term } = leadership.leader
    const graceMs = heartbeatMs * graceHeartbeats + this.#ports.random.integer(Math.max(1, Math.round(heartbeatMs * spreadHeartbeats)))
    this.#cancel = this.#ports.clock.after(graceMs, () => {
      this.#cancel = null
      const { leader } = leadership
      if (leader.id === from && leader.term === term && (leadership.heardMs(from) ?? Infinity) >= graceMs) this.#stand()
    })
  }

  /** This node has started with a log of before and has heard no leader yet. Where there is one, its next heartbeat says so, and so do the others. */
  began(): void {
    this.#asked = 0
    this.#seek()
  }

  /** There is a connection to a member. */
  connected(): void {
    this.#seek()
  }

  /** Asks as soon as a majority of the voters is in reach: before, nobody could be elected. */
  #seek(): void {
    if (this.#asked === null || this.#cancel !== null) return
    const turn = this.#turn()
    if (turn === null) return
    const turnMs = Math.max(1, Math.round(this.#options.heartbeatMs * turnHeartbeats))
    const retryMs = this.#asked === 0 ? 0 : this.#options.heartbeatMs * retryHeartbeats
    this.#cancel = this.#ports.clock.after(retryMs + turn * turnMs + this.#ports.random.integer(turnMs), () => {
      this.#cancel = null
      if (this.#asked === null) return
      this.#asked = this.#parts.leadership.leader.id !== null || this.#asked === askedMax ? null : this.#asked + 1
      if (this.#asked === null) return
      this.#stand()
      this.#seek()
    })
  }

  /** This node's place among the voters in reach; null where they are no majority, or it is none of them. */
  #turn(): number | null {
    const { nodeId } = this.#options
    const configuration = this.#parts.engine.node?.status().configuration
    if (configuration === undefined) return null
    const reached = new Set([nodeId, ...this.#ports.transport.peers().flatMap((peer) => (peer.connected ? [peer.nodeId] : []))])
    if (!majorityHas(configuration, (id) => reached.has(id))) return null
    const turn = [...configuration.voters].sort().filter((id) => reached.has(id)).indexOf(nodeId)
    return turn === -1 ? null : turn
  }

  stop(): void {
    this.#asked = null
    this.#cancel?.()
    this.#cancel = null
  }

  /** Forgets the leader first: while it is believed in, votes are refused here too. A candidacy under way is not broken off: its votes would be lost. */
  #stand(): void {
    const { engine } = this.#parts
    engine.act((node) => {
      if (node.status().role === 'candidate') return
      node.forgetLeader()
      if (engine.priority === 'normal') node.campaign()
    })
  }
}

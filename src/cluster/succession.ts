// A leader whose connection ended is sought anew soon, without waiting for the whole time-out: a killed process is known of at once.
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { RaftId } from '../raft/types.ts'
import type { Engine } from './engine.ts'
import type { Leadership } from './leadership.ts'

/** A connection that was merely cut is made again in this time, and the leader heard on it. In heartbeats. */
const graceHeartbeats = 1.5
/** Drawn on top, in heartbeats, so that two followers rarely stand together. */
const spreadHeartbeats = 2

/**
 * Only a hint, so it may be wrong: it makes this node ask (pre-vote) whether it would be elected. Whoever still hears from the leader says no, so
 * that a cut link between two nodes changes nothing; the leader itself goes on until it misses a quorum. A node that was slow just now leaves it to others.
 */
export class Succession {
  readonly #options: { readonly nodeId: RaftId; readonly heartbeatMs: number }
  readonly #ports: { readonly clock: Clock; readonly random: Random }
  readonly #parts: { readonly engine: Engine; readonly leadership: Leadership }
  #cancel: Cancel | null = null

  constructor(options: { readonly nodeId: RaftId; readonly heartbeatMs: number }, ports: { readonly clock: Clock; readonly random: Random }, parts: { readonly engine: Engine; readonly leadership: Leadership }) {
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

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  /** Forgets the leader first: while it is believed in, votes are refused here too. */
  #stand(): void {
    const { engine } = this.#parts
    engine.act((node) => {
      node.forgetLeader()
      if (engine.priority === 'normal') node.campaign()
    })
  }
}

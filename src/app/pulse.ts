// Says a few times a second, at most, that something computed at read may have changed: quorum, leader, presence, load.
import type { Cancel } from '../ports/clock.ts'
import type { AppContext } from './context.ts'

const lookMs = 500
/** Load changes all the time: listeners hear of it this often though nothing else changed. */
const loadMs = 2_000

export class Pulse {
  readonly #context: AppContext
  readonly #listeners = new Set<() => void>()
  #cancel: Cancel | null = null
  #said = ''
  #saidAtMs = 0
  #lastQuorumMs: number
  #hadQuorum = false

  constructor(context: AppContext) {
    this.#context = context
    this.#lastQuorumMs = context.ports.clock.nowMs()
  }

  /** Wall clock of the last look that found a quorum; of the start, where none was found yet. */
  get lastQuorumMs(): number {
    return this.#lastQuorumMs
  }

  /** False where no look has found a quorum since the start. */
  get hadQuorum(): boolean {
    return this.#hadQuorum
  }

  start(): void {
    this.#cancel = this.#context.ports.clock.every(lookMs, () => this.#look())
  }

  stop(): void {
    this.#cancel?.()
    this.#listeners.clear()
  }

  watch(listener: () => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #look(): void {
    const { clock, consensus } = this.#context.ports
    const { quorum } = consensus.standing()
    if (quorum) this.#lastQuorumMs = clock.nowMs()
    this.#hadQuorum ||= quorum
    if (this.#listeners.size === 0) return
    const { leaderId, term, halted, divergence, configuration } = consensus.status()
    const ready = [...this.#context.state.tables.node.keys()].map((id) => this.#context.unreadiness(id) === '')
    const now = JSON.stringify([leaderId, quorum, term, halted, divergence, configuration.voters, ready])
    const nowMs = clock.monotonicMs()
    if (now === this.#said && nowMs - this.#saidAtMs < loadMs) return
    this.#said = now
    this.#saidAtMs = nowMs
    for (const listener of this.#listeners) listener()
  }
}

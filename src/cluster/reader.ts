// Read points: an index at which a read is linearizable, and waiting until this node has applied it.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { LogIndex, ReadState } from '../raft/types.ts'
import type { Engine } from './engine.ts'
import type { Leadership } from './leadership.ts'
import { leaderWaitMs, noQuorum, retryPauseMs } from './proposer.ts'
import { waitFor } from './wait.ts'

/** One attempt; a question lost in the network is asked again under another name. */
const attemptMs = 400
const applyLimitMs = 5000

export class Reader {
  readonly #clock: Clock
  readonly #engine: Engine
  readonly #leadership: Leadership
  /** By context, which is used once. */
  readonly #asked = new Map<string, (index: LogIndex | null) => void>()
  readonly #applied = new Set<{ readonly look: () => void; readonly giveUp: () => void }>()
  #lastContext = 0

  constructor(clock: Clock, parts: { readonly engine: Engine; readonly leadership: Leadership }) {
    this.#clock = clock
    this.#engine = parts.engine
    this.#leadership = parts.leadership
  }

  get waiting(): number {
    return this.#asked.size + this.#applied.size
  }

  /** See `Cluster.readBarrier`. */
  async barrier(signal?: AbortSignal): Promise<LogIndex> {
    const endMs = this.#clock.monotonicMs() + leaderWaitMs
    for (;;) {
      const limitMs = endMs - this.#clock.monotonicMs()
      if (limitMs <= 0 || !this.#engine.isRunning) throw noQuorum('The read cannot be confirmed by a majority of the nodes.')
      if (!(await this.#leadership.wait({ limitMs, signal, suits: ({ id }) => id !== null }))) continue
      const index = await this.#ask(Math.min(attemptMs, limitMs), signal)
      if (index === null) {
        await this.#pause(signal)
        continue
      }
      await this.waitApplied(index, { limitMs: applyLimitMs, signal })
      return index
    }
  }

  /** @throws NO_QUORUM where this node does not get there in time, or takes no part any more */
  async waitApplied(index: LogIndex, options: { readonly limitMs: number; readonly signal?: AbortSignal | undefined }): Promise<void> {
    if (this.#engine.state.index >= index) return
    if (!this.#engine.isRunning) throw noQuorum('This node takes no part in the cluster.')
    const outcome = await waitFor<'applied' | 'over'>({ clock: this.#clock, limitMs: options.limitMs, signal: options.signal }, (resolve) => {
      const waiter = {
        look: () => {
          if (this.#engine.state.index >= index) resolve('applied')
        },
        giveUp: () => resolve('over'),
      }
      this.#applied.add(waiter)
      return () => this.#applied.delete(waiter)
    })
    if (outcome === 'over') throw noQuorum('This node takes no part in the cluster any more.')
    if (outcome === 'timeout') throw noQuorum(`This node is behind: it has not reached index ${index}.`)
  }

  /** The node stops or has halted: nobody waits for what cannot come, and no timer is left behind. */
  abandon(): void {
    for (const answer of this.#asked.values()) answer(null)
    for (const waiter of this.#applied) waiter.giveUp()
  }

  answered(state: ReadState): void {
    this.#asked.get(state.context)?.(state.index)
  }

  appliedMore(): void {
    for (const waiter of this.#applied) waiter.look()
  }

  async #pause(signal: AbortSignal | undefined): Promise<void> {
    await waitFor<never>({ clock: this.#clock, limitMs: retryPauseMs, signal }, () => () => undefined)
  }

  async #ask(limitMs: number, signal: AbortSignal | undefined): Promise<LogIndex | null> {
    this.#lastContext += 1
    const context = String(this.#lastContext)
    const outcome = await waitFor<LogIndex | null>({ clock: this.#clock, limitMs, signal }, (resolve): Cancel => {
      this.#asked.set(context, resolve)
      this.#engine.act((node) => node.readIndex(context))
      return () => this.#asked.delete(context)
    })
    return outcome === 'timeout' ? null : outcome
  }
}

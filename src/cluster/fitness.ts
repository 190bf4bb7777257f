// How fit this node is to lead, by its own clock: late ticks tell of a stalled event loop, long writes of a slow disk.
import type { Clock } from '../ports/clock.ts'
import type { ElectionPriority } from '../raft/types.ts'

export type FitnessOptions = { readonly tickMs: number; readonly electionMs: number }

/** A stall or a slow write counts for so many election time-outs: who was slow just now will be again. */
const memoryElections = 10
/** What lasts this part of an election time-out would have cost a leader several heartbeats. */
const slowShare = 0.5

export class Fitness {
  readonly #options: FitnessOptions
  readonly #clock: Clock
  #lastTickMs: number | null = null
  #slowUntilMs = -Infinity

  constructor(options: FitnessOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  get priority(): ElectionPriority {
    return this.#clock.monotonicMs() < this.#slowUntilMs ? 'low' : 'normal'
  }

  /** A tick has come, `tickMs` after the last one if all is well. */
  ticked(): void {
    const nowMs = this.#clock.monotonicMs()
    if (this.#lastTickMs !== null) this.#note(nowMs - this.#lastTickMs - this.#options.tickMs, nowMs)
    this.#lastTickMs = nowMs
  }

  /** A durable write, with an eye on how long it takes. */
  async watch(write: Promise<unknown>): Promise<void> {
    const beganMs = this.#clock.monotonicMs()
    await write
    const nowMs = this.#clock.monotonicMs()
    this.#note(nowMs - beganMs, nowMs)
  }

  #note(lateMs: number, nowMs: number): void {
    const { electionMs } = this.#options
    if (lateMs >= electionMs * slowShare) this.#slowUntilMs = nowMs + electionMs * memoryElections
  }
}

// How fit this node is to lead, by its own clock: late ticks tell of a stalled event loop, long writes of a slow disk.
import type { ElectionPriority } from '../raft/types.ts'

export type FitnessOptions = { readonly tickMs: number; readonly electionMs: number }

/** A stall or a slow write counts for so many election time-outs: who was slow just now will be again. */
const memoryElections = 10
/** What lasts this part of an election time-out would have cost a leader several heartbeats. */
const slowShare = 0.5

export class Fitness {
  readonly #options: FitnessOptions
  #lastTickMs: number | null = null
  #slowUntilMs = -Infinity

  constructor(options: FitnessOptions) {
    this.#options = options
  }

  /** A tick of `tickMs` has come; `nowMs` is monotonic. */
  ticked(nowMs: number): void {
    const { tickMs } = this.#options
    if (this.#lastTickMs !== null) this.#note(nowMs - this.#lastTickMs - tickMs, nowMs)
    this.#lastTickMs = nowMs
  }

  /** A durable write took so long. */
  wrote(tookMs: number, nowMs: number): void {
    this.#note(tookMs, nowMs)
  }

  priority(nowMs: number): ElectionPriority {
    return nowMs < this.#slowUntilMs ? 'low' : 'normal'
  }

  #note(lateMs: number, nowMs: number): void {
    const { electionMs } = this.#options
    if (lateMs >= electionMs * slowShare) this.#slowUntilMs = nowMs + electionMs * memoryElections
  }
}

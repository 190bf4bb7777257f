// How late the event loop is, from the timers that go off anyway: a sampler of its own would wake an idle process ten times a second.
import type { Cancel } from '../../ports/clock.ts'
import { watchLateness } from './clock.ts'

/** Kept while nobody asks: some four minutes'. */
const samplesMax = 1024

export class LoopDelay {
  #samplesMs: number[] = []
  readonly #cancel: Cancel

  constructor() {
    this.#cancel = watchLateness((lateMs) => {
      if (this.#samplesMs.length < samplesMax) this.#samplesMs.push(lateMs)
    })
  }

  stop(): void {
    this.#cancel()
  }

  /** Milliseconds since the last call, at these shares of the samples; 0 where there are none yet. */
  take(...shares: readonly number[]): readonly number[] {
    const sorted = this.#samplesMs.toSorted((left, right) => left - right)
    this.#samplesMs = []
    return shares.map((share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  }
}

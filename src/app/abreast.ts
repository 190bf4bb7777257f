// What is not known here may have been made on another node a moment ago: before a credential is called wrong, this node comes as far as the cluster is.
import type { AppContext } from './context.ts'

/** Who waits longer is answered by what this node holds. */
const limitMs = 1000
/** Between the beginnings of two questions: strangers make no more of them than this. */
const paceMs = 100

export class Abreast {
  readonly #context: AppContext
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #beganMs = Number.NEGATIVE_INFINITY

  constructor(context: AppContext) {
    this.#context = context
  }

  /**
   * Resolves once this node holds what was acknowledged before the call; at the latest after a second, and at once without quorum, for what can be known then is here.
   * Strangers can have it called as often as they like: all who wait meanwhile share one question, and there are ten of those a second at most.
   */
  come(): Promise<void> {
    if (!this.#context.ports.consensus.status().quorum) return Promise.resolve()
    // A question under way may have been answered before what the caller has heard of was acknowledged.
    if (this.#running !== null) return (this.#next ??= this.#running.then(() => this.#ask()))
    return this.#ask()
  }

  #ask(): Promise<void> {
    this.#next = null
    const running = this.#bounded().finally(() => {
      if (this.#running === running) this.#running = null
    })
    this.#running = running
    return running
  }

  async #bounded(): Promise<void> {
    const { clock, consensus } = this.#context.ports
    const earlyMs = this.#beganMs + paceMs - clock.monotonicMs()
    if (earlyMs > 0) await new Promise<void>((resolve) => clock.after(earlyMs, resolve))
    this.#beganMs = clock.monotonicMs()
    const aborter = new AbortController()
    const cancel = clock.after(limitMs, () => aborter.abort())
    try {
      await consensus.readBarrier(aborter.signal)
    } catch {
      // Not confirmed: what this node holds decides.
    } finally {
      cancel()
    }
  }
}

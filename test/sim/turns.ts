// Turns of the event loop, by the hundred a round of it: between two of them everything happens that needs no time to pass, as between two immediates.

/** A round of the loop asks the kernel for news; a simulation has none to wait for. */
const turnsEachRound = 256

export class Turns {
  /** First come, first served, one a turn. */
  #waiting: (() => void)[] = []
  #at = 0
  #left = 0

  /** Acts in a turn of its own, after those that were asked for before. What `setImmediate` promises. */
  soon(action: () => void): void {
    this.#waiting.push(action)
    if (this.#left === 0) this.#begin()
  }

  /** Resolves in the next turn: everything that can happen without time passing has happened then. */
  next(): Promise<void> {
    return new Promise((resolve) => this.soon(resolve))
  }

  /** Node empties its queues of promises and ticks after each of the immediates of one round. */
  #begin(): void {
    this.#left = turnsEachRound
    for (let turn = 0; turn < turnsEachRound; turn += 1) setImmediate(() => this.#take())
  }

  #take(): void {
    this.#left -= 1
    const action = this.#waiting[this.#at]
    if (action === undefined) return
    this.#at += 1
    if (this.#at === this.#waiting.length) {
      this.#waiting = []
      this.#at = 0
    }
    action()
    if (this.#left === 0 && this.#waiting.length > 0) this.#begin()
  }
}

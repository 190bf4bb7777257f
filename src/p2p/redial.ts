// When to dial a peer again: for ever, soon after a loss, then with a growing and jittered pause.

const firstDelayMs = 100
const delayMsMax = 2_000
/** A session that lasted this long was a real one: the next loss starts from the shortest pause again. */
const settledMs = 2_000

export class Redial {
  readonly #random: (boundExclusive: number) => number
  #failures = 0

  /** @param random an integer in [0, boundExclusive) */
  constructor(random: (boundExclusive: number) => number) {
    this.#random = random
  }

  /** @param upMs how long the session that just ended had been up; 0 where dialling failed */
  ended(upMs: number): void {
    this.#failures = upMs >= settledMs ? 0 : this.#failures + 1
  }

  /** Milliseconds to wait before the next dial: half the step and a random part of the other half. */
  delayMs(): number {
    const step = Math.min(firstDelayMs * 2 ** Math.min(this.#failures, 10), delayMsMax)
    return Math.floor(step / 2) + this.#random(Math.ceil(step / 2))
  }
}

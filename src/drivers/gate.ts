// Bounds how many slow things are in flight at once and how many may wait for their turn.
import { OperationalError } from '../model/error.ts'

export class Gate {
  readonly #purpose: string
  readonly #width: number
  readonly #waitingMax: number
  #inside = 0
  readonly #waiting: (() => void)[] = []

  constructor(options: { readonly purpose: string; readonly width: number; readonly waitingMax: number }) {
    this.#purpose = options.purpose
    this.#width = options.width
    this.#waitingMax = options.waitingMax
  }

  /** @throws OperationalError OVERLOADED when too many wait already */
  async pass<T>(action: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#width) {
      if (this.#waiting.length >= this.#waitingMax) throw new OperationalError('OVERLOADED', `too many ${this.#purpose} wait already`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else {
      this.#inside++
    }
    try {
      return await action()
    } finally {
      const next = this.#waiting.shift()
      // The place goes straight to the next one.
      if (next === undefined) this.#inside--
      else next()
    }
  }
}

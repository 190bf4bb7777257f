// Slows down guessing: after a few failures for a name from an address, and for an address alone, pauses that double.
import type { Clock } from '../ports/clock.ts'

export const freeFailures = 5
const addressFreeFailures = 20
const pauseMsMax = 300_000
const forgottenMs = 900_000
/** Records kept; the oldest are forgotten first. */
const recordsMax = 10_000

type RecordOf = { failures: number; lastMs: number }

export class Lockout {
  readonly #clock: Clock
  readonly #records = new Map<string, RecordOf>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whole seconds until the next attempt is taken; 0 for now. */
  waitSeconds(name: string, address: string): number {
    const waitMs = Math.max(this.#waitMs(`${name}\n${address}`, freeFailures), this.#waitMs(`\n${address}`, addressFreeFailures))
    return Math.ceil(waitMs / 1000)
  }

  failed(name: string, address: string): void {
    for (const key of [`${name}\n${address}`, `\n${address}`]) {
      const record = this.#records.get(key) ?? { failures: 0, lastMs: 0 }
      // Put in anew, so that the map's order is that of the last failure.
      this.#records.delete(key)
      this.#records.set(key, { failures: record.failures + 1, lastMs: this.#clock.monotonicMs() })
    }
    for (const key of this.#records.keys()) {
      if (this.#records.size <= recordsMax) break
      this.#records.delete(key)
    }
  }

  succeeded(name: string, address: string): void {
    this.#records.delete(`${name}\n${address}`)
  }

  #waitMs(key: string, free: number): number {
    const record = this.#records.get(key)
    if (record === undefined || record.failures < free) return 0
    const sinceMs = this.#clock.monotonicMs() - record.lastMs
    if (sinceMs > forgottenMs) {
      this.#records.delete(key)
      return 0
    }
    return Math.max(0, Math.min(pauseMsMax, 1000 * 2 ** Math.min(record.failures - free, 20)) - sinceMs)
  }
}

// Slows down guessing: after a few failures for a name from an address, for an address alone and for a name alone, pauses that double.
// Nodes tell each other of failures, so that asking another one gains nothing.
import type { Clock } from '../ports/clock.ts'

export const freeFailures = 5
const addressFreeFailures = 20
/** For a name from anywhere. Higher and shorter than the others, for it can be used to keep somebody out. */
const nameFreeFailures = 50
const pauseMsMax = 300_000
const namePauseMsMax = 60_000
const forgottenMs = 900_000
/** Records kept; the oldest are forgotten first. */
const recordsMax = 10_000

type RecordOf = { failures: number; lastMs: number }

export class Lockout {
  readonly #clock: Clock
  readonly #records = new Map<string, RecordOf>()
  /** Where a name has signed in from: there only failures of that very place count. */
  readonly #trusted = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whole seconds until the next attempt is taken; 0 for now. `name` may be any text that stands for it. */
  waitSeconds(name: string, address: string): number {
    const pair = `${name}\n${address}`
    const waits = [this.#waitMs(pair, freeFailures, pauseMsMax), this.#waitMs(`\n${address}`, addressFreeFailures, pauseMsMax)]
    if (!this.#trusted.has(pair)) waits.push(this.#waitMs(`${name}\n`, nameFreeFailures, namePauseMsMax))
    return Math.ceil(Math.max(...waits) / 1000)
  }

  failed(name: string, address: string): void {
    for (const key of [`${name}\n${address}`, `\n${address}`, `${name}\n`]) {
      const record = this.#records.get(key) ?? { failures: 0, lastMs: 0 }
      // Put in anew, so that the map's order is that of the last failure.
      this.#records.delete(key)
      this.#records.set(key, { failures: record.failures + 1, lastMs: this.#clock.monotonicMs() })
    }
    trim(this.#records, recordsMax)
  }

  /** @returns whether failures had been counted */
  succeeded(name: string, address: string): boolean {
    const pair = `${name}\n${address}`
    const hadFailed = this.#records.delete(pair)
    this.#trusted.delete(pair)
    this.#trusted.add(pair)
    trim(this.#trusted, recordsMax)
    return hadFailed
  }

  #waitMs(key: string, free: number, pauseMs: number): number {
    const record = this.#records.get(key)
    if (record === undefined || record.failures < free) return 0
    const sinceMs = this.#clock.monotonicMs() - record.lastMs
    if (sinceMs > forgottenMs) {
      this.#records.delete(key)
      return 0
    }
    return Math.max(0, Math.min(pauseMs, 1000 * 2 ** Math.min(record.failures - free, 20)) - sinceMs)
  }
}

function trim(kept: Map<string, unknown> | Set<string>, max: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= max) break
    kept.delete(oldest)
  }
}

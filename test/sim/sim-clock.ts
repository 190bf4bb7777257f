// One process's view of simulated time: its timers die with it, its wall clock may be off, its event loop may stall.
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { EventQueue } from './event-queue.ts'

/** 2026-01-01T00:00:00Z: where every simulation begins. */
export const epochMs = 1_767_225_600_000

export class SimClock implements Clock {
  readonly #queue: EventQueue
  #isDead = false
  #skewMs = 0
  #stalledUntilMs = 0
  #stalledMs = 0

  constructor(queue: EventQueue, skewMs = 0) {
    this.#queue = queue
    this.#skewMs = skewMs
  }

  nowMs(): number {
    return epochMs + Math.floor(this.#queue.nowMs) + this.#skewMs
  }

  monotonicMs(): number {
    return this.#queue.nowMs
  }

  after(delayMs: number, action: () => void): Cancel {
    if (this.#isDead) return () => undefined
    const scheduled = this.#queue.at(this.#queue.nowMs + delayMs, () => this.#run(action, () => scheduled.cancelled))
    return () => {
      scheduled.cancelled = true
    }
  }

  every(periodMs: number, action: () => void): Cancel {
    let cancelled = false
    let cancel: Cancel = () => undefined
    const arm = (): void => {
      cancel = this.after(periodMs, () => {
        action()
        if (!cancelled) arm()
      })
    }
    arm()
    return () => {
      cancelled = true
      cancel()
    }
  }

  /** The process is gone: nothing that it planned happens. */
  kill(): void {
    this.#isDead = true
  }

  /** The wall clock is set; the monotonic one does not notice. */
  setSkew(skewMs: number): void {
    this.#skewMs = skewMs
  }

  get isStalled(): boolean {
    return this.#queue.nowMs < this.#stalledUntilMs
  }

  /** Monotonic, but for the time in which the event loop did nothing. */
  get awakeMs(): number {
    return this.#queue.nowMs - this.#stalledMs + Math.max(0, this.#stalledUntilMs - this.#queue.nowMs)
  }

  /** The event loop does nothing for so long; what falls due meanwhile happens afterwards. */
  stall(durationMs: number): void {
    const untilMs = Math.max(this.#stalledUntilMs, this.#queue.nowMs + durationMs)
    this.#stalledMs += untilMs - Math.max(this.#stalledUntilMs, this.#queue.nowMs)
    this.#stalledUntilMs = untilMs
  }

  #run(action: () => void, isCancelled: () => boolean): void {
    if (this.#isDead || isCancelled()) return
    if (this.#queue.nowMs < this.#stalledUntilMs) {
      this.#queue.at(this.#stalledUntilMs, () => this.#run(action, isCancelled))
      return
    }
    action()
  }
}

// Runs a reconciler by key: once at a time per key, some keys at a time, again after a failure with growing pauses.
import type { Cancel, Clock, Random } from '../ports/clock.ts'

/** Keys worked on at once. */
export const workersMax = 8
const backOffMsMin = 250
const backOffMsMax = 30_000

type Slot = { running: boolean; again: boolean; failures: number; timer: Cancel | null }

export class WorkQueue {
  readonly #work: (key: string) => Promise<void>
  readonly #onError: (key: string, error: unknown) => void
  readonly #ports: { readonly clock: Clock; readonly random: Random }
  readonly #slots = new Map<string, Slot>()
  readonly #ready = new Set<string>()
  #running = 0
  #stopped = false
  #idle: (() => void)[] = []

  /** `work` gets a key, never what happened: it looks for itself. */
  constructor(options: { readonly work: (key: string) => Promise<void>; readonly onError: (key: string, error: unknown) => void }, ports: { readonly clock: Clock; readonly random: Random }) {
    this.#work = options.work
    this.#onError = options.onError
    this.#ports = ports
  }

  /** Keys waiting, running or set for later. */
  get size(): number {
    return this.#slots.size
  }

  /** Soon; at once where a worker is free. Asking again while it waits changes nothing, while it runs lets it run once more. */
  add(key: string): void {
    if (this.#stopped) return
    const slot = this.#slots.get(key) ?? { running: false, again: false, failures: 0, timer: null }
    this.#slots.set(key, slot)
    if (slot.running) {
      slot.again = true
      return
    }
    slot.timer?.()
    slot.timer = null
    this.#ready.add(key)
    this.#next()
  }

  /** After a delay in milliseconds, unless something asks for it earlier. */
  addAfter(key: string, delayMs: number): void {
    if (this.#stopped) return
    const slot = this.#slots.get(key) ?? { running: false, again: false, failures: 0, timer: null }
    this.#slots.set(key, slot)
    slot.timer?.()
    slot.timer = this.#ports.clock.after(delayMs, () => {
      slot.timer = null
      this.add(key)
    })
  }

  /** Takes nothing new; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const slot of this.#slots.values()) slot.timer?.()
    this.#ready.clear()
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #next(): void {
    while (this.#running < workersMax && !this.#stopped) {
      const [key] = this.#ready
      if (key === undefined) return
      this.#ready.delete(key)
      void this.#run(key)
    }
  }

  async #run(key: string): Promise<void> {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    slot.running = true
    slot.again = false
    this.#running++
    try {
      await this.#work(key)
      slot.failures = 0
    } catch (error) {
      slot.failures++
      this.#onError(key, error)
    }
    this.#running--
    slot.running = false
    this.#after(key, slot)
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve()
    this.#next()
  }

  #after(key: string, slot: Slot): void {
    if (this.#stopped) return
    if (slot.failures > 0 && slot.timer === null) {
      const fullMs = Math.min(backOffMsMax, backOffMsMin * 2 ** Math.min(slot.failures - 1, 10))
      this.addAfter(key, fullMs / 2 + this.#ports.random.integer(Math.max(1, Math.floor(fullMs / 2))))
    } else if (slot.again) this.add(key)
    else if (slot.timer === null) this.#slots.delete(key)
  }
}

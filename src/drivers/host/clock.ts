// The machine's own clock behind the Clock port.
import type { Cancel, Clock } from '../../ports/clock.ts'

/**
 * What goes off every now and then goes off together, in steps of this size and from one timer: an idle daemon's time goes into waking up, with cold
 * caches and a sleeping core, much more than into what it then does. Processes differ in phase.
 */
export const gridMs = 250

type Entry = { readonly periodMs: number; dueMs: number; readonly action: (lateMs: number) => void }

/** What a grid stands on; a test brings its own. */
export type GridTime = {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Calls once; the returned function cancels. */
  after(delayMs: number, action: () => void): Cancel
  /** In a turn of its own, soon: what a former action promised comes before it. */
  soon(action: () => void): void
}

const machineTime: GridTime = {
  now: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  soon: (action) => void setImmediate(action),
}

/** One timer for many periods, all of them multiples of the grid's step. */
export class Grid {
  readonly #time: GridTime
  readonly #phaseMs: number
  readonly #entries = new Set<Entry>()
  #cancel: Cancel | null = null
  #wakeMs = Number.POSITIVE_INFINITY

  constructor(time: GridTime = machineTime, phaseMs = performance.timeOrigin % gridMs) {
    this.#time = time
    this.#phaseMs = phaseMs
  }

  /** `action` hears how late the step came, milliseconds. */
  add(periodMs: number, action: (lateMs: number) => void): Cancel {
    const entry: Entry = { periodMs, action, dueMs: this.#stepAt(this.#time.now() + periodMs) }
    this.#entries.add(entry)
    if (entry.dueMs < this.#wakeMs) this.#arm()
    return () => {
      this.#entries.delete(entry)
      // Nothing keeps the process up once all entries are gone.
      if (this.#entries.size === 0) this.#arm()
    }
  }

  #arm(): void {
    this.#cancel?.()
    this.#cancel = null
    this.#wakeMs = Number.POSITIVE_INFINITY
    for (const { dueMs } of this.#entries) this.#wakeMs = Math.min(this.#wakeMs, dueMs)
    if (this.#wakeMs < Number.POSITIVE_INFINITY) this.#cancel = this.#time.after(Math.ceil(this.#wakeMs - this.#time.now()), () => this.#step())
  }

  #step(): void {
    const nowMs = this.#time.now()
    const due = [...this.#entries].filter(({ dueMs }) => dueMs <= nowMs + 1)
    const lateMs = Math.max(0, nowMs - this.#wakeMs)
    // What was missed in a stall is not made up for.
    for (const entry of due) entry.dueMs = this.#stepAt(Math.max(entry.dueMs, nowMs - entry.periodMs) + entry.periodMs)
    this.#arm()
    // The quickest first, Raft's tick among them: its heartbeat leaves before the rest of this step is done. A turn for each would cost an idle daemon a tenth.
    this.#run(due.filter(({ periodMs }) => periodMs === gridMs), lateMs)
    const rest = due.filter(({ periodMs }) => periodMs !== gridMs)
    if (rest.length > 0) this.#time.soon(() => this.#run(rest, lateMs))
  }

  /** An action that throws ends the process, as any timer's does, and takes no other action's turn. */
  #run(entries: readonly Entry[], lateMs: number): void {
    for (const entry of entries) {
      try {
        if (this.#entries.has(entry)) entry.action(lateMs)
      } catch (error) {
        this.#time.soon(() => {
          throw error
        })
      }
    }
  }

  /** The step at or after a time; one that was missed by a hair counts. */
  #stepAt(timeMs: number): number {
    return Math.ceil((timeMs - this.#phaseMs - 1) / gridMs) * gridMs + this.#phaseMs
  }
}

const grid = new Grid()

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  every: (periodMs, action) => (periodMs % gridMs === 0 ? grid.add(periodMs, () => action()) : everyExactly(periodMs, action)),
}

/** Tells in every step of the grid, milliseconds, how late it came: what kept the event loop, or the process from a core. */
export function watchLateness(listener: (lateMs: number) => void): Cancel {
  return grid.add(gridMs, listener)
}

function everyExactly(periodMs: number, action: () => void): Cancel {
  const timer = setInterval(action, periodMs)
  return () => clearInterval(timer)
}

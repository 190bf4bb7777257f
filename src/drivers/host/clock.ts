// The machine's own clock behind the Clock port.
import type { Cancel, Clock } from '../../ports/clock.ts'

/**
 * What goes off every now and then goes off together, in steps of this size and from one timer: an idle daemon's time goes into waking up, with cold
 * caches and a sleeping core, much more than into what it then does. Processes differ in phase.
 */
export const gridMs = 250
const phaseMs = performance.timeOrigin % gridMs

type Entry = { readonly periodMs: number; dueMs: number; readonly action: (lateMs: number) => void }

class Grid {
  readonly #entries = new Set<Entry>()
  #timer: NodeJS.Timeout | null = null
  #wakeMs = Number.POSITIVE_INFINITY

  add(periodMs: number, action: (lateMs: number) => void): Cancel {
    const entry: Entry = { periodMs, action, dueMs: onGrid(performance.now() + periodMs) }
    this.#entries.add(entry)
    if (entry.dueMs < this.#wakeMs) this.#arm()
    return () => {
      this.#entries.delete(entry)
      if (this.#entries.size === 0) this.#arm()
    }
  }

  /** Nothing keeps the process up once all entries are gone. */
  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#wakeMs = Number.POSITIVE_INFINITY
    for (const { dueMs } of this.#entries) this.#wakeMs = Math.min(this.#wakeMs, dueMs)
    if (this.#wakeMs < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#step(), Math.ceil(this.#wakeMs - performance.now()))
  }

  #step(): void {
    const nowMs = performance.now()
    const due = [...this.#entries].filter(({ dueMs }) => dueMs <= nowMs + 1)
    const lateMs = Math.max(0, nowMs - this.#wakeMs)
    // What was missed in a stall is not made up for.
    for (const entry of due) entry.dueMs = onGrid(Math.max(entry.dueMs, nowMs - entry.periodMs) + entry.periodMs)
    this.#arm()
    for (const entry of due) if (this.#entries.has(entry)) run(entry, lateMs)
  }
}

/** An action that throws ends the process, as any timer's does, and takes no other action's turn. */
function run({ action }: Entry, lateMs: number): void {
  try {
    action(lateMs)
  } catch (error) {
    process.nextTick(() => {
      throw error
    })
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
  every: (periodMs, action) => (periodMs < gridMs ? everyExactly(periodMs, action) : grid.add(periodMs, () => action())),
}

/** Tells in every step of the grid, milliseconds, how late it came: what kept the event loop, or the process from a core. */
export function watchLateness(listener: (lateMs: number) => void): Cancel {
  return grid.add(gridMs, listener)
}

function everyExactly(periodMs: number, action: () => void): Cancel {
  const timer = setInterval(action, periodMs)
  return () => clearInterval(timer)
}

/** The next step at or after a time; one that was missed by a hair counts. */
function onGrid(timeMs: number): number {
  return Math.ceil((timeMs - phaseMs - 1) / gridMs) * gridMs + phaseMs
}

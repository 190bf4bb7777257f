// The machine's own clock behind the Clock port.
import type { Clock } from '../../ports/clock.ts'

/**
 * What goes off every now and then goes off together, in steps of this size: an idle daemon's time goes into waking up, with cold caches and a sleeping
 * core, much more than into what it then does. Processes differ in phase.
 */
export const gridMs = 200
const phaseMs = performance.timeOrigin % gridMs

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  every: (periodMs, action) => (periodMs < gridMs ? everyExactly(periodMs, action) : everyOnGrid(periodMs, action)),
}

function everyExactly(periodMs: number, action: () => void): () => void {
  const timer = setInterval(action, periodMs)
  return () => clearInterval(timer)
}

function everyOnGrid(periodMs: number, action: () => void): () => void {
  let dueMs = onGrid(performance.now() + periodMs)
  let timer: NodeJS.Timeout
  const arm = (): void => {
    timer = setTimeout(() => {
      // What was missed in a stall is not made up for.
      dueMs = onGrid(Math.max(dueMs, performance.now() - periodMs) + periodMs)
      arm()
      action()
    }, Math.ceil(dueMs - performance.now()))
  }
  arm()
  return () => clearTimeout(timer)
}

/** The next step at or after a time; one that was missed by a hair counts. */
function onGrid(timeMs: number): number {
  return Math.ceil((timeMs - phaseMs - 1) / gridMs) * gridMs + phaseMs
}

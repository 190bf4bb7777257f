// The machine's own clock behind the Clock port.
import type { Clock } from '../../ports/clock.ts'

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  every: (periodMs, action) => {
    const timer = setInterval(action, periodMs)
    return () => clearInterval(timer)
  },
}

// An AbortSignal that fires after a time on the injected clock, or when another signal does.
import type { Clock } from '../ports/clock.ts'
import { StreamClosed } from './framing.ts'

export type Deadline = { readonly signal: AbortSignal; readonly cancel: () => void }

/** Starts the clock now; call `cancel` when the work is done, in any case. */
export function startDeadline(clock: Clock, delayMs: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const cancelTimer = clock.after(delayMs, () => controller.abort(new StreamClosed(`${what} took longer than ${delayMs} ms`)))
  const onParent = () => controller.abort(parent?.reason)
  if (parent?.aborted === true) onParent()
  parent?.addEventListener('abort', onParent, { once: true })
  return {
    signal: controller.signal,
    cancel: () => {
      cancelTimer()
      parent?.removeEventListener('abort', onParent)
    },
  }
}

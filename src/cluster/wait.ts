// One way to wait: for a call-back, at most so long, unless aborted. Nothing is left behind whichever comes first.
import type { Cancel, Clock } from '../ports/clock.ts'

export type WaitOptions = { readonly clock: Clock; readonly limitMs: number; readonly signal?: AbortSignal | undefined }

/** A bound of its own may lie far away, but not beyond what timers can hold. */
const limitMsMax = 2 ** 31 - 1

/**
 * Resolves with what `begin` hands to its call-back, or with 'timeout' after `limitMs`.
 * `begin` returns how to stop listening; it is called exactly once.
 * @throws the signal's reason when aborted
 */
export function waitFor<T>(options: WaitOptions, begin: (resolve: (value: T) => void) => Cancel): Promise<T | 'timeout'> {
  const { clock, limitMs, signal } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(reasonOf(signal))
      return
    }
    let settled = false
    let stop: Cancel | null = null
    let cancelTimer: Cancel | null = null
    const onAbort = (): void => finish(() => reject(reasonOf(signal)))
    const finish = (settle: () => void): void => {
      if (settled) return
      settled = true
      stop?.()
      cancelTimer?.()
      signal?.removeEventListener('abort', onAbort)
      settle()
    }
    stop = begin((value) => finish(() => resolve(value)))
    if (settled) {
      stop()
      return
    }
    cancelTimer = clock.after(Math.min(Math.max(0, limitMs), limitMsMax), () => finish(() => resolve('timeout')))
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason : new Error('aborted')
}

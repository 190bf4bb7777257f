// A log store whose durable writes are timed.
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'

const recentMax = 256

export type MeasuredLogStore = LogStore & {
  /** Writes so far, their seconds together, and the 99th percentile of the last 256 in seconds. */
  measured(): { readonly writes: number; readonly seconds: number; readonly p99Seconds: number }
}

export function measureLogStore(store: LogStore, clock: Clock): MeasuredLogStore {
  const recent: number[] = []
  let [writes, seconds] = [0, 0]
  return {
    open: () => store.open(),
    close: () => store.close(),
    renew: (beginning) => store.renew(beginning),
    watchFailure: (listener) => store.watchFailure(listener),
    sizeBytes: () => store.sizeBytes(),
    async write(batch) {
      const beginMs = clock.monotonicMs()
      await store.write(batch)
      const took = (clock.monotonicMs() - beginMs) / 1000
      recent[writes % recentMax] = took
      writes++
      seconds += took
    },
    measured() {
      const sorted = recent.toSorted((left, right) => left - right)
      return { writes, seconds, p99Seconds: sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0 }
    },
  }
}

// A log store whose durable writes are timed.
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'

const recentMax = 256

export type MeasuredLogStore = LogStore & {
  /** Writes so far, their seconds together, and median, 99th percentile and longest of the last 256 in seconds. */
  measured(): { readonly writes: number; readonly seconds: number; readonly p50Seconds: number; readonly p99Seconds: number; readonly maxSeconds: number }
}

export function measureLogStore(store: LogStore, clock: Clock): MeasuredLogStore {
  const recent: number[] = []
  let [writes, seconds] = [0, 0]
  return {
    open: () => store.open(),
    close: () => store.close(),
    renew: (beginning) => store.renew(beginning),
    ...(store.distrust === undefined ? {} : { distrust: store.distrust }),
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
      const share = (part: number) => sorted[Math.ceil(sorted.length * part) - 1] ?? 0
      return { writes, seconds, p50Seconds: share(0.5), p99Seconds: share(0.99), maxSeconds: share(1) }
    },
  }
}

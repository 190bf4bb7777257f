// A log store whose durable writes are timed.
import type { Clock } from '../ports/clock.ts'
import type { LogStore } from '../ports/log-store.ts'
import { LatencyWindow, type Latencies } from './latency-window.ts'

export type MeasuredLogStore = LogStore & {
  /** Writes so far, their seconds together, and how long those of the last minute took. */
  measured(): { readonly writes: number; readonly seconds: number } & Omit<Latencies, 'count'>
}

export function measureLogStore(store: LogStore, clock: Clock): MeasuredLogStore {
  const recent = new LatencyWindow()
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
      const nowMs = clock.monotonicMs()
      const took = (nowMs - beginMs) / 1000
      recent.note(nowMs, took)
      writes++
      seconds += took
    },
    measured() {
      const { p50Seconds, p99Seconds, maxSeconds } = recent.read(clock.monotonicMs())
      return { writes, seconds, p50Seconds, p99Seconds, maxSeconds }
    },
  }
}

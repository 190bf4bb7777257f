// How long something took in the last minute: median, 99th percentile and longest, at a cost that does not grow with the number of times.

const slotMs = 5_000
const slotsMax = 12
/** Buckets grow by a tenth, from 10 µs: the last one begins at days. */
const growth = Math.log(1.1)
const firstSeconds = 1e-5
const bucketsMax = 256

type Slot = { at: number; count: number; maxSeconds: number; readonly buckets: Uint32Array }
/** Percentiles are exact to a tenth, and never above the longest. */
export type Latencies = { readonly count: number; readonly p50Seconds: number; readonly p99Seconds: number; readonly maxSeconds: number }

export class LatencyWindow {
  readonly #slots: readonly Slot[] = Array.from({ length: slotsMax }, () => ({ at: -Infinity, count: 0, maxSeconds: 0, buckets: new Uint32Array(bucketsMax) }))
  #last: Slot | null = null

  /** @param nowMs monotonic */
  note(nowMs: number, seconds: number): void {
    const at = Math.floor(nowMs / slotMs)
    const slot = this.#slots[at % slotsMax]!
    if (slot.at !== at) {
      slot.at = at
      slot.count = 0
      slot.maxSeconds = 0
      slot.buckets.fill(0)
    }
    const bucket = bucketOf(seconds)
    slot.buckets[bucket] = (slot.buckets[bucket] ?? 0) + 1
    slot.count++
    slot.maxSeconds = Math.max(slot.maxSeconds, seconds)
    this.#last = slot
  }

  /** Of the last minute; where nothing happened in it, of the last five seconds in which something did. Zeros where nothing ever did. */
  read(nowMs: number): Latencies {
    const at = Math.floor(nowMs / slotMs)
    const recent = this.#slots.filter((slot) => at - slot.at < slotsMax)
    const slots = recent.length > 0 || this.#last === null ? recent : [this.#last]
    const count = slots.reduce((sum, slot) => sum + slot.count, 0)
    const maxSeconds = slots.reduce((most, slot) => Math.max(most, slot.maxSeconds), 0)
    const share = (part: number) => {
      let left = Math.ceil(count * part)
      for (let bucket = 0; bucket < bucketsMax; bucket++) {
        for (const slot of slots) left -= slot.buckets[bucket] ?? 0
        if (left <= 0) return Math.min(maxSeconds, firstSeconds * Math.exp(growth * bucket))
      }
      return maxSeconds
    }
    return { count, p50Seconds: share(0.5), p99Seconds: share(0.99), maxSeconds }
  }
}

/** The first whose bound is not below. */
function bucketOf(seconds: number): number {
  return seconds <= firstSeconds ? 0 : Math.min(bucketsMax - 1, Math.ceil(Math.log(seconds / firstSeconds) / growth))
}

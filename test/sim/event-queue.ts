// Simulated time: a queue of what is to happen, ordered by time and then by when it was asked for.

export type Scheduled = { readonly timeMs: number; readonly sequence: number; readonly action: () => void; cancelled: boolean }

export class EventQueue {
  readonly #heap: Scheduled[] = []
  #nowMs = 0
  #sequence = 0

  /** Monotonic milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs
  }
  get size(): number {
    return this.#heap.length
  }

  at(timeMs: number, action: () => void): Scheduled {
    this.#sequence += 1
    const scheduled: Scheduled = { timeMs: Math.max(timeMs, this.#nowMs), sequence: this.#sequence, action, cancelled: false }
    this.#push(scheduled)
    return scheduled
  }

  /** The next action, with time moved on to it; null where there is none before `untilMs` (time then moves to it). */
  next(untilMs: number): (() => void) | null {
    for (;;) {
      const top = this.#heap[0]
      if (top === undefined || top.timeMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs)
        return null
      }
      this.#pop()
      if (top.cancelled) continue
      this.#nowMs = top.timeMs
      return top.action
    }
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap
    heap.push(scheduled)
    let at = heap.length - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(scheduled, heap[parent] as Scheduled)) break
      heap[at] = heap[parent] as Scheduled
      at = parent
    }
    heap[at] = scheduled
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child += 1
      if (!isBefore(heap[child] as Scheduled, last)) break
      heap[at] = heap[child] as Scheduled
      at = child
    }
    heap[at] = last
  }
}

function isBefore(left: Scheduled, right: Scheduled): boolean {
  return left.timeMs < right.timeMs || (left.timeMs === right.timeMs && left.sequence < right.sequence)
}

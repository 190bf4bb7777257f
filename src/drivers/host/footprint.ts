// Keeps the daemon small: compiled code goes to the cache for the next start, and what a start or a transfer left behind goes back to the system.
import { flushCompileCache } from 'node:module'
import type { Cancel, Clock } from '../../ports/clock.ts'

/** By now all that a start needs is loaded. A daemon that is killed writes no cache by itself, and the next would compile all anew. */
const cacheDelayMs = 10_000
const lookPeriodMs = 30_000
/** As long as the process is larger by less than this than it was at its smallest, there is nothing to gain. */
const growthBytesMin = 16 * 2 ** 20
/** A collection stops everything for a millisecond or two a megabyte: a larger heap is left to V8, which works in steps. */
const heapBytesMax = 96 * 2 ** 20
/** Who has work to do is not kept from it. */
const utilizationMax = 0.2
/** Looks left out after a collection that gained nothing: an hour's at most. */
const skippedMax = 120

export type FootprintPorts = {
  readonly clock: Clock
  /** Resident memory of this process. */
  readonly residentBytes: () => number
  /** What lives in V8's heap. */
  readonly heapBytes: () => number
  /** Share of the time since the last call in which the event loop had something to do. */
  readonly utilization: () => number
  /** A whole collection of garbage, in which nothing else runs. Absent where the runtime offers none. */
  readonly collect: (() => void) | undefined
  readonly saveCode: () => void
}

/**
 * V8 collects when much was allocated, which an idle daemon never does: the garbage of its start, or the buffers of an image that went through, would
 * stay for hours. Looks every 30 seconds, and collects where the process has grown and is idle. The returned function ends it.
 */
export function keepFootprintSmall({ clock, residentBytes, heapBytes, utilization, collect, saveCode }: FootprintPorts): Cancel {
  const cancelSave = clock.after(cacheDelayMs, saveCode)
  if (collect === undefined) return cancelSave
  let smallestBytes = Number.NEGATIVE_INFINITY
  let [skip, skipNext] = [0, 1]
  const cancelLook = clock.every(lookPeriodMs, () => {
    const isBusy = utilization() > utilizationMax
    if (skip > 0) {
      skip -= 1
      return
    }
    if (isBusy || heapBytes() > heapBytesMax || residentBytes() - smallestBytes < growthBytesMin) return
    collect()
    const bytes = residentBytes()
    smallestBytes = Number.isFinite(smallestBytes) ? Math.min(smallestBytes, bytes) : bytes
    // What did not go is in use, for now or for good.
    const isInUse = bytes - smallestBytes >= growthBytesMin
    skip = isInUse ? skipNext : 0
    skipNext = isInUse ? Math.min(2 * skipNext, skippedMax) : 1
  })
  return () => {
    cancelSave()
    cancelLook()
  }
}

/** What the runtime offers; `gc` is there with --expose-gc, which the launcher gives. */
export function runtimeFootprint(clock: Clock): FootprintPorts {
  const { gc } = globalThis
  let before = performance.eventLoopUtilization()
  return {
    clock,
    residentBytes: () => process.memoryUsage.rss(),
    heapBytes: () => process.memoryUsage().heapUsed,
    utilization: () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return utilization
    },
    collect: gc === undefined ? undefined : () => gc(),
    saveCode: () => flushCompileCache(),
  }
}

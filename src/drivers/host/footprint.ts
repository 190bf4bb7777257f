// Keeps the daemon small: compiled code goes to the cache for the next start, and what a start or a transfer left behind goes back to the system.
import { flushCompileCache } from 'node:module'
import type { Cancel, Clock } from '../../ports/clock.ts'

/** By now all that a start needs is loaded. A daemon that is killed writes no cache by itself, and the next would compile all anew. */
const cacheDelayMs = 10_000
const lookPeriodMs = 30_000
/** As long as the process has grown by less than this since the last collection, there is nothing to gain. */
const growthBytesMin = 16 * 2 ** 20

export type FootprintPorts = {
  readonly clock: Clock
  /** Resident memory of this process. */
  readonly residentBytes: () => number
  /** A whole collection of garbage: tens of milliseconds in which nothing else runs. Absent where the runtime offers none. */
  readonly collect: (() => void) | undefined
  readonly saveCode: () => void
}

/**
 * V8 collects when much was allocated, which an idle daemon never does: the garbage of its start, or the buffers of an image that went through, would
 * stay for hours. Collects at most every 30 seconds, and only after the process has grown by 16 MiB. The returned function ends it.
 */
export function keepFootprintSmall({ clock, residentBytes, collect, saveCode }: FootprintPorts): Cancel {
  const cancelSave = clock.after(cacheDelayMs, saveCode)
  if (collect === undefined) return cancelSave
  let floorBytes = 0
  const cancelLook = clock.every(lookPeriodMs, () => {
    if (residentBytes() - floorBytes < growthBytesMin) return
    collect()
    floorBytes = residentBytes()
  })
  return () => {
    cancelSave()
    cancelLook()
  }
}

/** What the runtime offers; `gc` is there with --expose-gc, which the launcher gives. */
export function runtimeFootprint(clock: Clock): FootprintPorts {
  const { gc } = globalThis
  return { clock, residentBytes: () => process.memoryUsage.rss(), collect: gc === undefined ? undefined : () => gc(), saveCode: () => flushCompileCache() }
}

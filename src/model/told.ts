// What comes and goes is told at growing pauses, so that a flapping link or a slow disk fills neither the log nor the events.

/** When something was told last, and how long its next change waits. */
export type Told = { readonly atMs: number; readonly pauseMs: number }

/** A host that was started again comes back later than this. */
const pauseMsFirst = 5_000
const pauseMsMax = 600_000
/** After so long without a change, and twice its own pause, it is told at once again. */
const calmMsMin = 600_000

/** Whether a change may be told; also where the clock was set back behind the last time. */
export function isDue(told: Told | undefined, nowMs: number): boolean {
  return told === undefined || nowMs < told.atMs || nowMs - told.atMs >= told.pauseMs
}

/** It is told now: the next pause is twice as long, unless it had been calm. */
export function tellAt(told: Told | undefined, nowMs: number): Told {
  const isCalm = told === undefined || nowMs - told.atMs > Math.max(calmMsMin, 2 * told.pauseMs)
  return { atMs: nowMs, pauseMs: isCalm ? pauseMsFirst : Math.min(2 * told.pauseMs, pauseMsMax) }
}

/** Ends the sentence of what is told so often that changes in between are left out; empty at first. */
export function flappingNote({ pauseMs }: Told): string {
  return pauseMs < 4 * pauseMsFirst ? '' : `; it comes and goes, and is told again after ${pauseMs / 1000} s at the earliest`
}

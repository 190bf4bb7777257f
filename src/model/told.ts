// What comes and goes is told at growing pauses, so that a flapping link or a slow disk fills neither the log nor the events.

/** When something was told last, and how often since it was calm. */
export type Told = { readonly atMs: number; readonly times: number }

const pauseMsFirst = 5_000
const pauseMsMax = 600_000
/** So often the pause stays the first one: a few changes in a row are what operators make. */
const burst = 10
/** After so long without a change, and twice its own pause, it counts from the beginning. */
const calmMsMin = 600_000

/** Whether a change may be told; also where the clock was set back behind the last time. */
export function isDue(told: Told | undefined, nowMs: number): boolean {
  return told === undefined || nowMs < told.atMs || nowMs - told.atMs >= pauseMsOf(told)
}

/** It is told now. */
export function tellAt(told: Told | undefined, nowMs: number): Told {
  const isCalm = told === undefined || nowMs - told.atMs > Math.max(calmMsMin, 2 * pauseMsOf(told))
  return { atMs: nowMs, times: isCalm ? 1 : told.times + 1 }
}

/** Ends the sentence of what is told so often that changes in between are left out; empty at first. */
export function flappingNote(told: Told): string {
  return told.times <= burst ? '' : `; it comes and goes, and is told again after ${pauseMsOf(told) / 1000} s at the earliest`
}

/** Doubles with each time beyond the burst. */
function pauseMsOf({ times }: Told): number {
  return Math.min(pauseMsFirst * 2 ** Math.max(0, Math.min(times - burst, 30)), pauseMsMax)
}

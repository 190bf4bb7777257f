// How long a leader may read by its lease: shorter than what its followers promise, by more than their clocks may differ.
import type { Clock } from '../ports/clock.ts'
import type { LeaseOptions } from '../raft/types.ts'

/** Two members' monotonic clocks run apart by less; quartz by some hundred parts in a million, a clock being slewed by 0.05 %. */
const driftShare = 0.1

/** A follower counts whole ticks. The first may pass at once, and after a late one the next comes early: its promise lasts up to two ticks less than an election time-out. */
export function leaseOf(timing: { readonly tickMs: number; readonly electionTicks: number }, clock: Clock): LeaseOptions {
  const durationMs = Math.floor((timing.electionTicks - 2) * timing.tickMs * (1 - driftShare))
  return { durationMs, monotonicMs: () => clock.monotonicMs() }
}

// How long things take in consensus: milliseconds of the configuration as ticks of the core.
import type { Timing } from '../model/member.ts'

/** A tick a heartbeat: it is also the grain in which election time-outs are drawn, and each wakes an idle node. */
const heartbeatTicks = 1

export const timingDefault: Timing = { heartbeatMs: 250, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 }

/** An election time-out is drawn from its value to twice that; rounded to whole ticks. */
export function ticksOf(timing: Pick<Timing, 'heartbeatMs' | 'electionMs'>): { readonly tickMs: number; readonly raft: { readonly heartbeatTicks: number; readonly electionTicks: number } } {
  const tickMs = timing.heartbeatMs / heartbeatTicks
  return { tickMs, raft: { heartbeatTicks, electionTicks: Math.max(heartbeatTicks + 1, Math.round(timing.electionMs / tickMs)) } }
}

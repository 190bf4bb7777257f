// Lease reads: while a quorum has promised to elect nobody else, a leader answers reads without asking it again. Off unless asked for.
import type { Core } from './core.ts'
import { committedIndex } from './quorum.ts'

type SentRound = { readonly number: number; readonly sentMs: number }

/** Rounds remembered; the oldest go first, which can only shorten the lease. */
const sentRoundsMax = 1024

/** A leader's book of heartbeat rounds and when each was sent, on the engine's monotonic clock. */
export class LeaseBook {
  #rounds: SentRound[] = []
  /** The word to take over left in this term: whoever got it is elected without waiting for anybody's promise, however late it arrives. */
  isForgone = false

  /** A round leaves now; what is older than `durationMs` backs no lease any more. */
  sent(number: number, options: { readonly nowMs: number; readonly durationMs: number }): void {
    const { nowMs, durationMs } = options
    const kept = this.#rounds.findIndex((round) => nowMs - round.sentMs < durationMs)
    this.#rounds.splice(0, kept === -1 ? this.#rounds.length : Math.max(kept, this.#rounds.length - sentRoundsMax + 1))
    this.#rounds.push({ number, sentMs: nowMs })
  }

  /** When this round, or the last one before it, was sent; null when none is remembered. */
  sentMs(number: number): number | null {
    return this.#rounds.findLast((round) => round.number <= number)?.sentMs ?? null
  }

  clear(): void {
    this.#rounds = []
    this.isForgone = false
  }
}

/** Leader: numbers a round of heartbeats and notes when it leaves. */
export function noteRound(core: Core): void {
  const { lease } = core.options
  if (lease === null) return
  core.leaseBook.sent(core.reads.nextRound(), { nowMs: lease.monotonicMs(), durationMs: lease.durationMs })
}

/**
 * Leader: nobody else can have been elected up to now. The lease counts from when the heartbeats left that a quorum answered with its
 * promise (statement 24), and the clock goes on while the process is stopped. There is none from the moment that leadership is being handed over.
 */
export function holdsLease(core: Core): boolean {
  const { lease } = core.options
  if (lease === null || core.role !== 'leader' || core.transferee !== null || core.leaseBook.isForgone) return false
  const promised = committedIndex(core.configuration, {
    get: (id) => (id === core.id ? core.reads.lastRound : core.progress.get(id)?.promisedRound),
  })
  const sentMs = core.leaseBook.sentMs(promised)
  return sentMs !== null && lease.monotonicMs() - sentMs < lease.durationMs
}

/**
 * Follower: helps nobody to be elected, itself included, for one election time-out from now, whatever it may hear meanwhile. Also after a
 * restart, for it may have promised just before. A leader whose lease is longer than this node's own would be, as one with another election time-out
 * has, gets no promise.
 */
export function promiseLease(core: Core, leaseMs = 0): boolean {
  const { lease } = core.options
  if (lease === null || lease.durationMs < leaseMs) return false
  core.promiseTicks = core.options.electionTicks
  return true
}

/** Is this node bound by a promise? One that votes alone has promised nothing to anybody. */
export function isPromised(core: Core): boolean {
  const { voters, votersOutgoing } = core.configuration
  const isAlone = voters.length === 1 && voters[0] === core.id && votersOutgoing.length === 0
  return core.promiseTicks > 0 && !isAlone
}

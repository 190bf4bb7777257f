// What a leader knows about one peer's log, and how many appends it may have in flight to it.
import type { LogIndex, Progress, ProgressState } from './types.ts'

type InflightMessage = { readonly index: LogIndex; readonly bytes: number }
type InflightLimits = { readonly messagesMax: number; readonly bytesMax: number }

/** Appends sent and not yet acknowledged, bounded by count and bytes. */
export class InflightWindow {
  readonly #limits: InflightLimits
  #messages: InflightMessage[] = []
  #bytes = 0

  constructor(limits: InflightLimits) {
    this.#limits = limits
  }

  get count(): number {
    return this.#messages.length
  }
  get isFull(): boolean {
    return this.#messages.length >= this.#limits.messagesMax || this.#bytes >= this.#limits.bytesMax
  }

  add(message: InflightMessage): void {
    this.#messages.push(message)
    this.#bytes += message.bytes
  }

  /** Everything up to `index` has arrived. */
  freeTo(index: LogIndex): void {
    let freed = 0
    for (const message of this.#messages) {
      if (message.index > index) break
      this.#bytes -= message.bytes
      freed += 1
    }
    this.#messages.splice(0, freed)
  }

  clear(): void {
    this.#messages = []
    this.#bytes = 0
  }
}

/**
 *   probe --(accepted)--> replicate --(rejected, unreachable)--> probe
 *   probe --(entries compacted)--> snapshot --(reported, or caught up)--> probe or replicate
 *
 * In probe one append is out at a time; in replicate they stream within the window; in snapshot none are sent.
 */
export class PeerProgress {
  match: LogIndex = 0
  next: LogIndex
  state: ProgressState = 'probe'
  pendingSnapshot: LogIndex = 0
  recentActive: boolean
  /** Probe: an append is out, wait for an answer or a sign of life. */
  isPaused = false
  /** Replicate: a sign of life came while entries are unacknowledged, so send one append that draws an answer. */
  isNudged = false
  /** The peer refused even the beginning of the log: it has no configuration and must get a snapshot. */
  needsSnapshot = false
  /** Highest commit index that an append carried to the peer. */
  sentCommit: LogIndex = 0
  /** Highest round of heartbeats that the peer has answered, and that it has answered with its promise for a lease. */
  confirmedRound = 0
  promisedRound = 0
  /** Catching up goes in rounds (thesis §4.2.1): what the log held when the round began, and the ticks since. */
  #roundGoal: LogIndex = 0
  #roundTicks = 0
  #isCaughtUp = false
  readonly inflight: InflightWindow

  constructor(options: { readonly next: LogIndex; readonly recentActive: boolean; readonly limits: InflightLimits }) {
    this.next = options.next
    this.recentActive = options.recentActive
    this.inflight = new InflightWindow(options.limits)
  }

  becomeProbe(): void {
    // After a snapshot the peer stands at least where the snapshot ends, if it was installed; the probe finds out.
    const next = this.state === 'snapshot' ? Math.max(this.match, this.pendingSnapshot) + 1 : this.match + 1
    this.#become('probe')
    this.next = next
  }

  becomeReplicate(): void {
    this.#become('replicate')
    this.next = this.match + 1
  }

  becomeSnapshot(index: LogIndex): void {
    this.#become('snapshot')
    this.pendingSnapshot = index
    this.next = index + 1
    this.needsSnapshot = false
  }

  /** An acknowledgement; true when it tells something new. */
  maybeUpdate(index: LogIndex): boolean {
    this.next = Math.max(this.next, index + 1)
    if (index <= this.match) return false
    this.match = index
    this.isPaused = false
    return true
  }

  /** A rejection of the append behind `rejected`; true when it is not a stale one and `next` moved back. */
  maybeDecrease(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.next = this.match + 1
      return true
    }
    if (this.next - 1 !== rejected) return false
    const next = Math.max(Math.min(rejected, hint + 1), this.match + 1)
    // It refuses what it acknowledged, so it lost its log. Asking at once would go on for ever; the next heartbeat asks again.
    if (next === this.next) return false
    this.next = next
    this.isPaused = false
    return true
  }

  /** A tick passed on the leader: a round that reached its goal is followed by the next, up to what the log holds now. */
  tickRound(lastIndex: LogIndex, ticksMax: number): void {
    this.#roundTicks += 1
    if (this.state === 'replicate' && this.#roundGoal > 0 && this.match >= this.#roundGoal) {
      this.#isCaughtUp = this.#roundTicks <= ticksMax
      this.#roundGoal = 0
    }
    if (this.#roundTicks > ticksMax && this.#roundGoal > 0) this.#isCaughtUp = false
    if (this.#roundGoal > 0) return
    this.#roundGoal = lastIndex
    this.#roundTicks = 0
  }

  get isHeldBack(): boolean {
    if (this.state === 'replicate') return this.inflight.isFull
    return this.state === 'snapshot' || this.isPaused
  }

  view(isLearner: boolean): Progress {
    const { match, next, state, pendingSnapshot, recentActive } = this
    return { match, next, state, pendingSnapshot, recentActive, inflight: this.inflight.count, isPaused: this.isHeldBack, isCaughtUp: this.#isCaughtUp, isLearner }
  }

  #become(state: ProgressState): void {
    this.state = state
    this.isPaused = false
    this.isNudged = false
    this.pendingSnapshot = 0
    this.inflight.clear()
  }
}

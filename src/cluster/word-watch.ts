// Finds out, on a follower, that its log has lost something that it had acknowledged, though nothing on the disk says so.
import type { Clock } from '../ports/clock.ts'
import type { Message, Status } from '../raft/types.ts'

/**
 * A leader names no commit to a follower beyond what that acknowledged in the leader's term. Who is told of one that it does not hold has lost
 * part of its log, unless the word was a late one of before it was renewed: so only one that stands for an election time-out counts.
 */
export class WordWatch {
  readonly #clock: Clock
  readonly #limitMs: number
  #sinceMs: number | null = null

  constructor(limitMs: number, clock: Clock) {
    this.#limitMs = limitMs
    this.#clock = clock
  }

  /** A new log knows nothing of the former one's words. */
  reset(): void {
    this.#sinceMs = null
  }

  /** After the message was handled: a sentence where the log is behind its word, else null. */
  heard(message: Message, status: () => Status): string | null {
    if (message.kind !== 'heartbeat') return null
    const { term, leader, lastIndex } = status()
    if (message.term !== term || leader !== message.from || message.commit <= lastIndex) {
      this.#sinceMs = null
      return null
    }
    const nowMs = this.#clock.monotonicMs()
    this.#sinceMs ??= nowMs
    if (nowMs - this.#sinceMs < this.#limitMs) return null
    return `the log ends at entry ${lastIndex}, and the leader has this node's word for entry ${message.commit}`
  }
}

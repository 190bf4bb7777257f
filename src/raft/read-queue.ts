// Linearizable reads on their way: waiting for a round, waiting for a quorum, or waiting for the leader's answer.
import type { LogIndex, RaftId, RandomInt } from './types.ts'

/** A read asked for by `from` (this node, or a follower on behalf of its clients). */
export type PendingRead = { readonly from: RaftId; readonly context: string }

/** Leader: reads whose index was taken together and is confirmed when a quorum has answered this round or a later one. */
export type ReadRound = { readonly number: number; readonly index: LogIndex; readonly reads: readonly PendingRead[] }

type ForwardedReads = { readonly contexts: readonly string[]; ticks: number }

/** Reads held at once; more are refused, which the asker sees as a dropped read. */
export const pendingReadsMax = 16_384
/** Rounds a leader has open; reads wait (and join the next one) while it is full. */
const readRoundsMax = 256

const nonceBound = 2 ** 30

export class ReadQueue {
  #waiting: PendingRead[] = []
  #rounds: ReadRound[] = []
  /** Follower: batches sent to the leader, by the context they travel under. */
  readonly #forwarded = new Map<string, ForwardedReads>()
  #held = 0
  #lastRound = 0
  #lastForward = 0
  /** Tells this life of the node from earlier ones, whose answers may still be in the network (statement 22). Drawn when first needed. */
  #nonce: number | null = null
  readonly #random: RandomInt

  constructor(random: RandomInt) {
    this.#random = random
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }
  get hasRoundsOpen(): boolean {
    return this.#rounds.length > 0
  }
  get isRoundsFull(): boolean {
    return this.#rounds.length >= readRoundsMax
  }
  /** Rounds are numbered for the life of the node, so that together with the term a number is used once (statement 22). */
  get lastRound(): number {
    return this.#lastRound
  }

  /** False when too many reads are held already. */
  add(read: PendingRead): boolean {
    if (this.#held >= pendingReadsMax) return false
    this.#waiting.push(read)
    this.#held += 1
    return true
  }

  /** Leader: a round of heartbeats begins; its number. */
  nextRound(): number {
    this.#lastRound += 1
    return this.#lastRound
  }

  /** Leader: all waiting reads form a round with the commit index taken now. */
  openRound(index: LogIndex): void {
    this.#rounds.push({ number: this.nextRound(), index, reads: this.#waiting })
    this.#waiting = []
  }

  /** Leader: takes out the rounds up to `number`: who answers a round has also seen us lead when earlier ones were opened. */
  takeConfirmed(number: number): readonly ReadRound[] {
    const confirmed = this.#rounds.filter((round) => round.number <= number)
    if (confirmed.length === 0) return confirmed
    this.#rounds = this.#rounds.filter((round) => round.number > number)
    for (const round of confirmed) this.#held -= round.reads.length
    return confirmed
  }

  /** Leader: takes out the waiting reads, to be answered without a round. */
  takeWaiting(): readonly PendingRead[] {
    const waiting = this.#waiting
    this.#waiting = []
    this.#held -= waiting.length
    return waiting
  }

  /** Follower: all waiting reads become one batch; returns the context it travels under. */
  forward(): string {
    this.#lastForward += 1
    this.#nonce ??= this.#random(nonceBound)
    const context = `${this.#nonce}.${this.#lastForward}`
    this.#forwarded.set(context, { contexts: this.#waiting.map((read) => read.context), ticks: 0 })
    this.#waiting = []
    return context
  }

  /** Follower: the reads of an answered batch; none when it is unknown (a duplicate, or one given up). */
  takeForwarded(context: string): readonly string[] {
    const contexts = this.#forwarded.get(context)?.contexts ?? []
    this.#forwarded.delete(context)
    this.#held -= contexts.length
    return contexts
  }

  /** Follower: a tick has passed; takes out the reads that have waited `ticksMax` for an answer. */
  takeExpired(ticksMax: number): readonly string[] {
    const expired: string[] = []
    for (const [context, batch] of this.#forwarded) {
      batch.ticks += 1
      if (batch.ticks >= ticksMax) expired.push(...this.takeForwarded(context))
    }
    return expired
  }

  /** Takes out everything: `own` contexts of this node, and reads of others. */
  takeAll(self: RaftId): { readonly own: readonly string[]; readonly others: readonly PendingRead[] } {
    const reads = [...this.#waiting, ...this.#rounds.flatMap((round) => round.reads)]
    const own = reads.filter((read) => read.from === self).map((read) => read.context)
    for (const batch of this.#forwarded.values()) own.push(...batch.contexts)
    this.#waiting = []
    this.#rounds = []
    this.#forwarded.clear()
    this.#held = 0
    return { own, others: reads.filter((read) => read.from !== self) }
  }
}

// What a node sends to its peers; news of a commit alone waits a moment, for the next entries carry it anyway.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { LogIndex, Message, RaftId } from '../raft/types.ts'

/** News of a commit waits no longer than this, about the time between two writes of one client; a watcher on another node sees a change so much later. */
export const noticeMs = 5

type Send = (message: Message) => void

/**
 * An append without entries tells a follower no more than that something was committed, and costs as much as one with entries: a message, its
 * acknowledgement and two wake-ups. Holding back or dropping a message is always safe in Raft.
 */
export class Outbox {
  readonly #clock: Clock
  readonly #send: Send
  readonly #held = new Map<RaftId, Message & { readonly kind: 'append' }>()
  /** Followers whose own client waits, and for which index. */
  readonly #awaited = new Map<RaftId, LogIndex>()
  #cancel: Cancel | null = null

  constructor(clock: Clock, send: Send) {
    this.#clock = clock
    this.#send = send
  }

  /** A client of this follower waits for the entry: the news of its commit goes at once. */
  expect(follower: RaftId, index: LogIndex): void {
    this.#awaited.set(follower, Math.max(index, this.#awaited.get(follower) ?? 0))
  }

  send(message: Message): void {
    if (message.kind !== 'append') return this.#send(message)
    if (message.entries.length === 0 && !this.#isAwaited(message)) {
      this.#held.set(message.to, message)
      this.#cancel ??= this.#clock.after(noticeMs, () => this.flush())
      return
    }
    this.#held.delete(message.to)
    this.#send(message)
  }

  /** Sends what waits. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = null
    const held = [...this.#held.values()]
    this.#held.clear()
    for (const message of held) this.#send(message)
  }

  /** Forgets what waits. */
  stop(): void {
    this.#cancel?.()
    this.#cancel = null
    this.#held.clear()
  }

  #isAwaited({ to, commit }: Message & { readonly kind: 'append' }): boolean {
    const awaited = this.#awaited.get(to)
    if (awaited === undefined) return false
    if (commit >= awaited) this.#awaited.delete(to)
    return true
  }
}

// Keeps the durable copy of the state behind the applied state: one batch at a time, of what gathered for a moment.
import type { Cancel, Clock } from '../ports/clock.ts'
import type { StateHead, StateStore, StateWrite } from '../ports/state-store.ts'
import type { LogIndex } from '../raft/types.ts'
import { fullRetryMs, isFull } from './disk-watch.ts'
import type { StateImage } from './image.ts'

/** Records waiting for the disk; beyond it `room` makes applying wait. */
export const pendingRecordsMax = 8192
/** The log has it all: a batch for each entry would cost as much as the entry. What a crash loses of this is applied again from the log. */
export const gatherMs = 20
const gatherRecordsMax = 1024

export type StateWriterOptions = {
  readonly head: () => StateHead
  /** Final. */
  readonly onError: (error: unknown) => void
  /** There is no space, and it is tried again with what was to be written; false: now there was. */
  readonly onFull: (isFull: boolean) => void
  readonly onSynced: (index: LogIndex) => void
}

export class StateWriter {
  readonly #store: StateStore
  readonly #clock: Clock
  readonly #headNow: () => StateHead
  readonly #onError: (error: unknown) => void
  readonly #onFull: (isFull: boolean) => void
  readonly #onSynced: (index: LogIndex) => void
  /** By table and id: of several writes to one record only the last counts. */
  #pending = new Map<string, StateWrite>()
  /** Of the newest entry whose writes wait; null where none do. */
  #head: StateHead | null = null
  #syncWanted = false
  #flight: Promise<void> | null = null
  #cancel: Cancel | null = null
  #failed = false

  /** `head` gives the head of the state as applied: it is asked with each addition, for more may be applied before the batch is cut. */
  constructor(options: StateWriterOptions, { stateStore, clock }: { readonly stateStore: StateStore; readonly clock: Clock }) {
    this.#store = stateStore
    this.#clock = clock
    this.#headNow = options.head
    this.#onError = options.onError
    this.#onFull = options.onFull
    this.#onSynced = options.onSynced
  }

  /** Takes the writes of entries just applied; `sync` asks for a synced batch that contains them. */
  add(writes: readonly StateWrite[], sync: boolean): void {
    for (const write of writes) {
      const key = `${write.table}/${write.id}`
      // Deleted first, so that the order of records is the order of their last writes.
      this.#pending.delete(key)
      this.#pending.set(key, write)
    }
    this.#head = this.#headNow()
    this.#syncWanted ||= sync
    this.#begin()
  }

  get pendingRecords(): number {
    return this.#pending.size
  }

  /** Resolves when the backlog is within its bound. */
  async room(): Promise<void> {
    while (this.#pending.size > pendingRecordsMax && this.#flight !== null && !this.#failed) await this.#flight
  }

  /** Everything added is on disk (synced where asked for) when it resolves. */
  async drain(sync: boolean): Promise<void> {
    if (sync) this.add([], true)
    while (this.#flight !== null && !this.#failed) await this.#flight
  }

  /** Puts an image in the place of everything, synced; what still waited is part of the past. */
  async replace(image: StateImage): Promise<void> {
    this.stop()
    this.#pending.clear()
    this.#head = null
    this.#syncWanted = false
    while (this.#flight !== null && !this.#failed) await this.#flight
    await this.#store.replace(image)
  }

  /** Nothing more is written; the batch under way is. */
  freeze(): void {
    this.#failed = true
    this.stop()
  }

  /** Forgets what waits. */
  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #begin(): void {
    if (this.#flight !== null || this.#head === null || this.#failed) return
    if (this.#syncWanted || this.#pending.size >= gatherRecordsMax) this.#cut()
    else this.#cancel ??= this.#clock.after(gatherMs, () => this.#cut())
  }

  #cut(): void {
    this.stop()
    const head = this.#head
    if (head === null) throw new Error('assertion: there is nothing to write')
    const batch = { head, writes: [...this.#pending.values()], sync: this.#syncWanted }
    this.#pending.clear()
    this.#head = null
    this.#syncWanted = false
    this.#flight = this.#write(batch)
  }

  async #write(batch: { readonly head: StateHead; readonly writes: readonly StateWrite[]; readonly sync: boolean }): Promise<void> {
    let wasFull = false
    for (;;) {
      try {
        await this.#store.write(batch)
        break
      } catch (error) {
        if (!isFull(error)) {
          this.#failed = true
          this.#flight = null
          this.#onError(error)
          return
        }
        wasFull = true
        this.#onFull(true)
        await new Promise<void>((resolve) => this.#clock.after(fullRetryMs, resolve))
        if (!this.#failed) continue
        this.#flight = null
        return
      }
    }
    this.#flight = null
    if (wasFull) this.#onFull(false)
    if (batch.sync) this.#onSynced(batch.head.index)
    this.#begin()
  }
}

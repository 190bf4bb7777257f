// What this node has to remember: one synced write a round. Where there is no space it waits, and it says how the disk does.
import type { LogBatch, LogStore } from '../ports/log-store.ts'
import type { HardState } from '../raft/types.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { Fitness } from './fitness.ts'

/** A write to one of the stores failed: final for this process. */
export class StorageFault extends Error {}

export class Journal {
  readonly #logStore: LogStore
  readonly #watches: { readonly disk: DiskWatch; readonly fitness: Fitness }
  /** While it holds, writes go on. */
  readonly #isRunning: () => boolean
  /** Not worth a sync of its own: goes with the next batch. */
  #owed: HardState | null = null
  #isFresh = false

  constructor(logStore: LogStore, watches: { readonly disk: DiskWatch; readonly fitness: Fitness }, isRunning: () => boolean) {
    this.#logStore = logStore
    this.#watches = watches
    this.#isRunning = isRunning
  }

  /** Nothing was ever written. */
  get isFresh(): boolean {
    return this.#isFresh
  }
  get owed(): HardState | null {
    return this.#owed
  }

  begin(isFresh: boolean): void {
    this.#isFresh = isFresh
    this.#owed = null
  }

  owe(hardState: HardState | null): void {
    this.#owed = hardState ?? this.#owed
  }

  /** Takes what is owed along, unless the batch says a hard state itself. @throws StorageFault */
  async write({ entries, base, hardState = this.#owed }: Omit<LogBatch, 'hardState'> & { readonly hardState?: HardState | null }): Promise<void> {
    await this.persist('the log could not be written', () => this.#logStore.write({ hardState, entries, base }))
    if (!this.#isRunning()) return
    this.#isFresh = false
    if (hardState !== null && hardState === this.#owed) this.#owed = null
  }

  /** Durable when it resolves, unless the node was stopped meanwhile. @throws StorageFault */
  async persist(what: string, write: () => Promise<void>): Promise<void> {
    const { disk, fitness } = this.#watches
    try {
      await fitness.watch(disk.persist(write, this.#isRunning))
    } catch (error) {
      throw new StorageFault(what, { cause: error })
    }
  }
}

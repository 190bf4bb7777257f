// Keeps a deposed owner from changing or starting a domain: the highest epoch seen for each id is on disk before anything is done with it.
import { OperationalError } from '../model/error.ts'
import type { LocalStore } from '../ports/state-store.ts'

export class EpochGuard {
  readonly #store: LocalStore
  /** The last admitted action of each id; the next one waits for it. */
  readonly #tails = new Map<string, Promise<unknown>>()

  constructor(store: LocalStore) {
    this.#store = store
  }

  /**
   * Runs `action` unless a higher epoch was seen; one action at a time for each id.
   * @throws OperationalError EPOCH_STALE, or what the action throws
   */
  async admit<T>(id: string, epoch: number, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(id) ?? Promise.resolve()
    const run = before.then(async () => {
      const highest = await this.highest(id)
      if (epoch < highest) throw staleEpoch(id, epoch, highest)
      if (epoch > highest) await this.#store.put(key(id), epoch)
      return action()
    })
    const tail = run.then(ignore, ignore)
    this.#tails.set(id, tail)
    try {
      return await run
    } finally {
      if (this.#tails.get(id) === tail) this.#tails.delete(id)
    }
  }

  /** 0 where none was seen. */
  async highest(id: string): Promise<number> {
    const value = await this.#store.get(key(id))
    return typeof value === 'number' ? value : 0
  }
}

export function staleEpoch(id: string, epoch: number, highest: number): OperationalError {
  return new OperationalError('EPOCH_STALE', `Domain ${id} was already seen at epoch ${highest}; epoch ${epoch} no longer owns it. Nothing was changed.`, {
    data: { epoch, highest },
  })
}

function key(id: string): string {
  return `epoch/${id}`
}

function ignore(): void {}

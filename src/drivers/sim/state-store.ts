// The simulated state tables and local store: on a SimDisk, with unsynced batches that a crash loses from some point on.
import type { Clock } from '../../ports/clock.ts'
import type { LocalStore, StateHead, StateStore, StateWrite } from '../../ports/state-store.ts'
import { DiskSession, type DurableState, type SimDisk, type StateChange } from './disk.ts'

type LoadedState = { readonly head: StateHead; readonly records: readonly StateWrite[] }

/** One after the other. */
class Turns {
  #last: Promise<void> = Promise.resolve()

  async take(action: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(action)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async idle(): Promise<void> {
    return this.#last
  }
}

export class SimStateStore implements StateStore {
  readonly #disk: SimDisk
  readonly #session: DiskSession
  readonly #turns = new Turns()

  constructor(options: { readonly disk: SimDisk; readonly clock: Clock }) {
    this.#disk = options.disk
    this.#session = new DiskSession({ ...options, area: 'state' })
  }

  async load(): Promise<LoadedState | null> {
    const state: DurableState = { head: this.#disk.state.head, records: new Map(this.#disk.state.records) }
    for (const change of this.#disk.stateUnsynced) change(state)
    if (state.head === null) return null
    return { head: state.head, records: [...state.records].map(([key, json]) => parseRecord(key, json)) }
  }

  async write(batch: { readonly head: StateHead; readonly writes: readonly StateWrite[]; readonly sync: boolean }): Promise<void> {
    // Rendered now: the caller may go on with its objects.
    const writes = batch.writes.map((write) => [keyOf(write), write.value === null ? null : JSON.stringify(write.value)] as const)
    const { head } = batch
    await this.#write(batch.sync, (state) => {
      state.head = head
      for (const [key, json] of writes) {
        if (json === null) state.records.delete(key)
        else state.records.set(key, json)
      }
    })
  }

  async replace(image: LoadedState): Promise<void> {
    const records = image.records.map((record) => [keyOf(record), JSON.stringify(record.value)] as const)
    const { head } = image
    await this.#write(true, (state) => {
      state.head = head
      state.records.clear()
      for (const [key, json] of records) state.records.set(key, json)
    })
  }

  async close(): Promise<void> {
    await this.#turns.idle()
  }

  async #write(sync: boolean, change: StateChange): Promise<void> {
    return this.#turns.take(async () => {
      await this.#session.begin()
      this.#disk.stateUnsynced.push(change)
      if (!sync) return
      await this.#session.sync(() => {
        for (const unsynced of this.#disk.stateUnsynced) unsynced(this.#disk.state)
        this.#disk.stateUnsynced = []
      })
    })
  }
}

export class SimLocalStore implements LocalStore {
  readonly #disk: SimDisk
  readonly #session: DiskSession
  readonly #turns = new Turns()

  constructor(options: { readonly disk: SimDisk; readonly clock: Clock }) {
    this.#disk = options.disk
    this.#session = new DiskSession({ ...options, area: 'local' })
    // Left by a process that died while the machine went on.
    this.#disk.settleLocal()
  }

  async get(key: string): Promise<unknown> {
    await this.#turns.idle()
    const json = this.#disk.local.get(key)
    return json === undefined ? undefined : (JSON.parse(json) as unknown)
  }

  async put(key: string, value: unknown): Promise<void> {
    const json = JSON.stringify(value)
    await this.#write(() => this.#disk.local.set(key, json))
  }

  async delete(key: string): Promise<void> {
    await this.#write(() => this.#disk.local.delete(key))
  }

  async list(prefix: string): Promise<readonly { readonly key: string; readonly value: unknown }[]> {
    await this.#turns.idle()
    const found = [...this.#disk.local].filter(([key]) => key.startsWith(prefix)).toSorted(([a], [b]) => (a < b ? -1 : 1))
    return found.map(([key, json]) => ({ key, value: JSON.parse(json) as unknown }))
  }

  async close(): Promise<void> {
    await this.#turns.idle()
  }

  async #write(change: () => void): Promise<void> {
    return this.#turns.take(async () => {
      await this.#session.begin()
      this.#disk.localInFlight = change
      await this.#session.sync(() => {
        this.#disk.localInFlight = null
        change()
      })
    })
  }
}

function keyOf(write: StateWrite): string {
  return `${write.table}/${write.id}`
}

function parseRecord(key: string, json: string): StateWrite {
  const slash = key.indexOf('/')
  return { table: key.slice(0, slash), id: key.slice(slash + 1), value: JSON.parse(json) as unknown }
}

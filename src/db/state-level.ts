// The durable copy of the state tables in a LevelDB of its own: it can be thrown away and fetched anew from the log or a peer.
import { strict as assert } from 'node:assert'
import { OperationalError } from '../model/error.ts'
import type { StateHead, StateStore, StateWrite } from '../ports/state-store.ts'
import { parseCheckedJson, renderCheckedJson } from './checked-json.ts'
import { rangeOf, stateKeyspaces } from './keyspace.ts'
import type { Database } from './level-open.ts'
import { openDatabase, quarantineDirectory, syncDatabaseLogs, writeFailure } from './level-open.ts'
import type { RecordSum } from './record-sum.ts'
import { RecordSums } from './record-sum.ts'

/*
 * 00                          -> checksum, {format, generation, head, records: {count, sum}}
 * 01<generation>/<table>/<id> -> JSON
 * A replacement writes the next generation beside the present one, then one synced batch changes the head; a crash before leaves strays
 * of a generation that nobody reads, and they are deleted at the next load.
 */
const format = 1
/** Records in one batch of a replacement. */
const replaceBatchMax = 1000
/** Records read in one go, as far as LevelDB's bound of bytes for one allows. */
const readTogether = 1000

type StoredHead = { readonly format: number; readonly generation: number; readonly head: StateHead; readonly records: RecordSum }
type Operation = { readonly type: 'put'; readonly key: string; readonly value: string } | { readonly type: 'del'; readonly key: string }
type LoadedState = { readonly head: StateHead; readonly records: readonly StateWrite[] }

export type StateLevelOptions = {
  readonly directory: string
  /**
   * Told when what is on the disk contradicts itself. The directory is put aside and the store begins empty, so that `load` answers null
   * and the caller gets the state from its log or from a peer.
   */
  readonly onDamage?: (damage: { readonly detail: string; readonly movedTo: string }) => void
}

/**
 * Opens the state's database. The caller compares the loaded head with its log: a head behind the log's base (or null with a base) means
 * that LevelDB lost acknowledged batches in silence, and the state is to be fetched from a peer.
 * @throws OperationalError STORAGE_FAILED if it is in use or the disk fails.
 */
export async function openStateLevel(options: StateLevelOptions): Promise<StateStore> {
  try {
    return new StateLevel(options, await openDatabase(options.directory))
  } catch (error) {
    if (!(error instanceof OperationalError) || error.data['damaged'] !== true) throw error
    await putAside(options, error.cause instanceof Error ? error.cause.message : error.message)
    return new StateLevel(options, await openDatabase(options.directory))
  }
}

class StateLevel implements StateStore {
  readonly #options: StateLevelOptions
  #database: Database
  #generation = 0
  #sums = new RecordSums()
  #loaded = false
  /** Writes go one after the other: LevelDB's threads may otherwise swap two batches. */
  #last: Promise<void> = Promise.resolve()
  #failure: OperationalError | null = null
  /** There was no space for the last write. */
  #isTorn = false

  constructor(options: StateLevelOptions, database: Database) {
    this.#options = options
    this.#database = database
  }

  async load(): Promise<LoadedState | null> {
    const found = await this.#read().catch((error: unknown) => `it cannot be read: ${String(error)}`)
    this.#loaded = true
    if (typeof found !== 'string') return found
    await this.#database.close()
    await putAside(this.#options, found)
    this.#database = await openDatabase(this.#options.directory)
    this.#generation = 0
    this.#sums = new RecordSums()
    return null
  }

  async write(batch: { readonly head: StateHead; readonly writes: readonly StateWrite[]; readonly sync: boolean }): Promise<void> {
    await this.#inTurn(async () => {
      const operations = batch.writes.map((write) => this.#operation(this.#generation, write))
      for (const operation of operations) {
        if (operation.type === 'put') this.#sums.set(operation.key, operation.value)
        else this.#sums.delete(operation.key)
      }
      await this.#database.batch([...operations, this.#headOperation(batch.head)], { sync: batch.sync })
      if (batch.sync) await syncDatabaseLogs(this.#options.directory)
    })
  }

  async replace(image: LoadedState): Promise<void> {
    await this.#inTurn(async () => {
      const generation = this.#generation + 1
      const sums = new RecordSums()
      await this.#database.clear(rangeOf(generationPrefix(generation)))
      for (let from = 0; from < image.records.length; from += replaceBatchMax) {
        const operations = image.records.slice(from, from + replaceBatchMax).map((record) => this.#operation(generation, record))
        for (const operation of operations) if (operation.type === 'put') sums.set(operation.key, operation.value)
        await this.#database.batch(operations)
      }
      await syncDatabaseLogs(this.#options.directory)
      this.#sums = sums
      this.#generation = generation
      await this.#database.batch([this.#headOperation(image.head)], { sync: true })
      await this.#database.clear(rangeOf(generationPrefix(generation - 1)))
    })
  }

  async close(): Promise<void> {
    await this.#last
    await this.#database.close()
  }

  /** The state, null if there is none, or a sentence about what contradicts itself. */
  async #read(): Promise<LoadedState | null | string> {
    const stored = parseHead(await this.#database.get(stateKeyspaces.head))
    if (typeof stored === 'string') return stored
    this.#generation = stored?.generation ?? 0
    const prefix = generationPrefix(this.#generation)
    const records: StateWrite[] = []
    const strays: Operation[] = []
    await this.#each((key, value) => {
      if (stored === null || !key.startsWith(prefix)) strays.push({ type: 'del', key })
      else {
        this.#sums.set(key, value)
        records.push(parseRecord(key.slice(prefix.length), value))
      }
    })
    if (stored !== null && !this.#sums.equals(stored.records)) {
      return `the records do not add up: ${this.#sums.value.count} found, ${stored.records.count} expected at index ${stored.head.index}`
    }
    if (strays.length > 0) await this.#database.batch(strays)
    return stored === null ? null : { head: stored.head, records }
  }

  /** Many at a time: a promise for each costs as much as what is done with it. */
  async #each(look: (key: string, value: string) => void): Promise<void> {
    const iterator = this.#database.iterator(rangeOf(stateKeyspaces.record))
    try {
      for (;;) {
        const found = await iterator.nextv(readTogether)
        if (found.length === 0) return
        for (const [key, value] of found) look(key, value)
      }
    } finally {
      await iterator.close()
    }
  }

  #operation(generation: number, write: StateWrite): Operation {
    assert(!write.table.includes('/'), `table ${write.table}`)
    const key = `${generationPrefix(generation)}${write.table}/${write.id}`
    return write.value === null ? { type: 'del', key } : { type: 'put', key, value: JSON.stringify(write.value) }
  }

  #headOperation(head: StateHead): Operation {
    const stored: StoredHead = { format, generation: this.#generation, head, records: this.#sums.value }
    return { type: 'put', key: stateKeyspaces.head, value: renderCheckedJson(stored) }
  }

  /** A write for which there was no space leaves half of itself behind, which LevelDB cuts off when it opens. */
  async #reopen(): Promise<void> {
    await this.#database.close()
    this.#database = await openDatabase(this.#options.directory)
    this.#isTorn = false
  }

  async #inTurn(action: () => Promise<void>): Promise<void> {
    assert(this.#loaded, 'the state is loaded before it is written')
    const turn = this.#last.then(async () => {
      if (this.#failure !== null) throw this.#failure
      try {
        if (this.#isTorn) await this.#reopen()
        await action()
      } catch (error) {
        const failure = error instanceof OperationalError ? error : writeFailure(this.#options.directory, error)
        this.#isTorn = failure.code === 'STORAGE_FULL'
        // After a lost batch every later one would leave a hole. For want of space it is the caller's to write the same once more.
        if (!this.#isTorn) this.#failure = failure
        throw failure
      }
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

async function putAside(options: StateLevelOptions, detail: string): Promise<void> {
  const movedTo = await quarantineDirectory(options.directory)
  options.onDamage?.({ detail, movedTo })
}

function generationPrefix(generation: number): string {
  return `${stateKeyspaces.record}${String(generation).padStart(10, '0')}/`
}

function parseHead(text: string | undefined): StoredHead | null | string {
  if (text === undefined) return null
  const stored = parseCheckedJson(text) as StoredHead | null
  if (stored === null) return 'the checksum of its head does not match'
  return stored.format === format ? stored : `format ${stored.format} is not known`
}

function parseRecord(key: string, json: string): StateWrite {
  const slash = key.indexOf('/')
  return { table: key.slice(0, slash), id: key.slice(slash + 1), value: JSON.parse(json) as unknown }
}

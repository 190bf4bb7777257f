// What only this node knows (identity, highest epochs seen, its vote), in a LevelDB of its own, synced, with a proof against silent loss.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationalError } from '../model/error.ts'
import type { LocalStore } from '../ports/state-store.ts'
import { parseCheckedJson, renderCheckedJson } from './checked-json.ts'
import { localKeyspaces, rangeOf } from './keyspace.ts'
import type { Database } from './level-open.ts'
import { openDatabase, quarantineDirectory, writeFailure } from './level-open.ts'
import type { RecordSum } from './record-sum.ts'
import { RecordSums } from './record-sum.ts'
import type { SequenceProof } from './sequence-proof.ts'
import { openSequenceProof } from './sequence-proof.ts'

/*
 * <directory>/level: 00 -> checksum, {format, sequence, records: {count, sum}};  01<key> -> JSON
 * <directory>/proof: the sequence that was acknowledged last
 * A write makes the database durable at n, then the proof; so a crash leaves the database at the proof or one ahead.
 */
const format = 1
type StoredHead = { readonly format: number; readonly sequence: number; readonly records: RecordSum }

export type LocalLevelOptions = {
  readonly directory: string
  /**
   * Told when something acknowledged is missing, which nobody else has. The directory is put aside and the store begins empty: the Raft log stands on its
   * own proof, and nothing starts here before this node has been as far as a leader. Without it such a store is not opened.
   */
  readonly onDamage?: (damage: { readonly detail: string; readonly movedTo: string }) => void
}

/**
 * Opens the node's local store.
 * @throws OperationalError STORAGE_FULL, or STORAGE_FAILED; with `data.damaged` if something acknowledged is missing
 */
export async function openLocalLevel({ directory, onDamage }: LocalLevelOptions): Promise<LocalStore & { close(): Promise<void> }> {
  try {
    return new LocalLevel(await openParts(directory))
  } catch (error) {
    if (onDamage === undefined || !(error instanceof OperationalError) || error.data['damaged'] !== true) throw error
    onDamage({ detail: error.message, movedTo: await quarantineDirectory(directory) })
    return new LocalLevel(await openParts(directory))
  }
}

async function openParts(directory: string): Promise<LocalLevelParts> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const database = await openDatabase(join(directory, 'level'))
  try {
    const proof = await openSequenceProof(join(directory, 'proof'))
    try {
      const { sequence, sums } = await verify(directory, database, proof)
      return { directory, database, proof, sequence, sums }
    } catch (error) {
      await proof.close()
      throw error instanceof OperationalError ? error : damaged(directory, `it cannot be read: ${String(error)}`)
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

type LocalLevelParts = {
  readonly directory: string
  readonly database: Database
  readonly proof: SequenceProof
  readonly sequence: number
  readonly sums: RecordSums
}

class LocalLevel implements LocalStore {
  #parts: LocalLevelParts
  /** There was no space for the last write: what is on the disk is read anew before the next. */
  #isTorn = false
  #sequence: number
  #last: Promise<void> = Promise.resolve()
  #failure: OperationalError | null = null

  constructor(parts: LocalLevelParts) {
    this.#parts = parts
    this.#sequence = parts.sequence
  }

  async get(key: string): Promise<unknown> {
    await this.#last
    const text = await this.#parts.database.get(valueKey(key))
    return text === undefined ? undefined : parse(text)
  }

  async put(key: string, value: unknown): Promise<void> {
    const text = JSON.stringify(value)
    await this.#write((sums) => sums.set(valueKey(key), text), { type: 'put', key: valueKey(key), value: text })
  }

  async delete(key: string): Promise<void> {
    await this.#write((sums) => sums.delete(valueKey(key)), { type: 'del', key: valueKey(key) })
  }

  async list(prefix: string): Promise<readonly { readonly key: string; readonly value: unknown }[]> {
    await this.#last
    const found = await this.#parts.database.iterator(rangeOf(valueKey(prefix))).all()
    return found.map(([key, text]) => ({ key: key.slice(localKeyspaces.value.length), value: parse(text) }))
  }

  async close(): Promise<void> {
    await this.#last
    await this.#parts.database.close()
    await this.#parts.proof.close()
  }

  async #write(note: (sums: RecordSums) => void, operation: Operation): Promise<void> {
    const turn = this.#last.then(async () => {
      if (this.#failure !== null) throw this.#failure
      try {
        if (this.#isTorn) await this.#reopen()
        const { database, proof, sums } = this.#parts
        note(sums)
        this.#sequence += 1
        const head: StoredHead = { format, sequence: this.#sequence, records: sums.value }
        await database.batch([operation, { type: 'put', key: localKeyspaces.head, value: renderCheckedJson(head) }], { sync: true })
        await proof.prove(this.#sequence)
      } catch (error) {
        const failure = error instanceof OperationalError ? error : writeFailure(this.#parts.directory, error)
        this.#isTorn = failure.code === 'STORAGE_FULL'
        if (!this.#isTorn) this.#failure = failure
        throw failure
      }
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #reopen(): Promise<void> {
    await this.#parts.database.close()
    await this.#parts.proof.close()
    this.#parts = await openParts(this.#parts.directory)
    this.#sequence = this.#parts.sequence
    this.#isTorn = false
  }
}

type Operation = { readonly type: 'put'; readonly key: string; readonly value: string } | { readonly type: 'del'; readonly key: string }

async function verify(directory: string, database: Database, proof: SequenceProof): Promise<{ readonly sequence: number; readonly sums: RecordSums }> {
  const text = await database.get(localKeyspaces.head)
  const head = text === undefined ? null : (parseCheckedJson(text) as StoredHead | null)
  if (text !== undefined && head === null) throw damaged(directory, 'the checksum of its head does not match')
  if (head !== null && head.format !== format) throw damaged(directory, `format ${head.format} is not known`)
  const sums = new RecordSums()
  for await (const [key, value] of database.iterator(rangeOf(localKeyspaces.value))) sums.set(key, value)
  if (!sums.equals(head?.records ?? { count: 0, sum: 0 })) throw damaged(directory, 'the records do not add up')
  const sequence = head?.sequence ?? 0
  const proven = await provenSequence(directory, proof, sequence)
  if (sequence !== proven && sequence !== proven + 1) throw damaged(directory, `it is at write ${sequence}, the proof says ${proven}`)
  // The newest write may be in the page cache only; a sync and its proof make it something to rely on.
  if (sequence > 0) {
    await database.batch([{ type: 'put', key: localKeyspaces.head, value: text ?? '' }], { sync: true })
    await proof.prove(sequence)
  }
  return { sequence, sums }
}

async function provenSequence(directory: string, proof: SequenceProof, sequence: number): Promise<number> {
  if (typeof proof.found === 'number') return proof.found
  // No write is made before write 0 is proven, so only an empty store can lack a proof.
  if (sequence > 0) throw damaged(directory, proof.found === null ? 'its proof is missing' : 'its proof is unreadable')
  await proof.prove(0)
  return 0
}

function damaged(directory: string, detail: string): OperationalError {
  return new OperationalError('STORAGE_FAILED', `The node's local store in ${directory} is damaged: ${detail}.`, {
    data: { damaged: true },
  })
}

function valueKey(key: string): string {
  return localKeyspaces.value + key
}

function parse(text: string): unknown {
  return JSON.parse(text) as unknown
}

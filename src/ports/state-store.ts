// Durable copy of the state tables: written in one batch with the index they are at; read whole at start.

export type StateWrite = { readonly table: string; readonly id: string; /** JSON, or null to delete. */ readonly value: unknown }

/** Everything there is to know about a state at one index. */
export type StateHead = {
  readonly index: number
  readonly term: number
  readonly timeMs: number
  readonly hash: string
}

export interface StateStore {
  /** Null where nothing was written yet. Records come in no particular order. */
  load(): Promise<{ readonly head: StateHead; readonly records: readonly StateWrite[] } | null>
  /** Atomic. Without `sync` it may be lost in a crash, but never in part and never out of order. */
  write(batch: { readonly head: StateHead; readonly writes: readonly StateWrite[]; readonly sync: boolean }): Promise<void>
  /** Replaces everything, atomically and synced (a snapshot was installed). */
  replace(image: { readonly head: StateHead; readonly records: readonly StateWrite[] }): Promise<void>
  close(): Promise<void>
}

/** Small things of this node alone (highest epochs seen, identity, counters): synced when `put` resolves. */
export interface LocalStore {
  get(key: string): Promise<unknown>
  put(key: string, value: unknown): Promise<void>
  delete(key: string): Promise<void>
  list(prefix: string): Promise<readonly { readonly key: string; readonly value: unknown }[]>
}

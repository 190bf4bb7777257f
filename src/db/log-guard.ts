// Watches a Raft log from the node's local store: a log that was wiped, or set back to an older copy as a whole, is told from a new one.
import { OperationalError } from '../model/error.ts'
import type { LogBatch, LogRecovery, LogStore } from '../ports/log-store.ts'
import type { LocalStore } from '../ports/state-store.ts'
import type { HardState, RaftId, Term } from '../raft/types.ts'

const guardKey = 'raft-log'
/** What the local store remembers of the log: that there is one, and the newest vote. */
type Remembered = { readonly term: Term; readonly vote: RaftId | null }

/**
 * A log store that compares what it finds with the local store. A log alone cannot know that its whole directory was removed or replaced by
 * an older copy; with the guard the former is always `damaged`, and the latter is whenever a vote or a term is missing from it, so that no
 * node votes twice in a term. An older copy of the same term that lacks only entries is not detected; nor is anything if the local store
 * is set back together with the log.
 *
 * The local store is written after the log and before `write` resolves: at the first write, and when term or vote change.
 */
export function guardLog(store: LogStore, local: LocalStore): LogStore {
  let remembered: Remembered | null = null

  async function remember(hardState: HardState | null): Promise<void> {
    const { term, vote } = hardState ?? remembered ?? { term: 0, vote: null }
    if (remembered !== null && remembered.term === term && remembered.vote === vote) return
    await local.put(guardKey, { term, vote } satisfies Remembered)
    remembered = { term, vote }
  }

  return {
    async open(): Promise<LogRecovery> {
      remembered = ((await local.get(guardKey)) as Remembered | undefined) ?? null
      const recovery = await store.open()
      if (recovery.kind === 'damaged') return recovery
      if (recovery.kind === 'fresh') return remembered === null ? recovery : { kind: 'damaged', detail: 'the log was removed: this node had written one' }
      const behind = missing(recovery.hardState, remembered)
      if (behind !== null) return { kind: 'damaged', detail: behind }
      await remember(recovery.hardState)
      return recovery
    },
    async write(batch: LogBatch): Promise<void> {
      await store.write(batch)
      try {
        await remember(batch.hardState)
      } catch (error) {
        throw new OperationalError('STORAGE_FAILED', 'The log was written, but the local store that guards it was not.', { cause: error })
      }
    },
    watchFailure: (listener) => store.watchFailure(listener),
    close: async () => store.close(),
    sizeBytes: () => store.sizeBytes(),
  }
}

/** Forgets the log, after its directory was put aside and before the node begins a new one under a new identity. */
export async function forgetLog(local: LocalStore): Promise<void> {
  await local.delete(guardKey)
}

function missing(found: HardState, remembered: Remembered | null): string | null {
  if (remembered === null || found.term > remembered.term) return null
  if (found.term < remembered.term) return `the log is at term ${found.term}, this node had reached term ${remembered.term}`
  // A vote is never taken back within a term.
  if (remembered.vote !== null && found.vote !== remembered.vote) return `the log has lost a vote of term ${found.term}`
  return null
}

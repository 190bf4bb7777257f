// Watches a Raft log from the node's local store: a log that was wiped, or set back to an older copy as a whole, is told from a new one.
import { OperationalError } from '../model/error.ts'
import type { LogBatch, LogBeginning, LogRecovery, LogStore } from '../ports/log-store.ts'
import type { LocalStore } from '../ports/state-store.ts'
import type { HardState, LogIndex, RaftId, Term } from '../raft/types.ts'

const guardKey = 'raft-log'
/** What the local store remembers of the log: that there is one, the newest vote, and an entry that it surely held. */
type Remembered = { readonly term: Term; readonly vote: RaftId | null; readonly commit?: LogIndex; /** Of a renewed log, until it is committed so far again. */ readonly renewedTo?: LogIndex }
/** The commit is remembered anew when it has moved by so much, so that a log set back by more is found out at once. */
const commitStep = 512

/**
 * A log store that compares what it finds with the local store. A log alone cannot know that its whole directory was removed or replaced by
 * an older copy; with the guard the former is always `damaged`, and the latter is whenever a vote or a term is missing from it, so that no
 * node votes twice in a term, or when it ends before a commit that was remembered: at an orderly stop, and every 512 entries. An older copy of the
 * same term that lacks fewer entries is found out by the leader's heartbeats (`Engine`); nothing is if the local store is set back together with the log.
 *
 * The local store is written after the log and before `write` resolves: at the first write, and when term or vote change.
 */
export function guardLog(store: LogStore, local: LocalStore): LogStore {
  let remembered: Remembered | null = null
  let commit = 0

  async function remember(hardState: HardState | null): Promise<void> {
    const { term, vote } = hardState ?? remembered ?? { term: 0, vote: null }
    commit = Math.max(commit, hardState?.commit ?? 0)
    if (remembered !== null && remembered.term === term && remembered.vote === vote && commit < (remembered.commit ?? 0) + commitStep) return
    const renewedTo = remembered?.renewedTo ?? 0
    await keep({ term, vote, commit, ...(commit < renewedTo ? { renewedTo } : {}) })
  }

  async function keep(next: Remembered): Promise<void> {
    await local.put(guardKey, next)
    remembered = next
  }

  return {
    async open(): Promise<LogRecovery> {
      remembered = ((await local.get(guardKey)) as Remembered | undefined) ?? null
      commit = remembered?.commit ?? 0
      const recovery = await store.open()
      if (recovery.kind === 'damaged') return recovery
      if (recovery.kind === 'fresh') return remembered === null ? recovery : { kind: 'damaged', detail: 'the log was removed: this node had written one' }
      const behind = missing(recovery, remembered)
      if (behind !== null) return { kind: 'damaged', detail: behind }
      await remember(recovery.hardState)
      return { ...recovery, renewedTo: remembered?.renewedTo }
    },
    async write(batch: LogBatch): Promise<void> {
      await store.write(batch)
      try {
        await remember(batch.hardState)
      } catch (error) {
        // The batch is to be written once more, which changes nothing about it.
        if (error instanceof OperationalError && error.code === 'STORAGE_FULL') throw error
        throw new OperationalError('STORAGE_FAILED', 'The log was written, but the local store that guards it was not.', { cause: error })
      }
    },
    async renew(beginning: LogBeginning): Promise<HardState> {
      const hardState = keepVote(beginning.hardState, remembered)
      // First, so that a log that is new already is not taken for one that is whole.
      if (beginning.renewedTo !== undefined) await keep({ ...(remembered ?? { term: 0, vote: null }), renewedTo: beginning.renewedTo })
      await store.renew({ ...beginning, hardState })
      // Cut short before this, the new log ends before the commit that is remembered, and is renewed once more.
      await keep({ term: hardState.term, vote: hardState.vote, commit: beginning.base?.index ?? 0, ...(beginning.renewedTo === undefined ? {} : { renewedTo: beginning.renewedTo }) })
      commit = beginning.base?.index ?? 0
      return hardState
    },
    async distrust(index: LogIndex): Promise<void> {
      commit = Math.max(commit, index)
      await keep({ ...(remembered ?? { term: 0, vote: null }), commit })
    },
    watchFailure: (listener) => store.watchFailure(listener),
    async close(): Promise<void> {
      await store.close()
      // For the next start to compare with; a store that fails now has failed before, and that was told.
      if (remembered !== null && commit > (remembered.commit ?? 0)) await keep({ ...remembered, commit }).catch(() => undefined)
    },
    sizeBytes: () => store.sizeBytes(),
  }
}

/** Forgets the log, after its directory was put aside and before the node begins a new one under a new identity. */
export async function forgetLog(local: LocalStore): Promise<void> {
  await local.delete(guardKey)
}

function missing(found: Extract<LogRecovery, { kind: 'intact' }>, remembered: Remembered | null): string | null {
  if (remembered === null) return null
  const { hardState, base, entries } = found
  const lastIndex = entries.at(-1)?.index ?? base.index
  const commit = remembered.commit ?? 0
  if (lastIndex < commit) return `the log ends at entry ${lastIndex}, this node had held entry ${commit}`
  if (hardState.term > remembered.term) return null
  if (hardState.term < remembered.term) return `the log is at term ${hardState.term}, this node had reached term ${remembered.term}`
  // A vote is never taken back within a term.
  if (remembered.vote !== null && hardState.vote !== remembered.vote) return `the log has lost a vote of term ${hardState.term}`
  return null
}

/** A vote that was given stays given, whatever became of the log. */
function keepVote(beginning: HardState, remembered: Remembered | null): HardState {
  if (remembered === null || remembered.term < beginning.term) return beginning
  if (remembered.term > beginning.term) return { ...beginning, term: remembered.term, vote: remembered.vote }
  return { ...beginning, vote: remembered.vote ?? beginning.vote }
}

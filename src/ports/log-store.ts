// Durable home of the Raft log and hard state. Damage is told from emptiness and from a torn tail; the core keeps the log in memory.
import type { Entry, HardState, LogIndex, SnapshotMeta } from '../raft/types.ts'

/**
 * What opening found.
 * - fresh: nothing was ever written here.
 * - intact: everything acknowledged is there (an unacknowledged torn tail may have been cut).
 * - damaged: something acknowledged is missing, changed or older than the proof says: the node must neither vote nor truncate, and
 *   re-syncs from its peers (`renew`).
 */
export type LogRecovery =
  | { readonly kind: 'fresh' }
  | {
      readonly kind: 'intact'
      readonly hardState: HardState
      /** What the log begins after; index 0 for a log that was never compacted. */
      readonly base: SnapshotMeta
      readonly entries: readonly Entry[]
      /** It was renewed and has not yet been known to be committed up to here: what the node had acknowledged before may be missing. */
      readonly renewedTo?: LogIndex | undefined
    }
  | { readonly kind: 'damaged'; readonly detail: string }

/** One atomic unit of the log; all parts are durable together when `write` resolves. */
export type LogBatch = {
  readonly hardState: HardState | null
  /** Contiguous; the first one may overwrite an uncommitted suffix. */
  readonly entries: readonly Entry[]
  /** The log now begins after this snapshot: entries up to it are dropped, and beyond it too where `discardSuffix`. */
  readonly base: { readonly meta: SnapshotMeta; readonly discardSuffix: boolean } | null
}

/** What a renewed log begins with: no entries. */
export type LogBeginning = { readonly hardState: HardState; readonly base: SnapshotMeta | null; /** Up to where it is to catch up; remembered by who guards it. */ readonly renewedTo?: LogIndex }

export interface LogStore {
  open(): Promise<LogRecovery>
  /**
   * Durable (fsynced) when it resolves. Calls are made one after the other.
   * @throws OperationalError STORAGE_FAILED or STORAGE_FULL. A failed sync is final: the store refuses every later write.
   */
  write(batch: LogBatch): Promise<void>
  /**
   * Begins anew, whatever was found: what is there is put aside, for a person to look at, never repaired nor read again. Durable when it resolves;
   * cut short by a crash it leaves a log that is fresh, damaged, or new. Returns the hard state it begins with: a vote that is known of
   * otherwise (see `guardLog`) is kept.
   * @throws like `write`
   */
  renew(beginning: LogBeginning): Promise<HardState>
  /** Others know that this log had held the entry, and it lacks it: durable when it resolves, so that opening finds it damaged until it is renewed. */
  readonly distrust?: (index: LogIndex) => Promise<void>
  /** Calls once where something fails that no call waits for: final, as a failed sync in `write`. */
  watchFailure(listener: (error: unknown) => void): void
  close(): Promise<void>
  /** Bytes on disk. */
  sizeBytes(): number
}

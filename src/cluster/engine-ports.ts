// What the engine stands on, and what it tells the cluster of: what was applied, read, replaced, and that it stopped.
import type { Checkpoint } from '../model/checkpoint.ts'
import type { Clock, Random } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { LogStore } from '../ports/log-store.ts'
import type { StateStore } from '../ports/state-store.ts'
import type { Transport } from '../ports/transport.ts'
import type { LogIndex, RaftId, RaftOptions, ReadState } from '../raft/types.ts'
import type { CompactionBounds } from './compaction.ts'
import type { ClusterEvent, HaltKind } from './status.ts'

export type EngineOptions = {
  readonly nodeId: RaftId
  readonly tickMs: number
  readonly compaction: CompactionBounds
  /** Why it shall take no part from the start on. */
  readonly superseded?: string | undefined
  /** Departures from the core's production values. */
  readonly raft: Partial<Omit<RaftOptions, 'id' | 'random'>>
}
export type EnginePorts = {
  readonly clock: Clock
  readonly random: Random
  readonly logStore: LogStore
  readonly stateStore: StateStore
  readonly transport: Transport
  readonly log: Log
}

type AppliedEntry = Omit<Extract<ClusterEvent, { readonly kind: 'applied' }>, 'kind'>

/** Called synchronously, in order. */
export type EngineListener = {
  applied(entry: AppliedEntry): void
  replaced(index: LogIndex): void
  read(state: ReadState): void
  /** A tick passed or a Ready was handled: anything in the status may have changed. */
  turned(): void
  halted(kind: HaltKind, reason: string, cause: unknown): void
  /** Applied as the entry of that index. */
  checkpoint(index: LogIndex, checkpoint: Checkpoint): void
}

// What engines beside the cluster's own may ask of consensus; `src/cluster` is the one implementation.
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { NodeTrouble } from '../model/node.ts'
import type { ConfChange, Configuration, LogIndex, Progress, Role, Term } from '../raft/types.ts'
import type { Cancel } from './clock.ts'

/** What ails this node's part in consensus. LogDamaged: does not vote, waits for a leader's word. Resyncing: has that, and catches up. DiskFull, DiskHung: does not lead. */
export type ConsensusTrouble = {
  readonly type: NodeTrouble
  readonly message: string
  /** Wall clock of this node. */
  readonly sinceMs: number
}

export type ConsensusStatus = {
  readonly role: Role
  readonly leaderId: string | null
  readonly term: Term
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly configuration: Configuration
  readonly progress: Readonly<Record<string, Progress>>
  /** In touch with a leader that has a majority, as far as this node can know. */
  readonly quorum: boolean
  /** Why this node takes no part any more; null while it does. */
  readonly halted: string | null
  /** Empty while all is well. */
  readonly troubles: readonly ConsensusTrouble[]
}

/** What a watcher is told, in the order of application. */
export type ConsensusNotice =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly command: Command | null; readonly events: readonly Event[] }
  | { readonly kind: 'replaced'; readonly index: LogIndex }
  | { readonly kind: 'status' }
  | { readonly kind: 'halted'; readonly reason: string }

export interface Consensus {
  /** @throws OperationalError NO_QUORUM (surely not done), OUTCOME_UNKNOWN, OVERLOADED, INVALID (too large) */
  propose(command: Command, options: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<CommandResult>
  /** A linearizable read point, applied here when it resolves. @throws OperationalError NO_QUORUM */
  readBarrier(signal?: AbortSignal): Promise<LogIndex>
  waitApplied(index: LogIndex, signal?: AbortSignal): Promise<void>
  /** On the leader only. */
  changeConfiguration(change: ConfChange): Promise<void>
  /** On the leader only. When it resolves a majority of the present voters knows of every change of membership that is applied here. */
  commitBarrier(): Promise<void>
  /** On the leader only: to the voter that is furthest. @throws STATE_CONFLICT where nobody took it */
  transferLeadership(): Promise<void>
  status(): ConsensusStatus
  watch(listener: (notice: ConsensusNotice) => void): Cancel
}

// What engines beside the cluster's own may ask of consensus; `src/cluster` is the one implementation.
import type { Checkpoint, Divergence } from '../model/checkpoint.ts'
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { Compacted, MemberReport } from '../model/member.ts'
import type { NodeTrouble } from '../model/node.ts'
import type { ConfChange, Configuration, LogIndex, Progress, Role, Term } from '../raft/types.ts'
import type { Cancel } from './clock.ts'
import type { StateHead, StateWrite } from './state-store.ts'

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
  readonly divergence: Divergence | null
  /** Empty while all is well. */
  readonly troubles: readonly ConsensusTrouble[]
}

export type ConsensusStanding = Pick<ConsensusStatus, 'leaderId' | 'quorum' | 'divergence'>

/** A node that was found to have another state than the cluster at an index. */
export type Dissent = { readonly nodeId: string; readonly index: LogIndex; readonly hash: string; readonly expected: string }

/** What comparing states with the other nodes has shown. */
export type Agreement = {
  /** Up to here this node's state is known to be the cluster's; 0 where nothing was compared since it started. */
  readonly index: LogIndex
  readonly dissenters: readonly Dissent[]
}

/** The state at an index: enough to go on from there. */
export type HistoryBase = { readonly head: StateHead; readonly records: readonly StateWrite[]; readonly configuration: Configuration }
export type EntryContent =
  | { readonly kind: 'command'; readonly command: Command }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  /** A change of membership, as its bytes in base64. */
  | { readonly kind: 'config'; readonly data: string }
  | { readonly kind: 'ignorable'; readonly type: string }
  | { readonly kind: 'unknown'; readonly detail: string }
  | { readonly kind: 'empty' }
export type HistoryEntry = {
  readonly index: LogIndex
  readonly term: Term
  /** The leader's stamp; null where the entry has none. */
  readonly timeMs: number | null
  readonly content: EntryContent
  /** Of the state of this node after it had applied the entry; null where that is not remembered. */
  readonly hash: string | null
}
/** A state of the past and every entry that was applied to it since, as it was when it was asked for. Entries are decoded as they are read: whoever reads many lets others have their turn. */
export type StateHistory = { readonly base: HistoryBase; readonly entries: Iterable<HistoryEntry> & { readonly length: number } }

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
  /** On the leader only: to that voter, or to the one that is furthest. @throws STATE_CONFLICT where nobody took it */
  transferLeadership(to?: string): Promise<void>
  /** This node's own word. */
  report(): MemberReport
  /** The word of each of the members that answers within a second, this node's included. */
  reports(nodeIds: readonly string[]): Promise<ReadonlyMap<string, MemberReport>>
  /** From any node: has the leader hand over to this voter. Resolves when this node knows it as leader. @throws NO_QUORUM, STATE_CONFLICT, PEER_UNREACHABLE */
  lead(nodeId: string): Promise<void>
  /** From any node: has a member shorten its log behind a synced state, as far as followers allow. @throws STATE_CONFLICT, PEER_UNREACHABLE */
  compact(nodeId: string): Promise<Compacted>
  status(): ConsensusStatus
  /** Of the status what every request is asked about. */
  standing(): ConsensusStanding
  agreement(): Agreement
  /** Of this node; at most so many entries. */
  history(entriesMax: number): StateHistory
  watch(listener: (notice: ConsensusNotice) => void): Cancel
}

// What the cluster engine says about itself: its status, and the stream of events for those who follow it.
import type { Divergence } from '../model/checkpoint.ts'
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { ConsensusTrouble } from '../ports/consensus.ts'
import type { Configuration, LogIndex, Progress, RaftId, Role, Term } from '../raft/types.ts'

export type ClusterStatus = {
  readonly nodeId: string
  readonly role: Role
  readonly leaderId: string | null
  readonly term: Term
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly logBytes: number
  readonly configuration: Configuration
  /** Per member; only a leader has it. */
  readonly progress: Readonly<Record<RaftId, Progress>>
  /** A leader was heard of within an election time-out, or this is one whose quorum was. */
  readonly quorum: boolean
  /** Why this node takes no part any more; null while all is well. */
  readonly halted: string | null
  /** This node's state is not that of the cluster, or seems not to be; null while all is well. */
  readonly divergence: Divergence | null
  /** Empty while all is well. */
  readonly troubles: readonly ConsensusTrouble[]
}

export type HaltKind =
  /** A write or sync failed: final for the process. */
  | 'storage'
  /** The log lost or changed something acknowledged: the node takes no part until it has re-synced from its peers, which it does by itself. */
  | 'damaged'
  /** The cluster was founded anew without this node. */
  | 'superseded'
  /** The state is not the one that the others have: the node must rejoin. */
  | 'diverged'
  /** An entry of a newer version: update this node. */
  | 'unknownCommand'
  /** A bug. */
  | 'assertion'

export type ClusterEvent =
  /** Called after every applied entry, in order. No-ops and configuration changes have no command. */
  | {
      readonly kind: 'applied'
      readonly index: LogIndex
      readonly term: Term
      readonly timeMs: number
      readonly command: Command | null
      readonly result: CommandResult | null
      readonly events: readonly Event[]
    }
  /** A snapshot took the place of the state; `Cluster.state` is another object now. */
  | { readonly kind: 'replaced'; readonly index: LogIndex }
  /** Role, leader, term, quorum or configuration changed, or this node halted. */
  | { readonly kind: 'status'; readonly status: ClusterStatus }

/** This node takes no part any more. `storage` and `assertion` are for the process to exit on. */
export type Halt = { readonly kind: HaltKind; readonly reason: string; readonly cause: unknown }

export const emptyConfiguration: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }

/** Does `has` hold for a majority of voters, in both halves while the configuration is joint? */
export function majorityHas(configuration: Configuration, has: (id: RaftId) => boolean): boolean {
  const holds = (voters: readonly RaftId[]): boolean => voters.filter(has).length > voters.length / 2
  return holds(configuration.voters) && (configuration.votersOutgoing.length === 0 || holds(configuration.votersOutgoing))
}

// The words of our Raft: what goes into and comes out of the pure core, in the terms of the Raft paper and etcd/raft.

/** A member's identity in the Raft configuration; opaque to the core, compared by value. */
export type RaftId = string
/** Election number; 0 before the first. */
export type Term = number
/** Position in the log; the first entry is 1, 0 means "before the log". */
export type LogIndex = number

/** One log entry. `normal` with empty data is a leader's no-op; `config` data is encoded by `encodeConfChange`. */
export type Entry = {
  readonly index: LogIndex
  readonly term: Term
  readonly kind: 'normal' | 'config'
  readonly data: Uint8Array
}

/** What must be durable before votes and acks leave (Raft paper, figure 2, persistent state). */
export type HardState = { readonly term: Term; readonly vote: RaftId | null; readonly commit: LogIndex }

/** Who votes and who listens. `votersOutgoing` is non-empty only while a joint configuration is in force. */
export type Configuration = {
  readonly voters: readonly RaftId[]
  readonly votersOutgoing: readonly RaftId[]
  readonly learners: readonly RaftId[]
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly RaftId[]
  readonly autoLeave: boolean
}

/** Names a state image: everything up to and including `index` is in it. */
export type SnapshotMeta = { readonly index: LogIndex; readonly term: Term; readonly configuration: Configuration }

/** A state image with its name. The core never looks into `data`; the engine fills it in when it sends, and reads it when it installs. */
export type Snapshot = SnapshotMeta & { readonly data: Uint8Array }

export type ConfChangeStep = { readonly kind: 'addVoter' | 'addLearner' | 'remove'; readonly id: RaftId }
/**
 * A membership change. `simple` alters at most one voter. `auto` picks simple where that suffices, else joint with auto-leave;
 * `implicit` is joint with auto-leave; `explicit` is joint and is left by a change without steps.
 */
export type ConfChange = {
  readonly transition: 'auto' | 'simple' | 'implicit' | 'explicit'
  readonly steps: readonly ConfChangeStep[]
  /** Travels with the entry and is handed back when it is applied; not interpreted. */
  readonly context?: Uint8Array
}

type Envelope = { readonly from: RaftId; readonly to: RaftId; readonly term: Term }

/** Every message between members. Local events (ticks, proposals) are method calls, not messages. */
export type Message = Envelope &
  (
    | { readonly kind: 'vote' | 'preVote'; readonly lastIndex: LogIndex; readonly lastTerm: Term; readonly transfer: boolean }
    | { readonly kind: 'voteResponse' | 'preVoteResponse'; readonly reject: boolean }
    | {
        readonly kind: 'append'
        readonly prevIndex: LogIndex
        readonly prevTerm: Term
        readonly entries: readonly Entry[]
        readonly commit: LogIndex
      }
    /** On success `index` is the last matching index; on reject it is the refused prevIndex and the hint tells where to probe next. */
    | {
        readonly kind: 'appendResponse'
        readonly index: LogIndex
        readonly reject: boolean
        readonly hintIndex: LogIndex
        readonly hintTerm: Term
      }
    /** `leaseMs`: how long a promise has to last for the leader to read by it; absent where it does not. */
    | { readonly kind: 'heartbeat'; readonly commit: LogIndex; readonly context: string; readonly leaseMs?: number }
    /** `promise`: the sender elects nobody else for one election time-out, so a leader's lease may count on it. */
    | { readonly kind: 'heartbeatResponse'; readonly context: string; readonly promise: boolean }
    /** `snapshot.data` is empty when the core emits it: the engine attaches the image before sending. */
    | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
    | { readonly kind: 'timeoutNow' }
    | { readonly kind: 'transferLeader'; readonly transferee: RaftId }
    | { readonly kind: 'readIndex'; readonly context: string }
    | { readonly kind: 'readIndexResponse'; readonly context: string; readonly index: LogIndex; readonly reject: boolean }
    | { readonly kind: 'forget' }
  )

/** A linearizable read may be served once `index` is applied. `index` null: the read was dropped (leader lost); ask again. */
export type ReadState = { readonly context: string; readonly index: LogIndex | null }

/** Soft state: not durable, for the application's eyes. */
export type SoftState = { readonly leader: RaftId | null; readonly role: Role }
export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

/**
 * What the engine has to do next. Contract, in order: (1) send `messages`; they may leave before anything is durable (a leader's
 * appends run in parallel with its own disk). (2) Make `snapshot`, `hardState` and `entries` durable in one synced write. (3) Send
 * `messagesAfterSync`; those addressed to this very node are stepped back into the core. (4) Apply `snapshot`, then `committed`.
 * (5) `advance()`. Only one Ready is outstanding at a time.
 */
export type Ready = {
  readonly softState: SoftState | null
  readonly hardState: HardState | null
  readonly entries: readonly Entry[]
  readonly snapshot: Snapshot | null
  readonly committed: readonly Entry[]
  readonly messages: readonly Message[]
  readonly messagesAfterSync: readonly Message[]
  readonly readStates: readonly ReadState[]
  /** False only when nothing in this Ready has to be durable before messagesAfterSync leave. */
  readonly mustSync: boolean
}

export type ProgressState = 'probe' | 'replicate' | 'snapshot'
export type Progress = {
  readonly match: LogIndex
  readonly next: LogIndex
  readonly state: ProgressState
  readonly pendingSnapshot: LogIndex
  readonly recentActive: boolean
  /** Append messages sent and not yet acknowledged. */
  readonly inflight: number
  /** Nothing is sent for now: a probe is out, the window is full, or a snapshot is under way. */
  readonly isPaused: boolean
  /** The last round of catching up took no longer than an election time-out (thesis §4.2.1), nor has the present one. */
  readonly isCaughtUp: boolean
  readonly isLearner: boolean
}

export type Status = {
  readonly id: RaftId
  readonly role: Role
  readonly term: Term
  readonly vote: RaftId | null
  readonly leader: RaftId | null
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly logBytes: number
  readonly configuration: Configuration
  readonly transferee: RaftId | null
  readonly priority: ElectionPriority
  /** Only a leader has progress. */
  readonly progress: Readonly<Record<RaftId, Progress>>
}

/** The outcome of a proposal: where it was appended (in which term), or why it was not, in which case it surely will not be. */
export type ProposeResult =
  | { readonly kind: 'appended'; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'notLeader'; readonly leader: RaftId | null }
  | { readonly kind: 'refused'; readonly reason: 'uncommittedBytesMax' | 'transferring' | 'notMember' | 'tooLarge' | 'changePending' | 'invalidChange' }

/**
 * How much a node should lead, by its health. `low`: campaigns one election time-out later than the others do, so it leads only where they
 * do not; `none`: never campaigns. Votes, acknowledgements and a leadership that it has already are untouched.
 */
export type ElectionPriority = 'normal' | 'low' | 'none'

/**
 * Lease reads. `durationMs` must be shorter than the time in which `electionTicks` - 1 ticks pass on any member, by more than clocks may drift
 * apart. `monotonicMs` is a clock that no one sets and that goes on while the process is stopped.
 */
export type LeaseOptions = { readonly durationMs: number; readonly monotonicMs: () => number }

/** Injected randomness: an integer in [0, boundExclusive). */
export type RandomInt = (boundExclusive: number) => number

export type RaftOptions = {
  readonly id: RaftId
  /** Ticks without a leader before campaigning; the actual time-out is drawn from [electionTicks, 2·electionTicks). Default 10. */
  readonly electionTicks: number
  /** Default 1. */
  readonly heartbeatTicks: number
  readonly random: RandomInt
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly stepDownOnRemoval: boolean
  /** Append messages in flight to one peer in replicate state. */
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  /** Entry bytes in one append message; one entry always fits. */
  readonly messageBytesMax: number
  /** Entry bytes handed out as committed in one Ready; one entry always fits. */
  readonly committedBytesMax: number
  /** A leader refuses proposals beyond this many bytes not yet committed. */
  readonly uncommittedBytesMax: number
  readonly entryBytesMax: number
  /** Null, the default: every read takes a round. Needs checkQuorum, and the same setting on every member. */
  readonly lease: LeaseOptions | null
}

// The mutable state of one node that the verbs (election, replication, membership, reads) work on, and its outbox.
import { assertRaft } from './assertion.ts'
import type { RaftLog } from './log.ts'
import { PeerProgress } from './progress.ts'
import { isVoter } from './quorum.ts'
import { ReadQueue } from './read-queue.ts'
import type { Configuration, LogIndex, Message, RaftId, RaftOptions, ReadState, Role, Term } from './types.ts'

/** Messages waiting in one outbox; beyond it new ones are dropped, as a network may do. A hung disk must not eat the memory. */
const outboxMessagesMax = 65_536

export class Core {
  readonly options: RaftOptions
  readonly log: RaftLog
  term: Term
  vote: RaftId | null
  role: Role = 'follower'
  leader: RaftId | null = null
  /** Only a leader's are meaningful; kept in step with the configuration. */
  readonly progress = new Map<RaftId, PeerProgress>()
  /** Answers to the current (pre-)campaign. */
  readonly votes = new Map<RaftId, boolean>()
  electionElapsed = 0
  heartbeatElapsed = 0
  electionTimeout = 0
  /** Leader: no configuration change is accepted until this index is applied (statements 26, 28). */
  pendingConfigurationIndex: LogIndex = 0
  /** Leader: data bytes appended and not committed (statement 17). */
  uncommittedBytes = 0
  transferee: RaftId | null = null
  /** The engine's word: false while its disk would make a bad leader of this node. It still votes. */
  isElectable = true
  /** Leader: its own entries up to here have an acknowledgement by itself under way. */
  selfAcknowledged: LogIndex = 0
  /** Leader: peers may have something to be sent; heartbeats are due. Both are turned into messages when a Ready is built. */
  appendsDue = false
  heartbeatsDue = false
  readonly reads: ReadQueue
  messages: Message[] = []
  messagesAfterSync: Message[] = []
  readStates: ReadState[] = []

  constructor(options: RaftOptions, log: RaftLog, durable: { readonly term: Term; readonly vote: RaftId | null }) {
    this.options = options
    this.log = log
    this.term = durable.term
    this.vote = durable.vote
    this.reads = new ReadQueue(options.random)
    this.drawElectionTimeout()
  }

  get id(): RaftId {
    return this.options.id
  }
  get configuration(): Configuration {
    return this.log.configuration
  }

  /** May this node campaign? Only a voter, or one leaving with a duty left, whose state is not about to be replaced, and whose engine does not object. */
  get isPromotable(): boolean {
    return this.isElectable && (isVoter(this.configuration, this.id) || this.isDeparting) && this.log.incoming === null
  }

  /**
   * A former voter whose log goes on behind what it knows to be committed. The others may not know yet that its removal is
   * committed, need its vote, and cannot have it because its log is longer. So it may lead once more, elected by the new voters
   * alone, until an entry of its own term has carried the removal's commit to them.
   */
  get isDeparting(): boolean {
    const { log, configuration, id } = this
    return !isVoter(configuration, id) && log.lastIndex > log.committed && log.removalOf(id) !== null
  }

  /** A new time-out from [electionTicks, 2·electionTicks): peers that waited in step shall not campaign in step. */
  drawElectionTimeout(): void {
    const { electionTicks, random } = this.options
    const drawn = random(electionTicks)
    assertRaft(Number.isInteger(drawn) && drawn >= 0 && drawn < electionTicks, `random(${electionTicks}) gave ${drawn}`)
    this.electionTimeout = electionTicks + drawn
  }

  newProgress(next: LogIndex, recentActive: boolean): PeerProgress {
    const { inflightMessagesMax, inflightBytesMax } = this.options
    return new PeerProgress({ next, recentActive, limits: { messagesMax: inflightMessagesMax, bytesMax: inflightBytesMax } })
  }

  /** Leaves as soon as a Ready is taken, durable or not. */
  send(message: Message): void {
    if (this.messages.length < outboxMessagesMax) this.messages.push(message)
  }

  /** Leaves when the Ready's durable part is synced (statement 1). */
  sendAfterSync(message: Message): void {
    if (this.messagesAfterSync.length < outboxMessagesMax) this.messagesAfterSync.push(message)
  }
}

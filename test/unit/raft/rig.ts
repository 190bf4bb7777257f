// One core on a bench: step messages in by hand, run its Readys, look at what comes out.
import { RaftNode, type RestoredRaft } from '../../../src/raft/node.ts'
import type { RaftNodeOptions } from '../../../src/raft/options.ts'
import type { ConfChange, Configuration, Entry, LogIndex, Message, RaftId, ReadState, Snapshot, Term } from '../../../src/raft/types.ts'
import { encodeConfChange } from '../../../src/raft/confchange-codec.ts'

const noData = new Uint8Array(0)

/** Distributes over messages, so that a test may leave out sender, receiver and the fields it does not care for. */
type Partially<Value> = Value extends Message ? Partial<Value> & { readonly kind: Value['kind'] } : never
export type RoughMessage = Partially<Message>

/** Entries 1, 2, 3… of the terms given. */
export function entriesOf(terms: readonly Term[], first: LogIndex = 1): Entry[] {
  return terms.map((term, position) => ({ index: first + position, term, kind: 'normal', data: noData }))
}

export function configEntry(index: LogIndex, term: Term, change: ConfChange): Entry {
  return { index, term, kind: 'config', data: encodeConfChange(change) }
}

export function configurationOf(voters: readonly RaftId[], rest: Partial<Configuration> = {}): Configuration {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, ...rest }
}

/** Fields that a rough message leaves out. */
const blanks = {
  entries: [], commit: 0, prevIndex: 0, prevTerm: 0, transfer: false, lastIndex: 0, lastTerm: 0, reject: false,
  index: 0, hintIndex: 0, hintTerm: 0, context: '', promise: false,
}

export class Rig {
  readonly node: RaftNode
  readonly id: RaftId
  sent: Message[] = []
  committed: Entry[] = []
  reads: ReadState[] = []
  snapshots: Snapshot[] = []
  written: Entry[] = []

  constructor(restored: Partial<RestoredRaft> = {}, options: Partial<RaftNodeOptions> = {}) {
    this.id = options.id ?? 'a'
    const full = { hardState: null, snapshot: null, entries: [], ...restored }
    const voters = full.snapshot === null && restored.voters === undefined ? { voters: ['a', 'b', 'c'] } : {}
    this.node = new RaftNode({ id: this.id, random: () => 0, ...options }, { ...full, ...voters })
  }

  /** Runs Readys until there are no more; everything becomes durable and applied. */
  run(): this {
    while (this.node.hasReady()) {
      const ready = this.node.ready()
      this.sent.push(...ready.messages)
      this.reads.push(...ready.readStates)
      this.written.push(...ready.entries)
      if (ready.snapshot !== null) this.snapshots.push(ready.snapshot)
      for (const message of ready.messagesAfterSync) {
        if (message.to === this.id) this.node.step(message)
        else this.sent.push(message)
      }
      for (const entry of ready.committed) {
        this.committed.push(entry)
        if (entry.kind === 'config') this.node.applyConfChange(entry)
      }
      this.node.advance()
    }
    return this
  }

  /** Steps a message in (sender `b` and this node's term unless said otherwise) and runs. */
  receive(rough: RoughMessage): this {
    this.node.step({ ...blanks, from: 'b', to: this.id, term: this.node.status().term, ...rough } as unknown as Message)
    return this.run()
  }

  /** What was sent since the last look, of one kind if asked for. */
  take<Kind extends Message['kind']>(kind?: Kind): Extract<Message, { kind: Kind }>[] {
    const taken = this.sent.filter((message) => kind === undefined || message.kind === kind)
    this.sent = []
    return taken as Extract<Message, { kind: Kind }>[]
  }

  tick(times = 1): this {
    for (let time = 0; time < times; time += 1) {
      this.node.tick()
      this.run()
    }
    return this
  }

  /** Campaigns and takes everybody's votes. */
  becomeLeader(): this {
    this.node.campaign()
    this.run()
    for (const kind of ['preVoteResponse', 'voteResponse'] as const) {
      const { role, term, configuration } = this.node.status()
      if (role !== (kind === 'voteResponse' ? 'candidate' : 'preCandidate')) continue
      for (const from of new Set([...configuration.voters, ...configuration.votersOutgoing])) {
        if (from !== this.id) this.receive({ kind, from, term: kind === 'voteResponse' ? term : term + 1, reject: false })
      }
    }
    if (this.node.status().role !== 'leader') throw new Error(`no leader but ${JSON.stringify(this.node.status())}`)
    return this
  }

  /** Every peer acknowledges the whole log. */
  acknowledgeAll(peers: readonly RaftId[] = ['b', 'c']): this {
    for (const from of peers) this.receive({ kind: 'appendResponse', from, index: this.node.status().lastIndex })
    return this
  }
}

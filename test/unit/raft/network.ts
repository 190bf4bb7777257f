// An in-memory network of real cores with simulated disks: delivers, loses, repeats and reorders, crashes, and checks Raft's safety.
import { RaftNode } from '../../../src/raft/node.ts'
import type { RaftNodeOptions } from '../../../src/raft/options.ts'
import type {
  ConfChange, Configuration, Entry, HardState, LogIndex, Message, ProposeResult, RaftId, Ready, SnapshotMeta, Term,
} from '../../../src/raft/types.ts'

/** A small seeded generator (mulberry32): an integer in [0, boundExclusive). */
export function seededRandom(seed: number): (boundExclusive: number) => number {
  let state = seed >>> 0
  return (boundExclusive) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % boundExclusive
  }
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

type Image = { readonly index: LogIndex; readonly applied: readonly string[]; readonly configuration: Configuration }

type Disk = {
  hardState: HardState | null
  snapshot: SnapshotMeta | null
  entries: Entry[]
  /** The state machine: what was applied, position by position, and as of which index. Durable as soon as applied, like a synced batch. */
  image: Image
}

export type Member = {
  readonly id: RaftId
  readonly disk: Disk
  node: RaftNode
  /** A Ready whose messages left and whose sync is still running. */
  syncing: Ready | null
  isUp: boolean
  reads: Map<string, LogIndex>
  role: string
}

type NetworkOptions = {
  readonly ids: readonly RaftId[]
  readonly seed: number
  readonly node?: Partial<RaftNodeOptions>
  /** Members that know no configuration: they join later. */
  readonly blank?: readonly RaftId[]
  /** Told of every Ready taken and every message that arrives or is lost. */
  readonly trace?: Trace
}

export type Trace = { ready(id: RaftId, ready: Ready): void; message(message: Message, isLost: boolean): void }

const emptyConfiguration: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }

export class RaftNetwork {
  readonly members = new Map<RaftId, Member>()
  readonly random: (boundExclusive: number) => number
  inFlight: Message[] = []
  /** Members cut from the rest; both directions. */
  readonly isolated = new Set<RaftId>()
  /** Members in different groups do not reach each other; the others are all in one. */
  readonly groups = new Map<RaftId, number>()
  /** One-way cuts, written `from>to`. */
  readonly cutLinks = new Set<string>()
  readonly committedEntries = new Map<LogIndex, { readonly text: string; readonly observedTerm: Term }>()
  maxCommit: LogIndex = 0
  /** A clock: while it passes n, no member ticks more than n + 1 times. */
  nowTicks = 0
  readonly #tickedNow = new Set<RaftId>()
  elections = 0
  snapshotsInstalled = 0
  readsAnswered = 0
  readsDropped = 0
  readonly #leaders = new Map<Term, RaftId>()
  readonly #written = new Map<string, string>()
  readonly #votes = new Map<string, RaftId>()
  readonly #images = new Map<number, Image>()
  readonly #options: NetworkOptions

  constructor(options: NetworkOptions) {
    this.#options = options
    this.random = seededRandom(options.seed)
    for (const id of [...options.ids, ...(options.blank ?? [])]) {
      const image: Image = { index: 0, applied: [], configuration: emptyConfiguration }
      const disk: Disk = { hardState: null, snapshot: null, entries: [], image }
      const member: Member = { id, disk, node: this.#start(id, disk), syncing: null, isUp: true, reads: new Map(), role: 'follower' }
      this.members.set(id, member)
    }
  }

  member(id: RaftId): Member {
    const member = this.members.get(id)
    if (member === undefined) throw new Error(`no member ${id}`)
    return member
  }

  node(id: RaftId): RaftNode {
    return this.member(id).node
  }

  leader(): Member | null {
    let best: Member | null = null
    for (const member of this.members.values()) {
      if (!member.isUp || member.node.status().role !== 'leader') continue
      if (best === null || member.node.status().term > best.node.status().term) best = member
    }
    return best
  }

  /** Loses memory and the sync under way; the disk stays. */
  crash(id: RaftId): void {
    const member = this.member(id)
    member.isUp = false
    member.syncing = null
    member.reads.clear()
    member.role = 'follower'
  }

  restart(id: RaftId): void {
    const member = this.member(id)
    if (member.isUp) return
    member.node = this.#start(id, member.disk)
    member.isUp = true
  }

  /** Starts anew with this log, one entry per term given, as of `term` and without a vote. */
  given(id: RaftId, log: { readonly terms: readonly Term[]; readonly term: Term; readonly commit: LogIndex }): void {
    const { disk } = this.member(id)
    this.crash(id)
    disk.hardState = { term: log.term, vote: null, commit: log.commit }
    disk.entries = log.terms.map((term, at) => ({ index: at + 1, term, kind: 'normal', data: new Uint8Array(0) }))
    this.restart(id)
  }

  /** Takes a Ready and lets its messages go; the sync is under way until `finishSync`. */
  beginReady(id: RaftId): boolean {
    const member = this.member(id)
    if (!member.isUp || member.syncing !== null || !member.node.hasReady()) return false
    const ready = member.node.ready()
    this.#options.trace?.ready(id, ready)
    this.#observe(member, ready)
    for (const message of ready.messages) this.#send(member, message)
    for (const read of ready.readStates) this.#answerRead(member, read.context, read.index)
    member.syncing = ready
    return true
  }

  finishSync(id: RaftId): boolean {
    const member = this.member(id)
    const ready = member.syncing
    if (!member.isUp || ready === null) return false
    member.syncing = null
    this.#write(member, ready)
    for (const message of ready.messagesAfterSync) {
      if (message.to === id) member.node.step(message)
      else this.#send(member, message)
    }
    this.#apply(member, ready)
    member.node.advance()
    return true
  }

  /** Runs all Readys of all members to their end, without delivering messages. */
  settleReadys(): void {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const id of this.members.keys()) {
        if (this.beginReady(id)) isBusy = true
        if (this.finishSync(id)) isBusy = true
      }
    }
  }

  /** Delivers everything, in order, until nothing moves. */
  settle(stepsMax = 100_000): void {
    this.settleReadys()
    for (let steps = 0; this.inFlight.length > 0; steps += 1) {
      if (steps > stepsMax) throw new Error('the network does not come to rest')
      this.deliver(0)
      this.settleReadys()
    }
  }

  deliver(position: number): void {
    const [message] = this.inFlight.splice(position, 1)
    if (message !== undefined) this.receive(message)
  }

  /** Reaches its receiver, unless that is down or cut off. */
  receive(message: Message): void {
    const receiver = this.members.get(message.to)
    const { from, to } = message
    const isApart = (this.groups.get(from) ?? 0) !== (this.groups.get(to) ?? 0)
    const isCut = isApart || this.isolated.has(from) || this.isolated.has(to) || this.cutLinks.has(`${from}>${to}`)
    const isLost = receiver === undefined || !receiver.isUp || isCut
    this.#options.trace?.message(message, isLost)
    if (message.kind === 'snapshot') this.#reportSnapshot(message, isLost ? 'failed' : 'finished')
    if (!isLost) receiver.node.step(message)
  }

  /** Lost on the way. */
  lose(position: number): void {
    const [message] = this.inFlight.splice(position, 1)
    if (message === undefined) return
    this.#options.trace?.message(message, true)
    if (message.kind === 'snapshot') this.#reportSnapshot(message, 'failed')
  }

  tick(id: RaftId): void {
    const member = this.member(id)
    if (!member.isUp) return
    if (this.#tickedNow.has(id)) {
      this.nowTicks += 1
      this.#tickedNow.clear()
    }
    this.#tickedNow.add(id)
    member.node.tick()
  }

  tickAll(times = 1): void {
    for (let time = 0; time < times; time += 1) {
      for (const id of this.members.keys()) this.tick(id)
      this.settle()
    }
  }

  elect(id: RaftId): void {
    this.node(id).campaign()
    this.settle()
  }

  propose(id: RaftId, text: string): ProposeResult {
    return this.node(id).propose(bytesOf(text))
  }

  change(id: RaftId, change: ConfChange): ProposeResult {
    return this.node(id).proposeConfChange(change)
  }

  /** A linearizable read must be answered at or behind everything committed anywhere when it was asked for. */
  read(id: RaftId, context: string): void {
    const member = this.member(id)
    if (!member.isUp) return
    member.reads.set(context, this.maxCommit)
    member.node.readIndex(context)
  }

  /** Every member's applied state, for comparison. */
  applied(id: RaftId): readonly string[] {
    return this.member(id).disk.image.applied
  }

  compact(id: RaftId, index: LogIndex): void {
    const member = this.member(id)
    const { disk, node } = member
    if (!member.isUp || member.syncing !== null || index <= node.status().firstIndex - 1 || index > node.status().applied) return
    const compacted = node.compact(index)
    const last = disk.entries.find((entry) => entry.index === compacted)
    if (last === undefined) return
    disk.snapshot = { index: compacted, term: last.term, configuration: this.#configurationAt(disk, compacted) }
    disk.entries = disk.entries.filter((entry) => entry.index > compacted)
  }

  #configurations = new Map<string, Configuration>()

  /** The configuration as of `index`, from the notes taken when entries were applied. */
  #configurationAt(disk: Disk, index: LogIndex): Configuration {
    for (let at = index; at > (disk.snapshot?.index ?? 0); at -= 1) {
      const noted = this.#configurations.get(String(at))
      if (noted !== undefined) return noted
    }
    return disk.snapshot?.configuration ?? { ...emptyConfiguration, voters: [...this.#options.ids].sort() }
  }

  #start(id: RaftId, disk: Disk): RaftNode {
    const isBlank = this.#options.blank?.includes(id) === true
    const { hardState, snapshot, entries, image } = disk
    return new RaftNode(
      { id, random: this.random, ...this.#options.node },
      { hardState, snapshot, entries: [...entries], applied: image.index, ...(isBlank ? {} : { voters: this.#options.ids }) },
    )
  }

  #send(member: Member, message: Message): void {
    if (message.kind === 'snapshot') {
      const { image } = member.disk
      if (image.index !== message.snapshot.index) throw new Error(`${member.id} names ${message.snapshot.index}, its state is ${image.index}`)
      this.#images.set(image.index, image)
      this.inFlight.push({ ...message, snapshot: { ...message.snapshot, data: bytesOf(String(image.index)) } })
      return
    }
    if (message.kind === 'voteResponse' && !message.reject) this.#checkVote(member, message.term, message.to)
    this.inFlight.push(message)
  }

  #reportSnapshot(message: Message, outcome: 'finished' | 'failed'): void {
    const sender = this.member(message.from)
    if (sender.isUp) sender.node.reportSnapshot(message.to, outcome)
  }

  #write(member: Member, ready: Ready): void {
    const { disk } = member
    if (ready.snapshot !== null) {
      const { data, ...meta } = ready.snapshot
      const image = this.#images.get(Number(textOf(data)))
      if (image === undefined) throw new Error('an image that nobody made')
      disk.snapshot = meta
      disk.entries = []
      disk.image = image
      this.snapshotsInstalled += 1
    }
    disk.hardState = ready.hardState ?? disk.hardState
    if (disk.hardState !== null && disk.hardState.vote === member.id) this.#checkVote(member, disk.hardState.term, member.id)
    const [first] = ready.entries
    if (first !== undefined) {
      disk.entries = [...disk.entries.filter((entry) => entry.index < first.index), ...ready.entries]
      this.#checkLog(member, first.index)
    }
    const status = member.node.status()
    if (status.role === 'leader' && member.role !== `leader ${status.term}`) {
      member.role = `leader ${status.term}`
      this.#checkCompleteness(member, status.term)
    }
  }

  #apply(member: Member, ready: Ready): void {
    for (const entry of ready.committed) {
      const { image } = member.disk
      if (entry.index !== image.index + 1) throw new Error(`${member.id} applies ${entry.index} after ${image.index}`)
      const text = `${entry.term}:${entry.kind}:${textOf(entry.data)}`
      this.#checkCommitted(member, entry.index, text)
      let { configuration } = image
      if (entry.kind === 'config') {
        configuration = member.node.applyConfChange(entry)
        this.#configurations.set(String(entry.index), configuration)
      }
      member.disk.image = { index: entry.index, applied: [...image.applied, text], configuration }
    }
  }

  /** Election safety: at most one leader per term. */
  #observe(member: Member, ready: Ready): void {
    const { commit, term } = member.node.status()
    this.maxCommit = Math.max(this.maxCommit, commit)
    if (ready.softState?.role !== 'leader') return
    const other = this.#leaders.get(term)
    if (other !== undefined && other !== member.id) throw new Error(`two leaders in term ${term}: ${other} and ${member.id}`)
    if (other === undefined) this.elections += 1
    this.#leaders.set(term, member.id)
  }

  /** One vote per term and member, over all its lives. */
  #checkVote(member: Member, term: Term, candidate: RaftId): void {
    const key = `${member.id}/${term}`
    const earlier = this.#votes.get(key)
    if (earlier !== undefined && earlier !== candidate) throw new Error(`${member.id} voted for ${earlier} and ${candidate} in term ${term}`)
    this.#votes.set(key, candidate)
  }

  /** Log matching, by induction: an (index, term) names one entry with one predecessor. */
  #checkLog(member: Member, from: LogIndex): void {
    const { entries, snapshot } = member.disk
    let previousTerm = snapshot?.term ?? 0
    for (const entry of entries) {
      if (entry.index >= from) {
        const key = `${entry.index}/${entry.term}`
        const what = `after ${previousTerm}: ${entry.kind} ${textOf(entry.data)}`
        const earlier = this.#written.get(key)
        if (earlier !== undefined && earlier !== what) throw new Error(`log matching: ${key} is "${earlier}" and on ${member.id} "${what}"`)
        this.#written.set(key, what)
      }
      previousTerm = entry.term
    }
  }

  /** State machine safety: nobody applies another entry at the same index. */
  #checkCommitted(member: Member, index: LogIndex, text: string): void {
    const earlier = this.committedEntries.get(index)
    if (earlier !== undefined && earlier.text !== text) throw new Error(`committed entry ${index}: "${earlier.text}" and on ${member.id} "${text}"`)
    if (earlier === undefined) this.committedEntries.set(index, { text, observedTerm: member.node.status().term })
  }

  /** Leader completeness: what was committed in earlier terms is in the log of a new leader. */
  #checkCompleteness(member: Member, term: Term): void {
    const { entries, image } = member.disk
    const own = new Map(entries.map((entry) => [entry.index, `${entry.term}:${entry.kind}:${textOf(entry.data)}`]))
    for (const [index, committed] of this.committedEntries) {
      if (committed.observedTerm >= term) continue
      const text = own.get(index) ?? image.applied[index - 1]
      if (text !== committed.text) throw new Error(`leader ${member.id} of term ${term} lacks committed entry ${index} "${committed.text}"`)
    }
  }

  #answerRead(member: Member, context: string, index: LogIndex | null): void {
    const asked = member.reads.get(context)
    if (asked === undefined) throw new Error(`${member.id} answers read ${context}, which is not open`)
    member.reads.delete(context)
    if (index === null) {
      this.readsDropped += 1
      return
    }
    this.readsAnswered += 1
    if (index < asked) throw new Error(`stale read on ${member.id}: index ${index}, but ${asked} was committed when it was asked`)
  }
}

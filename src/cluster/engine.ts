// Turns the core's Readys into effects: sends, syncs, applies, and keeps log and state store in their order.
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { LogBatch, LogStore } from '../ports/log-store.ts'
import type { StateStore, StateWrite } from '../ports/state-store.ts'
import type { Transport } from '../ports/transport.ts'
import { RaftNode } from '../raft/node.ts'
import { defaultRaftOptions } from '../raft/options.ts'
import type { Configuration, Entry, HardState, LogIndex, Message, ProposeResult, RaftId, RaftOptions, ReadState, Ready, Snapshot, SnapshotMeta, Term } from '../raft/types.ts'
import { applyCommand, applyEmpty } from '../state/apply.ts'
import { emptyState, stateHead, type State } from '../state/state.ts'
import { Compaction, type CompactionBounds } from './compaction.ts'
import { DiskWatch, type DiskState } from './disk-watch.ts'
import { decodeEntryData, type DecodedEntry } from './entry.ts'
import { configurationRecord, decodeImage, encodeImage, type DecodedImage } from './image.ts'
import { Outbox } from './outbox.ts'
import { baseAt, recover, type Recovered } from './recovery.ts'
import { StateWriter } from './state-writer.ts'
import { yieldLeadership } from './successor.ts'
import { emptyConfiguration, type HaltKind } from './status.ts'
import { WordWatch } from './word-watch.ts'

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

/** A leader's word that this node votes no more, as of an entry that a majority without it holds: it may begin anew. */
export type RenewalGrant = { readonly term: Term; readonly index: LogIndex; readonly leaderId: RaftId }

export type AppliedEntry = {
  readonly index: LogIndex
  readonly term: Term
  readonly timeMs: number
  readonly command: Command | null
  readonly result: CommandResult | null
  readonly events: readonly Event[]
}

/** Called synchronously, in order. */
export type EngineListener = {
  applied(entry: AppliedEntry): void
  replaced(index: LogIndex): void
  read(state: ReadState): void
  /** A tick passed or a Ready was handled: anything in the status may have changed. */
  turned(): void
  halted(kind: HaltKind, reason: string, cause: unknown): void
}

export class Engine {
  readonly #options: EngineOptions
  readonly #ports: EnginePorts
  readonly #listener: EngineListener
  readonly #writer: StateWriter
  #node: RaftNode | null = null
  #state: State = emptyState()
  #configuration: Configuration = emptyConfiguration
  #compaction: Compaction
  #images = new WeakMap<Uint8Array, DecodedImage>()
  /** What this node has encoded itself need not be decoded again. */
  readonly #commands = new WeakMap<Uint8Array, DecodedEntry>()
  /** Not worth a sync of its own: goes with the next batch. */
  #hardStateOwed: HardState | null = null
  #isLogFresh = false
  /** Where a damaged log may begin anew: behind the state, if there is one. */
  #renewalBase: SnapshotMeta | null = null
  /** Up to where a renewed log has to be applied until this node is as good as the others. */
  #renewedTo: LogIndex = 0
  readonly #wordWatch: WordWatch
  readonly #disk: DiskWatch
  #pumping: Promise<void> | null = null
  #halted: { readonly kind: HaltKind; readonly reason: string } | null = null
  #stopped = false
  #cancelTick: Cancel | null = null
  readonly #outbox: Outbox

  constructor(options: EngineOptions, ports: EnginePorts, listener: EngineListener) {
    this.#options = options
    this.#ports = ports
    this.#listener = listener
    this.#compaction = new Compaction(options.compaction, 0)
    const electionMs = options.tickMs * (options.raft.electionTicks ?? defaultRaftOptions.electionTicks)
    this.#disk = new DiskWatch({ limitMs: electionMs, onChange: (state) => this.#diskChanged(state) }, ports.clock)
    this.#wordWatch = new WordWatch(electionMs, ports.clock)
    this.#outbox = new Outbox(ports.clock, (message) => ports.transport.send(message))
    this.#writer = new StateWriter(
      {
        head: () => stateHead(this.#state),
        onError: (error) => this.#halt('storage', 'the state could not be written', error),
        onFull: (isFull) => {
          this.#disk.noteOther(isFull)
          // Nothing waits for space at an orderly stop: the log has it all.
          if (isFull && this.#stopped) this.#writer.freeze()
        },
        onSynced: (index) => {
          this.#compaction.synced(index)
          this.schedule()
        },
      },
      ports,
    )
  }

  get state(): State {
    return this.#state
  }
  get disk(): { readonly state: DiskState; readonly sinceMs: number; readonly waitingMs: number } {
    return this.#disk
  }
  /** Where a renewed node is as good as the others again; null where it is, or never was renewed. */
  get renewingTo(): LogIndex | null {
    return this.#state.index < this.#renewedTo ? this.#renewedTo : null
  }
  /** Null before start, and while the log is damaged. */
  get node(): RaftNode | null {
    return this.#node
  }
  get halted(): { readonly kind: HaltKind; readonly reason: string } | null {
    return this.#halted
  }
  get isRunning(): boolean {
    return this.#node !== null && this.#halted === null && !this.#stopped
  }

  /** @throws OperationalError where a store cannot be opened or written */
  async start(options: { readonly bootstrap: boolean; readonly resumes?: boolean | undefined }): Promise<void> {
    const { nodeId } = this.#options
    this.#ports.logStore.watchFailure((error) => this.#halt('storage', 'the log could not be written', error))
    const recovered = await recover({ nodeId, ...options }, this.#ports)
    this.#state = recovered.state
    const { superseded } = this.#options
    if (superseded !== undefined) return this.halt('superseded', superseded)
    if (recovered.kind === 'damaged') {
      this.#renewalBase = recovered.base
      this.#suspend(recovered.detail)
      return
    }
    this.#begin(recovered)
    await this.#pumping
    // Alone there is nobody to wait for.
    const { voters } = this.#configuration
    if (voters.length === 1 && voters[0] === nodeId) this.#guard((node) => node.campaign())
  }

  /**
   * Begins anew after damage, behind the last state that could be read, or with nothing. What the node promised before binds it no more: the grant says
   * that it does not vote, by an entry that was proposed after the damage and that a majority without this node holds.
   */
  async renew(grant: RenewalGrant): Promise<void> {
    if (!this.#isSuspended) return
    await this.#pumping
    const base = this.#renewalBase
    try {
      if (base === null) {
        this.#state = emptyState()
        await this.#writer.replace({ head: stateHead(this.#state), records: [] })
      } else await this.#writer.drain(true)
      if (!this.#isSuspended) return
      const beginning = { term: grant.term, vote: grant.leaderId, commit: base?.index ?? 0 }
      const hardState = await this.#ports.logStore.renew({ hardState: beginning, base })
      this.#halted = null
      this.#renewedTo = grant.index
      this.#begin({ kind: 'ready', state: this.#state, hardState, base: base ?? { index: 0, term: 0, configuration: emptyConfiguration }, entries: [] })
    } catch (error) {
      this.#halt('storage', 'the damaged log could not be renewed', error)
      return
    }
    this.#ports.log.warn('the damaged log was put aside and begins anew', { base: base?.index ?? 0, upTo: grant.index, term: grant.term })
    if (base === null) this.#listener.replaced(0)
    this.#listener.turned()
  }

  /** Ends after the write under way; the stores are closed, what was applied is on disk. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTick?.()
    this.#outbox.stop()
    await this.#pumping
    if (this.#halted === null) await this.#writer.drain(true)
    this.#writer.stop()
    await this.#ports.logStore.close()
    await this.#ports.stateStore.close()
  }

  /** Takes no part from now on; nothing more is written. */
  halt(kind: HaltKind, reason: string): void {
    this.#halt(kind, reason, null)
  }

  /** A message from a peer. */
  receive(message: Message): void {
    if (message.kind === 'snapshot' && !this.#admitImage(message.snapshot)) {
      this.#ports.log.warn('snapshot refused: its image is not intact', { from: message.from, index: message.snapshot.index })
      return
    }
    this.#guard((node) => {
      node.step(message)
      const detail = this.#wordWatch.heard(message, () => node.status())
      if (detail === null) return
      this.#renewalBase = baseAt(this.#state, this.#configuration)
      this.#suspend(detail)
    })
  }

  /** A client of this follower waits until the entry is applied there. */
  awaitedBy(follower: RaftId, index: LogIndex): void {
    this.#outbox.expect(follower, index)
  }

  /** Appends `data`, which is `entry` encoded. Null where this node takes no part. */
  propose(data: Uint8Array, entry: DecodedEntry): ProposeResult | null {
    this.#commands.set(data, entry)
    return this.act((node) => node.propose(data))
  }

  /** Does something to the core (propose, campaign…) and sees to what comes of it. Null where this node takes no part. */
  act<T>(action: (node: RaftNode) => T): T | null {
    let value: T | null = null
    this.#guard((node) => {
      value = action(node)
    })
    return value
  }

  /** Sees to it that Readys are handled, soon. What else comes in this turn goes into the same one. */
  schedule(): void {
    if (this.#pumping !== null || !this.isRunning) return
    this.#pumping = Promise.resolve()
      .then(() => this.#pump())
      .finally(() => {
        this.#pumping = null
        this.#lookAgain()
      })
  }

  /** Something may have come between the last look and now. */
  #lookAgain(): void {
    try {
      if (this.isRunning && this.#node?.hasReady() === true) this.schedule()
    } catch (error) {
      this.#halt('assertion', 'the consensus core failed', error)
    }
  }

  #createNode(recovered: Extract<Recovered, { kind: 'ready' }>): RaftNode {
    const { nodeId, raft } = this.#options
    const random = (boundExclusive: number): number => this.#ports.random.integer(boundExclusive)
    const { hardState, base, entries, state } = recovered
    return new RaftNode({ ...raft, id: nodeId, random }, { hardState, snapshot: base, entries, applied: state.index })
  }

  #begin(recovered: Extract<Recovered, { kind: 'ready' }>): void {
    const { compaction, tickMs } = this.#options
    this.#compaction = new Compaction(compaction, recovered.base.index)
    this.#isLogFresh = recovered.hardState.term === 0 && recovered.entries.length === 0 && recovered.base.index === 0
    this.#hardStateOwed = null
    this.#wordWatch.reset()
    this.#node = this.#createNode(recovered)
    this.#node.setElectable(this.#disk.state === 'good')
    this.#configuration = this.#node.status().configuration
    this.#cancelTick = this.#ports.clock.every(tickMs, () => this.#tick())
    this.schedule()
  }

  get #isSuspended(): boolean {
    return this.#halted?.kind === 'damaged' && !this.#stopped
  }

  /** The log is damaged: the node takes no part until it may begin anew. */
  #suspend(detail: string): void {
    if (this.#halted !== null) return
    this.#halted = { kind: 'damaged', reason: detail }
    this.#cancelTick?.()
    this.#outbox.stop()
    this.#node = null
    this.#ports.log.warn('the Raft log is damaged; this node does not vote until it has re-synced', { detail })
    this.#listener.halted('damaged', detail, null)
  }

  #tick(): void {
    this.#disk.look()
    this.#guard((node) => node.tick())
    this.#listener.turned()
  }

  #guard(action: (node: RaftNode) => void): void {
    if (this.#node === null || !this.isRunning) return
    try {
      action(this.#node)
    } catch (error) {
      this.#halt('assertion', 'the consensus core failed', error)
      return
    }
    this.schedule()
  }

  async #pump(): Promise<void> {
    const node = this.#node
    if (node === null) return
    try {
      while (this.isRunning) {
        await this.#compact(node)
        if (!this.isRunning || !node.hasReady()) break
        await this.#handle(node, node.ready())
      }
    } catch (error) {
      this.#halt(error instanceof StorageFault ? 'storage' : 'assertion', error instanceof Error ? error.message : String(error), error)
    }
  }

  /** One Ready, in the order of its contract. */
  async #handle(node: RaftNode, ready: Ready): Promise<void> {
    for (const message of ready.messages) this.#send(node, message)
    // The transport packs what came in one turn: it leaves before the disk's threads are woken, for the others' disks take as long as ours.
    await Promise.resolve()
    this.#hardStateOwed = ready.hardState ?? this.#hardStateOwed
    if (ready.snapshot !== null) await this.#install(ready.snapshot, ready.entries)
    else if (ready.mustSync) await this.#writeLog({ hardState: this.#hardStateOwed, entries: ready.entries, base: null })
    if (!this.isRunning) return
    // With entries the leader waits for the answers; without, a client of this node waits for what is applied.
    const answersFirst = ready.entries.length > 0
    if (answersFirst) this.#answer(node, ready.messagesAfterSync)
    this.#apply(node, ready.committed)
    if (this.#halted !== null) return
    if (!answersFirst) this.#answer(node, ready.messagesAfterSync)
    node.advance()
    for (const state of ready.readStates) this.#listener.read(state)
    this.#listener.turned()
    await this.#writer.room()
  }

  #answer(node: RaftNode, messages: readonly Message[]): void {
    for (const message of messages) {
      if (message.to === this.#options.nodeId) node.step(message)
      else this.#send(node, message)
    }
  }

  /** What is full or hangs makes a bad leader: it yields at once, and campaigns no more until the disk goes on (statement 44). */
  #diskChanged(state: DiskState): void {
    const node = this.#node
    this.#ports.log.warn(state === 'good' ? 'the disk goes on' : 'the disk does not take what is written', { disk: state, waitingMs: this.#disk.waitingMs })
    node?.setElectable(state === 'good')
    if (node === null || state === 'good') return
    const yielded = yieldLeadership(node, this.#ports.transport)
    if (yielded !== null) this.#ports.log.warn('this node leads no more, for its disk', { disk: state, to: yielded.to })
  }

  /** Durable when it resolves, unless the node was stopped meanwhile. */
  async #persist(what: string, write: () => Promise<void>): Promise<void> {
    try {
      await this.#disk.persist(write, () => this.isRunning)
    } catch (error) {
      throw new StorageFault(what, { cause: error })
    }
  }

  async #writeLog(batch: LogBatch): Promise<void> {
    await this.#persist('the log could not be written', () => this.#ports.logStore.write(batch))
    if (!this.isRunning) return
    this.#isLogFresh = false
    if (batch.hardState !== null && batch.hardState === this.#hardStateOwed) this.#hardStateOwed = null
  }

  #send(node: RaftNode, message: Message): void {
    const { transport } = this.#ports
    if (message.kind !== 'snapshot') {
      this.#outbox.send(message)
      return
    }
    if (message.snapshot.index !== this.#state.index) {
      this.#halt('assertion', `a snapshot of ${message.snapshot.index} is asked of a state at ${this.#state.index}`, null)
      return
    }
    const snapshot = { ...message.snapshot, data: encodeImage(this.#state) }
    transport.send({ ...message, snapshot }, (outcome) => this.#guard(() => node.reportSnapshot(message.to, outcome)))
  }

  /** Only an intact image may reach the core: it forgets its log for it. */
  #admitImage(snapshot: Snapshot): boolean {
    if (this.#node === null || snapshot.index <= this.#node.status().commit) return true
    const decoded = decodeImage(snapshot.data, snapshot)
    if (decoded !== null) this.#images.set(snapshot.data, decoded)
    return decoded !== null
  }

  /** State first, then the log: see recovery.ts for a crash in between. */
  async #install(snapshot: Snapshot, entries: readonly Entry[]): Promise<void> {
    const decoded = this.#images.get(snapshot.data)
    if (decoded === undefined) throw new Error(`snapshot ${snapshot.index} was not checked when it came`)
    const { index, term, configuration } = snapshot
    const meta: SnapshotMeta = { index, term, configuration }
    if (this.#isLogFresh) {
      // A state beside a log that was never written would look like damage.
      const owed = this.#hardStateOwed ?? { term, vote: null, commit: 0 }
      await this.#writeLog({ hardState: { ...owed, commit: 0 }, entries: [], base: null })
    }
    const records = [...decoded.image.records, configurationRecord({ index, configuration })]
    await this.#persist('the state could not be replaced', () => this.#writer.replace({ head: decoded.image.head, records }))
    // Where it has come to be suspended meanwhile, the state on disk is not the one in memory.
    if (!this.isRunning) this.#renewalBase = null
    await this.#writeLog({ hardState: this.#hardStateOwed, entries, base: { meta, discardSuffix: true } })
    if (!this.isRunning) return
    this.#state = decoded.state
    this.#configuration = configuration
    this.#compaction.reset(index)
    this.#listener.replaced(index)
  }

  #apply(node: RaftNode, committed: readonly Entry[]): void {
    const writes: StateWrite[] = []
    let bytes = 0
    for (const entry of committed) {
      const applied = this.#applyEntry(node, entry)
      if (applied === null) break
      writes.push(...applied)
      bytes += entry.data.length
    }
    if (committed.length === 0) return
    const { index, term } = this.#state
    this.#writer.add(writes, this.#compaction.applied({ index, term, configuration: this.#configuration, bytes }))
  }

  /** What is to be written of it; null where this version cannot apply it and the node halts. */
  #applyEntry(node: RaftNode, entry: Entry): readonly StateWrite[] | null {
    const { index, term } = entry
    const state = this.#state
    if (entry.kind === 'config') {
      this.#configuration = node.applyConfChange(entry)
      this.#applyNothing(entry, state.timeMs)
      return [configurationRecord({ index, configuration: this.#configuration })]
    }
    if (entry.data.length === 0) {
      this.#applyNothing(entry, state.timeMs)
      return []
    }
    const decoded = this.#commands.get(entry.data) ?? decodeEntryData(entry.data)
    switch (decoded.kind) {
      case 'unknown':
        this.#halt('unknownCommand', `entry ${index} cannot be applied by this version: ${decoded.detail}`, null)
        return null
      case 'ignorable':
        this.#applyNothing(entry, decoded.timeMs)
        return []
      case 'command': {
        const { command, timeMs } = decoded
        const { result, writes, events } = applyCommand(state, { index, term, timeMs, command })
        this.#listener.applied({ index, term, timeMs: state.timeMs, command, result, events })
        return writes
      }
    }
  }

  #applyNothing(entry: Entry, timeMs: number): void {
    const { index, term } = entry
    applyEmpty(this.#state, { index, term, timeMs })
    this.#listener.applied({ index, term, timeMs: this.#state.timeMs, command: null, result: null, events: [] })
  }

  async #compact(node: RaftNode): Promise<void> {
    if (!this.#compaction.isPossible) return
    const { firstIndex, lastIndex, logBytes, progress } = node.status()
    const meta = this.#compaction.due({ firstIndex, lastIndex, logBytes, progress })
    if (meta === null) return
    // The core may have to remember more than that (it was removed, and is needed once more): then the disk has to remember it, too.
    if (node.compact(meta.index) < meta.index) return
    await this.#writeLog({ hardState: this.#hardStateOwed, entries: [], base: { meta, discardSuffix: false } })
    this.#ports.log.debug('log compacted', { index: meta.index })
  }

  #halt(kind: HaltKind, reason: string, cause: unknown): void {
    if (this.#halted !== null && !this.#isSuspended) return
    this.#halted = { kind, reason }
    this.#cancelTick?.()
    this.#outbox.stop()
    // An entry may be applied in part: its index must not reach the disk.
    this.#writer.freeze()
    this.#ports.log.error('consensus halted', { kind, reason, cause: cause instanceof Error ? (cause.stack ?? cause.message) : cause })
    this.#listener.halted(kind, reason, cause)
  }
}

/** A write to one of the stores failed: final for this process. */
class StorageFault extends Error {}

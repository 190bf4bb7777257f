// Turns the core's Readys into effects: sends, syncs, applies, and keeps log and state store in their order.
import { divergenceText, type Divergence } from '../model/checkpoint.ts'
import type { Cancel } from '../ports/clock.ts'
import type { StateHistory } from '../ports/consensus.ts'
import type { StateWrite } from '../ports/state-store.ts'
import { RaftNode } from '../raft/node.ts'
import { defaultRaftOptions } from '../raft/options.ts'
import type { Configuration, ElectionPriority, Entry, LogIndex, Message, ProposeResult, RaftId, Ready, Snapshot, SnapshotMeta } from '../raft/types.ts'
import { emptyState, stateHead, type State } from '../state/state.ts'
import { applyEntry } from './apply-entry.ts'
import { Compaction } from './compaction.ts'
import { DiskWatch, isFull, type DiskState } from './disk-watch.ts'
import type { EngineListener, EngineOptions, EnginePorts } from './engine-ports.ts'
import type { DecodedEntry } from './entry.ts'
import { Fitness } from './fitness.ts'
import { History } from './history.ts'
import { HashTrail } from './hash-trail.ts'
import { configurationRecord, decodeImage, divergenceRecord, encodeImage, type DecodedImage } from './image.ts'
import { Journal, StorageFault } from './journal.ts'
import { Outbox } from './outbox.ts'
import { baseAt, recover, type Recovered } from './recovery.ts'
import type { RenewalGrant } from './request.ts'
import { StateWriter } from './state-writer.ts'
import { yieldLeadership } from './successor.ts'
import { emptyConfiguration, type HaltKind } from './status.ts'
import { WordWatch } from './word-watch.ts'

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
  #isInstalling = false
  /** Where a damaged log may begin anew: behind the state, if there is one. */
  #renewalBase: SnapshotMeta | null = null
  /** Up to where a renewed log has to be applied until this node is as good as the others. */
  #renewedTo: LogIndex = 0
  readonly #wordWatch: WordWatch
  readonly #disk: DiskWatch
  readonly #journal: Journal
  #pumping: Promise<void> | null = null
  #renewing: Promise<void> | null = null
  #halted: { readonly kind: HaltKind; readonly reason: string } | null = null
  #stopped = false
  #cancelTick: Cancel | null = null
  readonly #outbox: Outbox
  readonly #fitness: Fitness
  readonly #trail = new HashTrail()
  readonly #history = new History()
  #divergence: Divergence | null = null

  constructor(options: EngineOptions, ports: EnginePorts, listener: EngineListener) {
    this.#options = options
    this.#ports = ports
    this.#listener = listener
    this.#compaction = new Compaction(options.compaction, 0)
    const electionMs = options.tickMs * (options.raft.electionTicks ?? defaultRaftOptions.electionTicks)
    this.#fitness = new Fitness({ tickMs: options.tickMs, electionMs }, ports.clock)
    this.#disk = new DiskWatch({ limitMs: electionMs, onChange: (state) => this.#diskChanged(state) }, ports.clock)
    this.#journal = new Journal(ports.logStore, { disk: this.#disk, fitness: this.#fitness }, () => this.isRunning)
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
  /** Low after a stall or a slow write: others had better lead. None while the disk takes nothing. */
  get priority(): ElectionPriority {
    return this.#disk.state === 'good' ? this.#fitness.priority : 'none'
  }
  get trail(): HashTrail {
    return this.#trail
  }
  history(entriesMax: number): StateHistory {
    return this.#history.view({ state: this.#state, configuration: this.#configuration, node: this.#node, trail: this.#trail }, entriesMax)
  }
  get divergence(): Divergence | null {
    return this.#divergence
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
    this.#trail.reset(this.#state.index, this.#state.digest)
    if (recovered.kind === 'diverged') {
      this.#divergence = recovered.divergence
      this.#halt('diverged', divergenceText(recovered.divergence), null)
      return
    }
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
    this.#renewing ??= this.#beginAnew(grant).finally(() => (this.#renewing = null))
    await this.#renewing
  }

  async #beginAnew(grant: RenewalGrant): Promise<void> {
    await this.#pumping
    const base = this.#renewalBase
    try {
      if (base === null) {
        this.#state = emptyState()
        await this.#writer.replace({ head: stateHead(this.#state), records: [] })
      } else await this.#writer.drain(true)
      if (!this.#isSuspended) return
      const beginning = { term: grant.term, vote: grant.leaderId, commit: base?.index ?? 0 }
      const hardState = await this.#ports.logStore.renew({ hardState: beginning, base, renewedTo: grant.index })
      // It was stopped, or stopped for good, meanwhile.
      if (!this.#isSuspended) return
      this.#halted = null
      this.#begin({ kind: 'ready', state: this.#state, hardState, base: base ?? { index: 0, term: 0, configuration: emptyConfiguration }, entries: [], renewedTo: grant.index })
    } catch (error) {
      // It is asked for again, and then there may be space.
      if (isFull(error)) this.#ports.log.warn('there is no space to begin the log anew', { error: String(error) })
      else this.#halt('storage', 'the damaged log could not be renewed', error)
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
    await this.#renewing
    // Where a snapshot took the place of the tables, or the node started as diverged, what is in memory is not their state.
    if (!this.#isInstalling && (this.#halted === null || (this.#halted.kind === 'diverged' && this.#node !== null))) await this.#writer.drain(true)
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
      // The log itself looks whole: the finding has to outlive a restart before the leader is asked to forget what this node had.
      this.#suspend(detail, this.#ports.logStore.distrust?.('commit' in message ? message.commit : 0))
    })
  }

  /** A client of this follower waits until the entry is applied there. */
  awaitedBy(follower: RaftId, index: LogIndex): void {
    this.#outbox.expect(follower, index)
  }

  /**
   * Asks for the log to begin behind what is applied now: once that state is synced, and as far as no follower in reach needs more.
   * @returns where that is; `firstIndex` of the core's status tells when it is done
   */
  demandCompaction(): LogIndex {
    const { index, term } = this.#state
    // A snapshot that is being installed takes the place of log and state.
    if (this.#isInstalling) return index
    this.#compaction.demand({ index, term, configuration: this.#configuration })
    this.#history.mark(this.#state, this.#configuration)
    this.#writer.add([], true)
    this.schedule()
    return index
  }

  /** Nobody waits for it any more. */
  dropDemand(): void {
    this.#compaction.demand(null)
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

  /** Of the state: while in doubt nothing is served, stopped is for good and outlives a restart. Null takes a doubt back. */
  diverge(divergence: Divergence | null): void {
    // A snapshot that is being installed takes the place of this state anyway.
    if (!this.isRunning || this.#isInstalling) return
    this.#divergence = divergence
    if (divergence?.phase !== 'stopped') return
    this.#writer.add([divergenceRecord(divergence)], true)
    this.#halt('diverged', divergenceText(divergence), null)
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
    this.#journal.begin(recovered.hardState.term === 0 && recovered.entries.length === 0 && recovered.base.index === 0)
    this.#wordWatch.reset()
    this.#renewedTo = recovered.renewedTo ?? 0
    this.#divergence = null
    this.#isInstalling = false
    this.#node = this.#createNode(recovered)
    this.#node.setElectionPriority(this.priority)
    this.#configuration = this.#node.status().configuration
    this.#trail.reset(this.#state.index, this.#state.digest)
    this.#history.reset(this.#state, this.#configuration)
    this.#cancelTick = this.#ports.clock.every(tickMs, () => this.#tick())
    this.schedule()
  }

  get #isSuspended(): boolean {
    return this.#halted?.kind === 'damaged' && !this.#stopped
  }

  /** The log is damaged: the node takes no part until it may begin anew. */
  #suspend(detail: string, remembered?: Promise<void>): void {
    if (this.#halted !== null) return
    this.#halted = { kind: 'damaged', reason: detail }
    this.#cancelTick?.()
    this.#outbox.stop()
    this.#node = null
    this.#ports.log.warn('the Raft log is damaged; this node does not vote until it has re-synced', { detail })
    const tell = () => this.#isSuspended && this.#listener.halted('damaged', detail, null)
    if (remembered === undefined) tell()
    else remembered.then(tell, (error: unknown) => this.#halt('storage', 'the damage could not be remembered', error))
  }

  #tick(): void {
    this.#disk.look()
    this.#fitness.ticked()
    this.#guard((node) => {
      node.setElectionPriority(this.priority)
      node.tick()
    })
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
    this.#journal.owe(ready.hardState)
    if (ready.snapshot !== null) {
      this.#isInstalling = true
      await this.#install(ready.snapshot, ready.entries)
      if (!this.isRunning) return
      this.#isInstalling = false
    } else if (ready.mustSync) await this.#journal.write({ entries: ready.entries, base: null })
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
    node?.setElectionPriority(this.priority)
    if (node === null || state === 'good') return
    const yielded = yieldLeadership(node, this.#ports.transport)
    if (yielded !== null) this.#ports.log.warn('this node leads no more, for its disk', { disk: state, to: yielded.to })
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
    if (this.#journal.isFresh) {
      // A state beside a log that was never written would look like damage.
      const owed = this.#journal.owed ?? { term, vote: null, commit: 0 }
      await this.#journal.write({ hardState: { ...owed, commit: 0 }, entries: [], base: null })
    }
    const records = [...decoded.image.records, configurationRecord({ index, configuration })]
    await this.#journal.persist('the state could not be replaced', () => this.#writer.replace({ head: decoded.image.head, records }))
    // Where it has come to be suspended meanwhile, the state on disk is not the one in memory.
    if (!this.isRunning) this.#renewalBase = null
    await this.#journal.write({ entries, base: { meta, discardSuffix: true } })
    if (!this.isRunning) return
    this.#state = decoded.state
    this.#divergence = null
    this.#configuration = configuration
    this.#compaction.reset(index)
    this.#trail.reset(index, decoded.state.digest)
    this.#history.reset(decoded.state, configuration)
    this.#listener.replaced(index)
  }

  #apply(node: RaftNode, committed: readonly Entry[]): void {
    const writes: StateWrite[] = []
    let bytes = 0
    for (const entry of committed) {
      const applied = applyEntry(entry, { node, state: this.#state, commands: this.#commands, listener: this.#listener })
      if (applied.kind === 'unknown') {
        this.#halt('unknownCommand', applied.detail, null)
        break
      }
      this.#configuration = applied.configuration ?? this.#configuration
      this.#trail.note(entry.index, this.#state.digest)
      writes.push(...applied.writes)
      bytes += entry.data.length
    }
    if (committed.length === 0) return
    const { index, term } = this.#state
    const isMarked = this.#compaction.applied({ index, term, configuration: this.#configuration, bytes, nowMs: this.#ports.clock.monotonicMs() })
    if (isMarked) this.#history.mark(this.#state, this.#configuration)
    this.#writer.add(writes, isMarked)
  }

  async #compact(node: RaftNode): Promise<void> {
    if (!this.#compaction.isPossible) return
    const { firstIndex, lastIndex, logBytes, progress } = node.status()
    const { demanded } = this.#compaction
    const meta = this.#compaction.due({ firstIndex, lastIndex, logBytes, progress })
    if (meta === null) return
    // The core may have to remember more than that (it was removed, and is needed once more): then the disk has to remember it, too.
    if (node.compact(meta.index) < meta.index) return void (meta === demanded && this.#compaction.demand(meta))
    await this.#journal.write({ entries: [], base: { meta, discardSuffix: false } })
    this.#history.cut(meta.index)
    this.#ports.log.debug('log compacted', { index: meta.index })
  }

  #halt(kind: HaltKind, reason: string, cause: unknown): void {
    if (this.#halted !== null && !this.#isSuspended) return
    this.#halted = { kind, reason }
    this.#cancelTick?.()
    this.#outbox.stop()
    // An entry may be applied in part: its index must not reach the disk. A state that diverged is whole, and is evidence.
    if (kind !== 'diverged') this.#writer.freeze()
    this.#ports.log.error('consensus halted', { kind, reason, cause: cause instanceof Error ? (cause.stack ?? cause.message) : cause })
    this.#listener.halted(kind, reason, cause)
  }
}

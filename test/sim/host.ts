// One simulated host: what survives a power cut (disk, guests' volumes), and the daemon that runs on it, life after life.
import type { Halt } from '../../src/cluster/status.ts'
import { guardLog } from '../../src/db/log-guard.ts'
import { openSegmentLog } from '../../src/db/segment-log.ts'
import { SimDisk, syncTime, type DiskFaults } from '../../src/drivers/sim/disk.ts'
import { SimHypervisor } from '../../src/drivers/sim/hypervisor.ts'
import { SimRelay, type SimRelayWire } from '../../src/drivers/sim/relay.ts'
import { SimMachine } from '../../src/drivers/sim/machine.ts'
import type { SimNetwork } from '../../src/drivers/sim/network.ts'
import { SimLocalStore, SimStateStore } from '../../src/drivers/sim/state-store.ts'
import { SimPool, SimStorage } from '../../src/drivers/sim/storage.ts'
import { OperationalError } from '../../src/model/error.ts'
import type { NodeId } from '../../src/model/id.ts'
import type { NodeLoad } from '../../src/model/node.ts'
import { createNode, type ClusterNode, type NodeOptions } from '../../src/node.ts'
import type { Log } from '../../src/ports/log.ts'
import type { LogStore } from '../../src/ports/log-store.ts'
import type { Message } from '../../src/raft/types.ts'
import type { Member } from '../../src/ports/transport.ts'
import { CrashDisk } from '../unit/db/crash-disk.ts'
import type { EventQueue } from './event-queue.ts'
import { LogWatch } from './log-watch.ts'
import { SimClock } from './sim-clock.ts'
import type { SimRandom } from './sim-random.ts'
import { createSimVault } from './sim-vault.ts'
import type { Turns } from './turns.ts'

/** What a seed chooses for all of its nodes. */
export type HostOptions = NonNullable<NodeOptions['cluster']> & { readonly fsyncDelayMs: number; readonly segmentBytesMax: number }
export type HostParts = { readonly queue: EventQueue; readonly turns: Turns; readonly network: SimNetwork; readonly relays: SimRelayWire; readonly random: SimRandom; readonly log: Log }
export type HostEvents = {
  /** A daemon is about to start: the checker begins to follow it. */
  readonly starting: (host: SimHost, node: ClusterNode) => void
  readonly started: (host: SimHost, node: ClusterNode) => void
  /** A message left before what it promises was durable. */
  readonly broken: (host: SimHost, what: string) => void
  readonly halted: (host: SimHost, halt: Halt) => void
  /** Another host got its vote. */
  readonly voted: (host: SimHost) => void
  readonly sendsSnapshot: (host: SimHost, to: string) => void
  /** All of a guest has come in from another host, which does not know that yet. */
  readonly guestArrived: (host: SimHost, vmId: string) => void
}

const load: NodeLoad = {
  cpuRatio: 0.1, memoryUsedBytes: 2 ** 30, memoryTotalBytes: 2 ** 35, storageUsedBytes: 2 ** 30, storageTotalBytes: 2 ** 40, loopDelayMs: 1, uptimeSeconds: 1,
}

export class SimHost {
  readonly nodeId: NodeId
  readonly name: string
  /** State tables and local store; the Raft log is the real one, on files that lose, tear and spoil. */
  readonly disk: SimDisk
  readonly logDisk: CrashDisk
  readonly logWatch: LogWatch
  readonly machine: SimMachine
  readonly pool = new SimPool()
  #relay: SimRelay | null = null
  #hypervisor: SimHypervisor | null = null
  readonly #options: HostOptions
  readonly #parts: HostParts
  readonly #events: HostEvents
  /** Whom the daemon dials until its state tells the members. */
  members: readonly Member[] = []
  node: ClusterNode | null = null
  /** Up and through with starting. */
  isServing = false
  /** Its log is of no use any more: out of the cluster for good. */
  isDamaged = false
  /** As its daemon announces it; a rolling upgrade raises it. */
  version = '0.1.0'
  /** Lost for good, or not there yet: nothing boots it. */
  isGone = false
  /** Its commit index when it was last elected: beyond it, it commits by counting. */
  commitAtElection = 0
  /** Told when the daemon is gone: connections to it break. */
  readonly onDeath = new Set<() => void>()
  /** Set when vCPUs began or ended to execute; whoever looks clears it. */
  executionChanged = false
  /** The daemon's own clock; the machine has its own. */
  clock: SimClock
  #skewMs = 0
  #started: Promise<void> = Promise.resolve()
  #isStopping = false
  /** By term, over all its lives. */
  readonly #votes = new Map<number, string>()
  /** Rises with every start; what belongs to an earlier life is over. */
  life = 0

  constructor(options: HostOptions & { readonly nodeId: NodeId; readonly name: string }, parts: HostParts, events: HostEvents) {
    this.nodeId = options.nodeId
    this.name = options.name
    this.#options = options
    this.#parts = parts
    this.#events = events
    this.clock = new SimClock(parts.queue)
    this.disk = new SimDisk({ random: parts.random.fork() })
    this.disk.faults.fsyncDelayMs = options.fsyncDelayMs
    const chance = parts.random.fork()
    this.logDisk = new CrashDisk((bound) => chance.integer(bound))
    this.logWatch = new LogWatch((what) => events.broken(this, what))
    this.machine = watchExecution(new SimMachine({ clock: new SimClock(parts.queue), random: parts.random.fork() }), () => {
      this.executionChanged = true
    })
    const complete = this.machine.complete.bind(this.machine)
    this.machine.complete = (vmId) => {
      const isWhole = complete(vmId)
      if (isWhole) events.guestArrived(this, vmId)
      return isWhole
    }
  }

  get calmFsyncDelayMs(): number {
    return this.#options.fsyncDelayMs
  }

  /** Synced to this host's log, or behind its beginning: also what was harmed since. */
  holdsDurably(index: number, term: number): boolean {
    return this.logWatch.holds(index, term)
  }

  get lastDurableTerm(): number {
    return this.logWatch.lastTerm
  }

  get isUp(): boolean {
    return this.node !== null
  }

  get peerId(): string {
    return `peer-${this.name}-${this.nodeId.slice(-12)}`
  }

  /** The daemon starts, as after a boot or a restart by its supervisor. */
  boot(options: { readonly bootstrap: boolean }): void {
    if (this.node !== null) throw new Error(`${this.name} is up already`)
    const { queue, network, random, log } = this.#parts
    this.life += 1
    const { life } = this
    this.clock = new SimClock(queue, this.#skewMs)
    const { clock, disk, machine } = this
    const own = random.fork()
    const local = new SimLocalStore({ disk, clock })
    const hypervisor = new SimHypervisor({ machine }, { epochs: local, clock, random: own })
    this.#hypervisor = hypervisor
    const storage = new SimStorage({ clock, random: own, pool: this.pool })
    const relay = new SimRelay({ nodeId: this.nodeId, machine, wire: this.#parts.relays }, { clock })
    this.#relay = relay
    const ports = {
      clock, random: own, log, hypervisor, storage, relay, vault: createSimVault(own), probe: { load: async () => load },
      logStore: this.#openLog(local, clock), stateStore: new SimStateStore({ disk, clock }), ...network.endpoint(this.nodeId, clock),
    }
    const send = ports.transport.send.bind(ports.transport)
    ports.transport.send = (message, onSnapshotSent) => {
      this.#checkPromise(message)
      send(message, onSnapshotSent)
      if (message.kind === 'snapshot') this.#events.sendsSnapshot(this, message.to)
      if (message.kind === 'voteResponse' && !message.reject) this.#events.voted(this)
    }
    const node = createNode(
      {
        nodeId: this.nodeId, version: this.version, peerAddress: `${this.name}:7000`, httpAddress: `${this.name}:8443`, members: this.members,
        cluster: this.#options, onHalted: (halt) => this.#events.halted(this, halt),
      },
      ports,
    )
    this.node = node
    this.#events.starting(this, node)
    this.#isStopping = false
    // As the daemon says it from its membership file, which is written before the node first takes part.
    this.#started = node.start({ ...options, resumes: life > 1 })
    this.#started.then(
      () => {
        if (this.life !== life) return
        this.isServing = !this.#isStopping
        this.#events.started(this, node)
      },
      (error: unknown) => {
        const kind = error instanceof OperationalError && (error.code === 'STORAGE_FAILED' || error.code === 'STORAGE_FULL') ? 'storage' : 'assertion'
        if (this.life === life) this.#events.halted(this, { kind, reason: `the node did not start: ${String(error)}`, cause: error })
      },
    )
  }

  /** The store of the daemon, wired as the daemon does, with files that take the disk's time. */
  #openLog(local: SimLocalStore, clock: SimClock): LogStore {
    const { logDisk, disk, life } = this
    logDisk.syncing = () => syncTime(disk.faults, clock)
    const store = openSegmentLog({ directory: 'raft', segmentBytesMax: this.#options.segmentBytesMax, later: (ms, action) => clock.after(ms, action), soon: (action) => this.#parts.turns.soon(action) }, logDisk)
    return this.logWatch.around(guardLog(store, local), () => this.life === life)
  }

  /** Plain knobs of both parts of the disk. */
  setDiskFaults(faults: Partial<Pick<DiskFaults, 'fsyncFails' | 'full' | 'hung'>>): void {
    Object.assign(this.disk.faults, faults)
    this.logDisk.syncsFail = this.disk.faults.fsyncFails
    this.logDisk.bytesFree = this.disk.faults.full ? 0 : Infinity
  }

  /** Votes and acknowledgements are promises: what they promise has to be durable before they leave (figure 2 of the Raft paper). */
  #checkPromise(message: Message): void {
    const hardState = this.logWatch.content?.hardState ?? { term: 0, vote: null }
    const last = this.logWatch.lastIndex
    if (message.kind === 'appendResponse' && !message.reject && (last < message.index || hardState.term < message.term)) {
      this.#events.broken(this, `acknowledges ${message.index} of term ${message.term}, its disk ends at ${last} of term ${hardState.term}`)
    }
    if (message.kind === 'appendResponse' && !message.reject) this.logWatch.promise(message.term, message.index)
    const voted = message.kind === 'vote' ? this.nodeId : message.kind === 'voteResponse' && !message.reject ? message.to : null
    if (voted === null) return
    const former = this.#votes.get(message.term)
    if (former !== undefined && former !== voted) this.#events.broken(this, `votes for ${former} and for ${voted} in term ${message.term}`)
    this.#votes.set(message.term, voted)
    if (hardState.term > message.term) return
    if (hardState.term < message.term || hardState.vote !== voted) {
      this.#events.broken(this, `votes for ${voted} in term ${message.term}, its disk says ${String(hardState.vote)} in term ${hardState.term}`)
    }
  }

  /** Somebody sets the host's wall clock. */
  setSkew(skewMs: number): void {
    this.#skewMs = skewMs
    this.clock.setSkew(skewMs)
  }

  /** The daemon is asked to stop (SIGTERM). */
  stopDaemon(): void {
    const { node, life } = this
    if (node === null) return
    this.isServing = false
    this.#isStopping = true
    // The daemon has no ear for it until it has started; that it could not was told already.
    this.#started.then(() => (this.life === life ? node.stop() : undefined), () => undefined).then(
      () => {
        if (this.life === life) this.killDaemon()
      },
      (error: unknown) => {
        if (this.life === life && node.cluster.status().halted === null) this.#events.halted(this, { kind: 'assertion', reason: `the node did not stop: ${String(error)}`, cause: error })
      },
    )
  }

  /** The daemon dies (SIGKILL); guests and page cache go on. What the state tables had not synced is lost all the same: the harder case. */
  killDaemon(): void {
    if (this.node === null) return
    this.logDisk.kill()
    this.life += 1
    this.node = null
    this.isServing = false
    this.clock.kill()
    this.#parts.network.crash(this.nodeId)
    this.disk.crash()
    this.#hypervisor?.detach()
    this.#relay?.die()
    for (const died of this.onDeath) died()
    this.onDeath.clear()
  }

  /** The power goes: the daemon and every guest. */
  cutPower(): void {
    this.killDaemon()
    this.logDisk.crash()
    this.machine.powerOff()
  }
}

/** Calls back after everything that may begin or end the execution of vCPUs, so that nobody has to look all the time. */
function watchExecution(machine: SimMachine, changed: () => void): SimMachine {
  for (const name of ['boot', 'setPaused', 'guestPowerOff', 'crash', 'destroy', 'powerOff'] as const) {
    const original = machine[name].bind(machine) as (...args: unknown[]) => void
    Object.defineProperty(machine, name, {
      value: (...args: unknown[]) => {
        original(...args)
        changed()
      },
    })
  }
  return machine
}

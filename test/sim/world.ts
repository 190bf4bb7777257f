// The simulated world: hosts on one network and one time line, what must hold in it, and the loop that lets it happen.
import { createHash } from 'node:crypto'
import { emptyConfiguration, majorityHas, type Halt } from '../../src/cluster/status.ts'
import { SimNetwork } from '../../src/drivers/sim/network.ts'
import { SimRelayWire } from '../../src/drivers/sim/relay.ts'
import { makeCommand, type Command } from '../../src/model/command.ts'
import { featureLevel } from '../../src/model/feature-level.ts'
import { OperationalError } from '../../src/model/error.ts'
import { uuidV7, type NodeId } from '../../src/model/id.ts'
import { joinProofText } from '../../src/model/node-proof.ts'
import type { JoinRequest } from '../../src/model/join.ts'
import type { Log, LogFields } from '../../src/ports/log.ts'
import type { ClusterNode } from '../../src/node.ts'
import { votersWanted } from '../../src/planner/membership.ts'
import type { Configuration } from '../../src/raft/types.ts'
import type { Caller } from '../../src/app/face.ts'
import { Checker } from './checker.ts'
import { EventQueue } from './event-queue.ts'
import { SimHost, type HostOptions } from './host.ts'
import { Patience } from './patience.ts'
import { SimClock } from './sim-clock.ts'
import { SimRandom } from './sim-random.ts'
import { createSimVault } from './sim-vault.ts'
import { Turns } from './turns.ts'

/** Everything that waits is bounded; these are far above what a healthy run needs. */
const queueMax = 20_000
const proposalsMax = 500
const lookEveryEvents = 64
const waitsEveryEvents = 256

export class World {
  readonly queue = new EventQueue()
  readonly #turns = new Turns()
  readonly random: SimRandom
  readonly clock: SimClock
  readonly network: SimNetwork
  readonly relays: SimRelayWire
  readonly checker = new Checker()
  readonly hosts: SimHost[] = []
  readonly onNote: ((note: string) => void) | undefined
  events = 0
  snapshots = 0
  vmStarts = 0
  vmStops = 0
  readonly #hostOptions: HostOptions
  #executing: ReadonlySet<string> = new Set()
  /** Set by faults: halts that they explain. */
  readonly excused = new Set<string>()
  /** A host whose daemon ended by itself is started again, as systemd would; false ends that. */
  supervises = true
  /** This seed may lose a host for good. */
  mayLoseHost = false
  /** Asked by faults that want writes at a node. */
  flood: ((host: SimHost) => void) | null = null
  /** Asked by faults that want the registers' clients to turn to one node all at once. */
  crowd: ((host: SimHost, what: 'readsAndWrites' | 'reads') => void) | null = null
  /** Told of every entry, by the first host that applies it. */
  onApplied: ((host: SimHost, index: number) => void) | null = null
  /** Set by faults that wait for a leader. */
  readonly leaderHunters = new Set<(host: SimHost) => void>()
  /** For those that wait for a voter, for a snapshot on its way to somebody, or for a guest that has just come over. */
  readonly voterHunters = new Set<(host: SimHost) => void>()
  readonly snapshotHunters = new Set<(to: SimHost) => void>()
  readonly moveHunters = new Set<(target: SimHost, vmId: string) => void>()
  readonly #patience = new Patience()

  constructor(options: { readonly seed: number; readonly onNote?: ((note: string) => void) | undefined }) {
    this.onNote = options.onNote
    this.random = new SimRandom(options.seed, 0x6e6f7661)
    this.#hostOptions = drawHostOptions(this.random)
    this.checker.onLeads = (name) => {
      const host = this.hosts.find((each) => each.name === name)
      if (host === undefined) return
      host.commitAtElection = host.node?.cluster.status().commit ?? 0
      for (const hunter of this.leaderHunters) hunter(host)
    }
    this.clock = new SimClock(this.queue)
    this.relays = new SimRelayWire({ clock: this.clock, random: this.random.fork(), passes: (from, to) => this.network.passes(from, to) })
    this.network = new SimNetwork({ clock: this.clock, random: this.random.fork(), onHandlerError: (error) => this.checker.violate(`a handler failed: ${describe(error)}`) })
  }

  note(text: string): void {
    this.checker.note(text)
    this.onNote?.(`${(this.queue.nowMs / 1000).toFixed(3).padStart(9)}  ${text}`)
  }

  addHost(): SimHost {
    const name = `n${this.hosts.length + 1}`
    const nodeId = this.newId() as NodeId
    const host = new SimHost({ ...this.#hostOptions, nodeId, name }, { queue: this.queue, turns: this.#turns, network: this.network, relays: this.relays, random: this.random.fork(), log: this.#log(name) }, {
      starting: (each, node) => this.#starting(each, node),
      started: (each, node) => {
        this.checker.restored(each.name, node.cluster)
        this.note(`${each.name} serves at ${node.cluster.state.index}`)
      },
      broken: (each, what) => this.checker.violate(`${each.name} ${what}`),
      halted: (each, halt) => this.#halted(each, halt),
      voted: (each) => {
        for (const hunter of this.voterHunters) hunter(each)
      },
      sendsSnapshot: (each, to) => {
        this.#patience.imageSent(each.name, to)
        const receiver = this.hosts.find(({ nodeId }) => nodeId === to)
        for (const hunter of this.snapshotHunters) if (receiver !== undefined) hunter(receiver)
      },
      guestArrived: (target, vmId) => {
        for (const hunter of this.moveHunters) hunter(target, vmId)
      },
    })
    host.logWatch.onAppended = (entries, previousTerm) => this.checker.appended(name, entries, previousTerm)
    host.logWatch.onCut = (cut) => {
      const lost = cut.find(({ index, term }) => this.checker.termAt(index) === term)
      if (lost !== undefined) this.checker.violate(`${name} cuts entry ${lost.index} of term ${lost.term} off its log, which is committed`)
    }
    this.hosts.push(host)
    return host
  }

  newId(): string {
    return uuidV7(this.clock.nowMs(), this.random.bytes(10))
  }

  get serving(): readonly SimHost[] {
    return this.hosts.filter((host) => host.isServing && host.node?.cluster.status().halted === null)
  }

  get leader(): SimHost | undefined {
    return this.serving.find((host) => host.node?.cluster.status().role === 'leader')
  }

  /** Boots a host that is down. */
  boot(host: SimHost, options: { readonly bootstrap: boolean } = { bootstrap: false }): void {
    if (host.isUp || host.isGone) return
    this.note(`${host.name} boots`)
    host.boot(options)
  }

  /** Time passes until `untilMs`, or until `isOver`; stops at the first violation. */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#turns.next()
    while (this.checker.violation === null && !isOver()) {
      const action = this.queue.next(untilMs)
      if (action === null) return
      action()
      this.events += 1
      await this.#turns.next()
      this.#checkOwners()
      if (this.events % lookEveryEvents === 0) this.#checkBounds()
      if (this.events % waitsEveryEvents === 0) this.#checkWaits()
    }
  }

  /** Time passes until it holds; a violation where it does not within the limit. */
  async until(what: string | (() => string), limitMs: number, holds: () => boolean): Promise<void> {
    await this.run(this.queue.nowMs + limitMs, holds)
    if (this.checker.violation === null && !holds()) this.checker.violate(`within ${limitMs / 1000} s it did not come to: ${typeof what === 'string' ? what : what()}`)
  }

  /** Time passes until the promise settles. @throws what it rejects with */
  async settle<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
    let isSettled = false
    const settled = promise.finally(() => {
      isSettled = true
    })
    settled.catch(() => undefined)
    await this.until(what, limitMs, () => isSettled)
    if (!isSettled) throw new Error(`not settled: ${what}`)
    return await settled
  }

  /** vCPUs of one VM on two hosts would write over one another's disk. */
  #checkOwners(): void {
    if (!this.hosts.some((host) => host.executionChanged)) return
    const owner = new Map<string, SimHost>()
    for (const host of this.hosts) {
      host.executionChanged = false
      for (const vmId of host.machine.runningVcpus()) {
        const other = owner.get(vmId)
        if (other !== undefined) this.checker.violate(`VM ${vmId} executes on ${other.name} and on ${host.name}`)
        owner.set(vmId, host)
      }
    }
    for (const vmId of owner.keys()) if (!this.#executing.has(vmId)) this.vmStarts += 1
    for (const vmId of this.#executing) if (!owner.has(vmId)) this.vmStops += 1
    this.#executing = new Set(owner.keys())
  }

  /**
   * From here on what is committed has to be on a majority of the voters' disks, both majorities while joint. An entry that changes the voters is
   * committed under the former configuration (statement 29), and what comes right after it may be.
   */
  watchDurability(): void {
    let [former, current] = [this.#configurationOf(this.hosts[0]), this.#configurationOf(this.hosts[0])]
    this.checker.onCommitted = ({ index, term, nodeId }) => {
      const host = this.hosts.find((each) => each.name === nodeId)
      if (host !== undefined) this.onApplied?.(host, index)
      const status = host?.node?.cluster.status()
      if (host === undefined || status === undefined) return
      const isChange = JSON.stringify(status.configuration) !== JSON.stringify(current)
      if (isChange) [former, current] = [current, status.configuration]
      const isMajority = (holds: (voter: SimHost) => boolean): boolean => {
        const holders = new Set<string>(this.hosts.filter(holds).map((each) => each.nodeId))
        return majorityHas(former, (id) => holders.has(id)) || (!isChange && majorityHas(current, (id) => holders.has(id)))
      }
      if (!isMajority((voter) => voter.holdsDurably(index, term))) this.checker.violate(`entry ${index} was committed by ${nodeId}, but is not durable on a majority`)
      // §5.4.2 of the Raft paper: a leader commits earlier terms' entries only together with one of its own.
      const isByCounting = status.role === 'leader' && term < status.term && index > host.commitAtElection
      if (isByCounting && !isMajority((voter) => voter.lastDurableTerm === status.term)) {
        this.checker.violate(`entry ${index} of term ${term} was committed by ${nodeId}, leader of term ${status.term}, before an entry of that term`)
      }
    }
  }

  #configurationOf(host: SimHost | undefined): Configuration {
    return host?.node?.cluster.status().configuration ?? emptyConfiguration
  }

  #checkBounds(): void {
    if (this.queue.size > queueMax) this.checker.violate(`${this.queue.size} events are planned`)
    for (const { name, node } of this.hosts) {
      if (node === null) continue
      const { proposals, reads } = node.cluster.waiting()
      if (proposals > proposalsMax || reads > proposalsMax) this.checker.violate(`${name} has ${proposals} proposals and ${reads} reads waiting`)
      if (node.vmController.pending > proposalsMax) this.checker.violate(`${name} has ${node.vmController.pending} keys to reconcile`)
    }
  }

  #checkWaits(): void {
    for (const host of this.serving) {
      const overdue = this.#patience.look(host)
      if (overdue !== null) this.checker.violate(overdue)
    }
  }

  /** Every command of a node, its controllers' too, is checked for what its proposer was told. */
  #starting(host: SimHost, node: ClusterNode): void {
    const { cluster } = node
    this.checker.follow(host.name, cluster)
    const propose = cluster.propose.bind(cluster)
    const { life } = host
    cluster.propose = async (command: Command, options) => {
      try {
        const result = await propose(command, options)
        if (host.life !== life) return result
        const index = result.kind === 'done' ? result.index : 0
        this.checker.answered(command.id, { kind: 'acknowledged', index, refused: result.kind === 'refused' })
        return result
      } catch (error) {
        if (host.life === life) this.checker.failed(command.id, error)
        throw error
      }
    }
    cluster.watch((event) => {
      if (event.kind === 'replaced') this.snapshots += 1
    })
  }

  #halted(host: SimHost, halt: Halt): void {
    this.note(`${host.name} halts: ${halt.kind} ${halt.reason}`)
    const isExcused = (halt.kind === 'storage' && this.excused.has(host.name)) || (halt.kind === 'damaged' && host.logWatch.isHarmed)
    if (!isExcused) {
      this.checker.violate(`${host.name} halted: ${halt.kind}: ${halt.reason}: ${describe(halt.cause)}`)
      return
    }
    if (halt.kind === 'damaged') host.isDamaged = true
    if (halt.kind !== 'storage') return
    // The process exits; its supervisor starts it again.
    this.clock.after(1, () => host.killDaemon())
    const again = (): void => {
      if (this.supervises) this.boot(host)
    }
    this.clock.after(this.random.between(1000, 3000), again)
  }

  #log(name: string): Log {
    const say = (level: string, message: string, fields: LogFields = {}): void => {
      if (this.onNote !== undefined) this.onNote(`${(this.queue.nowMs / 1000).toFixed(3).padStart(9)}    ${name} ${level} ${message} ${JSON.stringify(fields)}`)
    }
    const log: Log = {
      debug: () => undefined,
      info: (message, fields) => say('info', message, fields),
      warn: (message, fields) => say('warn', message, fields),
      error: (message, fields) => {
        say('error', message, fields)
        if (message !== 'consensus halted') this.checker.violate(`${name} logged an error: ${message} ${JSON.stringify(fields)}`)
      },
      child: () => log,
    }
    return log
  }
}

/** Forms the cluster as `cluster init` and `cluster join` do; resolves when every node is a ready member. */
export async function formCluster(world: World, count: number): Promise<Caller> {
  const hosts = Array.from({ length: count }, () => world.addHost())
  const first = hosts[0] as SimHost
  const clusterKey = world.random.bytes(32)
  const sealed = (purpose: string): string => JSON.stringify([purpose, Buffer.from(purpose).toString('base64url')])
  const adminId = world.newId()
  world.boot(first, { bootstrap: true })
  await world.until('the first node leads', 5000, () => world.leader === first)
  const node = first.node as ClusterNode
  const payload = {
    clusterId: world.newId(), name: 'sim', caCertificate: 'certificate of sim', caKeySealed: sealed('novacron/ca-key'), sessionKeySealed: sealed('novacron/session-key'),
    node: { id: first.nodeId, name: first.name, peerId: first.peerId, wrapKey: wrapKey(first), wrappedClusterKey: Buffer.from(clusterKey).toString('base64url') },
    admin: { id: adminId, name: 'admin', passwordHash: 'sim:password' },
    token: { id: world.newId(), name: 'first', secretHash: 'none' },
  }
  const init = makeCommand('cluster.init', { id: world.newId(), actor: { kind: 'system', id: 'init', name: 'init', address: '' } }, payload as never)
  await world.settle('the cluster is formed', 5000, node.cluster.propose(init))
  const caller: Caller = { actor: { kind: 'user', id: adminId, name: 'admin', address: '' }, userId: adminId, userName: 'admin', bindings: [{ role: 'administrator', scope: '*' }], session: null }
  await world.until('the first node has announced itself', 10_000, () => node.cluster.state.tables.node.get(first.nodeId)?.announcement !== null)
  for (const host of hosts.slice(1)) {
    await world.settle('the node is admitted', 10_000, joinHost(world, caller, host, first))
  }
  const isWhole = (): boolean => hosts.every((host) => host.isServing && hosts.every((other) => other.nodeId === host.nodeId || host.node?.cluster.state.tables.node.has(other.nodeId))) && hasItsVoters(first, count)
  await world.until('every node is a member', 60_000, isWhole)
  await world.until('every node is ready', 60_000, () => hosts.every((host) => host.node?.app.readiness() === null))
  world.watchDurability()
  return caller
}

/** Admits a host by a member that serves, as `cluster join` does, and boots it. */
export async function joinHost(world: World, caller: Caller, host: SimHost, by: SimHost): Promise<void> {
  const { app } = by.node as ClusterNode
  const options = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
  const made = await app.membership.createJoinToken(caller, {}, options)
  if ('dryRun' in made) throw new Error('a dry run')
  const { token } = made
  const request = {
    node: { id: host.nodeId, name: host.name, peerId: host.peerId, wrapKey: wrapKey(host) }, tlsPublicKeyPem: 'key', names: [host.name], addresses: [],
    announcement: {
      version: '0.1.0', featureLevel, peerAddress: `${host.name}:7000`, httpAddress: `${host.name}:8443`, accelerator: 'simulated', hypervisor: 'simulated',
      capacity: { cpus: 8, memoryMiB: 32_768, storageBytes: 2 ** 40 },
    },
  }
  const vault = createSimVault(world.random)
  const proof = vault.signAsNode(joinProofText(vault.parseJoinToken(token).t, request as unknown as JoinRequest))
  const answer = (await app.membership.admit(token, { ...request, proof }, '')) as { readonly members: SimHost['members'] }
  host.members = answer.members
  host.isGone = false
  world.boot(host)
}

function wrapKey(host: SimHost): string {
  return createHash('sha256').update(host.name).digest('base64url')
}

/** Small bounds, so that compaction, snapshots, paging and flow control happen all the time. */
function drawHostOptions(random: SimRandom): HostOptions {
  return {
    fsyncDelayMs: random.pick([0.2, 0.2, 2, 10]),
    segmentBytesMax: random.pick([4096, 16_384, 65_536]),
    compaction: { entriesMax: random.pick([40, 120, 400]), bytesMax: 256 * 1024 },
    raft: {
      messageBytesMax: random.pick([1, 1, 1024, 1024 * 1024]),
      inflightMessagesMax: random.pick([1, 4, 256]),
      committedBytesMax: random.pick([1, 2048, 4 * 1024 * 1024]),
    },
  }
}

function hasItsVoters(host: SimHost, count: number): boolean {
  const { voters = [], votersOutgoing = [] } = host.node?.cluster.status().configuration ?? {}
  return voters.length === votersWanted(count, count) && votersOutgoing.length === 0
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const text = error instanceof OperationalError ? `${error.code}: ${error.message}` : (error.stack ?? error.message)
  return error.cause === undefined ? text : `${text}\ncaused by ${describe(error.cause)}`
}

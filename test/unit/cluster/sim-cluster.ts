// A cluster of engines on simulated ports in this process, for tests: no VMs, no faces, only consensus and state.
import { Cluster, type ClusterOptions } from '../../../src/cluster/cluster.ts'
import type { Halt } from '../../../src/cluster/status.ts'
import { SimDisk } from '../../../src/drivers/sim/disk.ts'
import { SimLogStore } from '../../../src/drivers/sim/log-store.ts'
import { SimNetwork } from '../../../src/drivers/sim/network.ts'
import { SimStateStore } from '../../../src/drivers/sim/state-store.ts'
import { uuidV7, type NodeId } from '../../../src/model/id.ts'
import type { Log } from '../../../src/ports/log.ts'
import type { Member, Transport } from '../../../src/ports/transport.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { SimRandom } from '../../sim/sim-random.ts'

export type SimNode = {
  readonly nodeId: NodeId
  readonly disk: SimDisk
  cluster: Cluster
  clock: SimClock
  transport: Transport
  readonly halts: Halt[]
}

export class SimCluster {
  readonly queue = new EventQueue()
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly nodes: SimNode[] = []
  /** What was logged as information, by all nodes. */
  readonly said: { readonly message: string; readonly fields: unknown }[] = []
  readonly #options: Partial<ClusterOptions>
  readonly #errors: unknown[] = []

  constructor(options: Partial<ClusterOptions> & { readonly seed?: number } = {}) {
    const { seed = 1, ...rest } = options
    this.#options = rest
    this.random = new SimRandom(seed)
    this.network = new SimNetwork({ clock: new SimClock(this.queue), random: this.random.fork(), onHandlerError: (error) => this.#errors.push(error) })
  }

  /** A cluster of `count` voters that has a leader, the first node. */
  static async formed(count: number, options: Partial<ClusterOptions> & { readonly seed?: number } = {}): Promise<SimCluster> {
    const sim = new SimCluster(options)
    for (let at = 0; at < count; at += 1) sim.add()
    await sim.boot(sim.node(0), { bootstrap: true })
    await sim.runFor(100)
    for (const node of sim.nodes.slice(1)) {
      await sim.boot(node)
      await sim.runFor(200)
      await sim.settle(sim.node(0).cluster.changeConfiguration({ transition: 'auto', steps: [{ kind: 'addVoter', id: node.nodeId }] }))
    }
    await sim.runFor(500)
    return sim
  }

  node(at: number): SimNode {
    const node = this.nodes[at]
    if (node === undefined) throw new RangeError(`there is no node ${at}`)
    return node
  }

  get leader(): SimNode | undefined {
    return this.nodes.find((node) => node.cluster.status().role === 'leader' && node.cluster.status().halted === null && this.network.find(node.nodeId) !== undefined)
  }

  add(): SimNode {
    const nodeId = uuidV7(1_767_225_600_000 + this.nodes.length, this.random.bytes(10)) as NodeId
    const disk = new SimDisk({ random: this.random.fork() })
    const halts: Halt[] = []
    const node: SimNode = { nodeId, disk, halts, ...this.#process(nodeId, disk, halts) }
    this.nodes.push(node)
    return node
  }

  async boot(node: SimNode, options: { readonly bootstrap?: boolean; readonly resumes?: boolean } = {}): Promise<void> {
    Object.assign(node, this.#process(node.nodeId, node.disk, node.halts))
    const { message, request, disconnected } = node.cluster.handle()
    await this.settle(node.cluster.start({ bootstrap: options.bootstrap ?? false, resumes: options.resumes ?? false }))
    const members: Member[] = this.nodes.map(({ nodeId }) => ({ nodeId, name: nodeId, peerId: nodeId, address: nodeId }))
    for (const other of this.nodes) other.transport.setMembers(members)
    await node.transport.start({ message, request, disconnected, connected: () => undefined })
  }

  /** The power goes: only what was synced is sure to be there at the next boot. */
  crash(node: SimNode): void {
    node.clock.kill()
    this.network.crash(node.nodeId)
    node.disk.crash()
  }

  /** Simulated time passes. */
  async runFor(durationMs: number): Promise<void> {
    await this.#run(this.queue.nowMs + durationMs, () => false)
  }

  /** The next `count` things happen. */
  async steps(count: number): Promise<void> {
    let left = count
    await this.#run(Infinity, () => left-- <= 0)
  }

  /** Time passes until `holds`, at most so long. */
  async until(holds: () => boolean, limitMs = 10_000): Promise<void> {
    await this.#run(this.queue.nowMs + limitMs, holds)
    if (!holds()) throw new Error(`it did not come to hold within ${limitMs} ms: ${holds.toString()}`)
  }

  /** Time passes until the promise settles. */
  async settle<T>(promise: Promise<T>, limitMs = 10_000): Promise<T> {
    let done = false
    const settled = promise.finally(() => {
      done = true
    })
    settled.catch(() => undefined)
    await drain()
    await this.until(() => done, limitMs)
    return await settled
  }

  async #run(untilMs: number, isOver: () => boolean): Promise<void> {
    await drain()
    while (!isOver()) {
      const action = this.queue.next(untilMs)
      if (action === null) break
      action()
      await drain()
      if (this.#errors.length > 0) throw this.#errors[0]
    }
  }

  #process(nodeId: NodeId, disk: SimDisk, halts: Halt[]): Pick<SimNode, 'cluster' | 'clock' | 'transport'> {
    const clock = new SimClock(this.queue)
    const { transport } = this.network.endpoint(nodeId, clock)
    const log: Log = { ...silentLog, info: (message, fields) => void this.said.push({ message, fields }) }
    const ports = { clock, random: this.random, transport, log, logStore: new SimLogStore({ disk, clock }), stateStore: new SimStateStore({ disk, clock }) }
    return { clock, transport, cluster: new Cluster({ ...this.#options, nodeId, onHalted: (halt) => halts.push(halt) }, ports) }
  }
}

/** Everything that can happen without time passing has happened when it resolves. */
export function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

const silentLog: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => silentLog }

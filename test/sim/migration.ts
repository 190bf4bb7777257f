// Migrations under faults: brings an operation to a step of the table, lets a fault happen there, heals, and looks whether all is as it has to be.
import type { Caller } from '../../src/app/face.ts'
import type { StoredOperation } from '../../src/model/operation.ts'
import { isOnItsWay } from '../../src/model/vm.ts'
import { isMove, stepsOf } from '../../src/state/migration.ts'
import type { State } from '../../src/state/state.ts'
import type { SimHost } from './host.ts'
import { formCluster, type World } from './world.ts'

export type Point = { readonly step: string; readonly direction: 'forward' | 'back' }
type Strike = (world: World, parties: { readonly source: SimHost; readonly target: SimHost; readonly vmId: string }) => () => void

const takeDown = (host: SimHost, world: World, how: 'killDaemon' | 'cutPower'): (() => void) => {
  host[how]()
  return () => world.boot(host)
}
const dropService = (host: SimHost): (() => void) => {
  host.machine.setReachable(false)
  return () => host.machine.setReachable(true)
}
const freezeService = (host: SimHost): (() => void) => {
  host.machine.setFrozen(true)
  return () => host.machine.setFrozen(false)
}
const crash = (host: SimHost, vmId: string): (() => void) => {
  host.machine.crash(vmId)
  return () => undefined
}

/** What may happen at each step; each returns how it is healed. */
export const strikes = {
  sourceDaemon: (world, { source }) => takeDown(source, world, 'killDaemon'),
  targetDaemon: (world, { target }) => takeDown(target, world, 'killDaemon'),
  sourcePower: (world, { source }) => takeDown(source, world, 'cutPower'),
  targetPower: (world, { target }) => takeDown(target, world, 'cutPower'),
  sourceLibvirt: (_world, { source }) => dropService(source),
  targetLibvirt: (_world, { target }) => dropService(target),
  sourceLibvirtHangs: (_world, { source }) => freezeService(source),
  targetLibvirtHangs: (_world, { target }) => freezeService(target),
  sourceQemu: (_world, { source, vmId }) => crash(source, vmId),
  targetQemu: (_world, { target, vmId }) => crash(target, vmId),
  leader: (world) => {
    const { leader } = world
    return leader === undefined ? () => undefined : takeDown(leader, world, 'killDaemon')
  },
  link: (world, { source, target }) => {
    world.network.cut(source.nodeId, target.nodeId)
    world.network.cut(target.nodeId, source.nodeId)
    return () => world.network.heal()
  },
  sourceCutOff: (world, { source }) => {
    world.network.partition([[source.nodeId]])
    return () => world.network.heal()
  },
  targetCutOff: (world, { target }) => {
    world.network.partition([[target.nodeId]])
    return () => world.network.heal()
  },
} as const satisfies Record<string, Strike>
export type StrikeName = keyof typeof strikes

const callOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0 }
const options = () => ({ ...callOptions, signal: new AbortController().signal })

export class Bench {
  readonly world: World
  #caller: Caller | null = null

  constructor(world: World) {
    this.world = world
  }

  async form(): Promise<void> {
    this.#caller = await formCluster(this.world, 3)
  }

  get caller(): Caller {
    if (this.#caller === null) throw new Error('no cluster was formed')
    return this.#caller
  }

  get state(): State {
    const states = this.world.serving.map((host) => host.node!.cluster.state)
    const latest = states.toSorted((left, right) => right.index - left.index)[0]
    if (latest === undefined) throw new Error('nobody serves')
    return latest
  }

  host(nodeId: string): SimHost {
    return this.world.hosts.find((each) => each.nodeId === nodeId)!
  }

  #app() {
    const host = this.world.leader ?? this.world.serving[0]
    const app = host?.node?.app
    if (app === undefined) throw new Error('nobody serves')
    return app
  }

  async makeVm(name: string, runState: 'running' | 'stopped'): Promise<string> {
    const spec = { cpus: 1, memoryMiB: 128, runState, disks: [{ name: 'root', sizeGiB: 1 }, { name: 'data', sizeGiB: 2 }], nics: [] }
    const made = await this.world.settle('the VM is made', 20_000, this.#app().vms.create(this.caller, { name, spec }, options()))
    if ('dryRun' in made) throw new Error('a dry run')
    const { id } = made
    await this.world.until('the VM is as wished', 20_000, () => this.state.tables.vm.get(id)?.report.phase === runState)
    return id
  }

  hasEnded(operationId: string): boolean {
    return typeof this.state.tables.operation.get(operationId)?.endedMs === 'number'
  }

  /** Begins a migration away from where it is, and returns the operation's id. */
  async begin(vmId: string, target: SimHost): Promise<string> {
    await this.world.settle('the migration begins', 20_000, this.#app().vms.migrate(this.caller, vmId, { node: target.name }, options()))
    return this.state.tables.vm.get(vmId)!.operationId!
  }

  async cancel(operationId: string): Promise<void> {
    await this.world.settle('it is cancelled', 20_000, this.#app().operations.cancel(this.caller, operationId, options()))
  }

  /** Time passes until the operation is at the point as far as anybody knows; false where it ended without ever being there. */
  async reach(operationId: string, point: Point, limitMs: number): Promise<boolean> {
    const at = () => {
      const operation = this.state.tables.operation.get(operationId)
      return operation !== undefined && isAt(operation, point)
    }
    await this.world.run(this.world.queue.nowMs + limitMs, () => at() || this.hasEnded(operationId))
    return at()
  }

  /** All is healed: the operation ends, one host holds the VM, nothing is left elsewhere, the history tells it. */
  async settled(vmId: string, operationId: string): Promise<void> {
    const { world } = this
    const wrong = () => this.#wrong(vmId, operationId)
    await world.until(() => `all is as it should be after ${operationId}: ${wrong() ?? ''}`, 60_000, () => world.serving.length === world.hosts.length && wrong() === null && this.#inTouch())
  }

  /** Every node says of every other that it is ready. */
  #inTouch(): boolean {
    return this.world.serving.every((host) => host.node!.app.nodes.list(this.caller, { limit: 10, after: null, sort: null, filter: null }).items.every((node) => node.status.ready))
  }

  #wrong(vmId: string, operationId: string): string | null {
    const { state } = this
    const operation = state.tables.operation.get(operationId)
    if (operation === undefined || operation.endedMs === null) return `the operation is ${operation?.state} at step ${operation?.step} ${operation?.move?.direction}`
    const record = state.tables.migration.get(operationId)
    if (record === undefined) return 'the history does not tell it'
    if (record.outcome !== operation.state) return `the history says ${record.outcome}, the operation ${operation.state}`
    const vm = state.tables.vm.get(vmId)
    if (vm === undefined || vm.operationId !== null || isOnItsWay(vm)) return 'the VM is not free'
    return leftovers(this.world, state)
  }
}

/** What is where it should not be, or not where it should; null where all is well. For every VM that no operation has in hand. */
export function leftovers(world: Pick<World, 'hosts'>, state: State): string | null {
  for (const vm of state.tables.vm.values()) {
    if (vm.operationId !== null || vm.assignment === null || vm.deleting) continue
    for (const host of world.hosts) {
      const owns = vm.assignment.nodeId === host.nodeId
      const domain = host.machine.get(vm.id)
      const volumes = host.pool.volumes.get(vm.id)?.size ?? 0
      if (!owns && domain !== undefined) return `${host.name} has a domain of ${vm.name}, which is not its`
      if (!owns && volumes > 0) return `${host.name} has ${volumes} volumes of ${vm.name}, which is not its`
      if (owns && volumes !== vm.spec.disks.length) return `${host.name} has ${volumes} volumes of ${vm.name}, its own`
      if (owns && vm.spec.runState === 'running' && domain?.state !== 'running') return `${vm.name} is ${domain?.state ?? 'nowhere'} on ${host.name}, and should run`
    }
  }
  return null
}

/** A domain or a volume on a host that does not own its VM; null where there is none. */
export function foreignLeftovers(world: { readonly hosts: readonly SimHost[] }, state: State): string | null {
  for (const vm of state.tables.vm.values()) {
    if (vm.operationId !== null || vm.assignment === null) continue
    for (const host of world.hosts) {
      if (vm.assignment.nodeId === host.nodeId) continue
      if (host.machine.get(vm.id) !== undefined) return `${host.name} has a domain of ${vm.name}`
      if ((host.pool.volumes.get(vm.id)?.size ?? 0) > 0) return `${host.name} has volumes of ${vm.name}`
    }
  }
  return null
}

/** An ended migration that the history does not tell as it was; null where there is none. */
export function untold(state: State): string | null {
  for (const operation of state.tables.operation.values()) {
    if (operation.move === undefined || operation.endedMs === null) continue
    if (state.tables.migration.get(operation.id)?.outcome !== operation.state) return `operation ${operation.name} is ${operation.state}, the history says ${state.tables.migration.get(operation.id)?.outcome}`
  }
  return null
}

function isAt(operation: StoredOperation, point: Point): boolean {
  if (!isMove(operation) || operation.state !== 'running') return false
  return operation.move.direction === point.direction && stepsOf(operation)[operation.step]?.name === point.step
}

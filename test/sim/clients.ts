// The clients: people and programs that use the cluster through any node, retry with the same key, and remember what they were told.
import type { Caller, WriteOptions } from '../../src/app/face.ts'
import { OperationalError } from '../../src/model/error.ts'
import type { RunningApp } from '../../src/app/app.ts'
import { callHost } from './call.ts'
import type { SimHost } from './host.ts'
import type { SimRandom } from './sim-random.ts'
import { describe, type World } from './world.ts'

const triesMax = 5
const vmsMax = 10
const vmNames = Array.from({ length: vmsMax }, (_, at) => `vm-${at}`)

type Tally = { acknowledged: number; refused: number; notDone: number; unknown: number }
type Told = 'acknowledged' | 'refused' | 'notDone' | 'unknown'
type Request = { readonly what: string; readonly run: (app: RunningApp, caller: Caller, options: WriteOptions) => Promise<unknown> }

export class Clients {
  readonly tally: Tally = { acknowledged: 0, refused: 0, notDone: 0, unknown: 0 }
  reads = 0
  readonly #world: World
  readonly #caller: Caller
  readonly #random: SimRandom
  readonly #thinkMsMax: number
  #running = true
  #keys = 0
  /** The highest index that any client knows of: a linearizable read must not be before it. */
  #acknowledgedIndex = 0

  constructor(world: World, caller: Caller, options: { readonly thinkMsMax: number }) {
    this.#world = world
    this.#caller = caller
    this.#random = world.random.fork()
    this.#thinkMsMax = options.thinkMsMax
  }

  start(count: number): void {
    for (let client = 0; client < count; client += 1) this.#later(client)
  }

  get count(): number {
    const { acknowledged, refused, notDone, unknown } = this.tally
    return acknowledged + refused + notDone + unknown
  }

  /** Many writes at once, at one node. */
  burst(host: SimHost): void {
    for (let client = 100; client < 103; client += 1) {
      const labels = { [`client-${client}`]: String(this.#keys) }
      this.#keys += 1
      const request: Request = { what: `burst ${client}`, run: (app, caller, options) => app.nodes.patch(caller, host.name, { labels }, options) }
      void this.#call(host, request, `burst-${client}-${this.#keys}`).then((told) => {
        this.tally[told] += 1
      })
    }
  }

  /** What is under way ends by itself. */
  stop(): void {
    this.#running = false
  }

  #later(client: number): void {
    this.#world.clock.after(20 + this.#random.integer(this.#thinkMsMax), () => {
      if (!this.#running) return
      void this.#act(client).then(() => this.#later(client))
    })
  }

  async #act(client: number): Promise<void> {
    const host = this.#anyHost()
    if (host === null) return
    if (this.#random.chance(0.15)) return await this.#read(host)
    const request = this.#draw(host, client)
    this.#keys += 1
    const key = `client-${client}-${this.#keys}`
    let at: SimHost | null = host
    for (let tries = 0; tries < triesMax && at !== null; tries += 1) {
      const told = await this.#call(at, request, key)
      this.tally[told] += 1
      if (told === 'acknowledged' || told === 'refused') return
      await this.#pause(200 + this.#random.integer(800))
      at = this.#anyHost()
    }
  }

  async #call(host: SimHost, request: Request, key: string): Promise<Told> {
    const app = host.node?.app
    if (app === undefined) return 'unknown'
    const options = { idempotencyKey: key, bodyHash: request.what, ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
    const outcome = await callHost(this.#world, host, `${request.what} at ${host.name}`, () => request.run(app, this.#caller, options))
    if (outcome.kind === 'died') return 'unknown'
    if (outcome.kind === 'done') {
      this.#acknowledgedIndex = Math.max(this.#acknowledgedIndex, host.node?.cluster.state.index ?? 0)
      return 'acknowledged'
    }
    const { error } = outcome
    if (!(error instanceof OperationalError)) {
      this.#world.checker.violate(`${request.what} threw ${describe(error)}`)
      return 'unknown'
    }
    if (error.code === 'OUTCOME_UNKNOWN') return 'unknown'
    return error.code === 'NO_QUORUM' || error.code === 'OVERLOADED' ? 'notDone' : 'refused'
  }

  /** Linearizable: every write acknowledged before the read began must be seen. */
  async #read(host: SimHost): Promise<void> {
    const { node } = host
    if (node === null) return
    const known = this.#acknowledgedIndex
    const outcome = await callHost(this.#world, host, `consistent read at ${host.name}`, () => node.cluster.readBarrier())
    if (outcome.kind !== 'done') {
      if (outcome.kind === 'failed' && !(outcome.error instanceof OperationalError && outcome.error.code === 'NO_QUORUM')) this.#world.checker.violate(`a read threw ${describe(outcome.error)}`)
      return
    }
    this.reads += 1
    if (node.cluster.state.index < known) this.#world.checker.violate(`a consistent read at ${host.name} saw index ${node.cluster.state.index}, ${known} had been acknowledged before it began`)
  }

  #draw(host: SimHost, client: number): Request {
    const random = this.#random
    const vm = random.pick(vmNames)
    const exists = host.node?.cluster.state.names.has(`vm/default/${vm}`) === true
    const kind = random.integer(100)
    if (kind < 35) {
      const labels = { [`client-${client}`]: String(this.#keys) }
      const node = random.pick(this.#world.hosts).name
      return { what: `label ${node}`, run: (app, caller, options) => app.nodes.patch(caller, node, { labels }, options) }
    }
    if (!exists) {
      const spec = { cpus: 1, memoryMiB: 128, runState: random.pick(['running', 'running', 'stopped']), disks: [{ name: 'root', sizeGiB: 1 }], nics: random.chance(0.5) ? [{ network: 'nat' }] : [], stopTimeoutSeconds: 5 }
      return { what: `create ${vm}`, run: (app, caller, options) => app.vms.create(caller, { name: vm, spec }, options) }
    }
    const force = random.chance(0.5)
    if (kind < 45) return { what: `delete ${vm}`, run: (app, caller, options) => app.vms.delete(caller, vm, { force }, options) }
    if (kind < 55) {
      const labels = { tier: String(random.integer(5)) }
      return { what: `relabel ${vm}`, run: (app, caller, options) => app.vms.patch(caller, vm, { labels }, options) }
    }
    if (kind < 72) return this.#drawMove(vm)
    const action = random.pick(['start', 'start', 'stop', 'stop', 'restart', 'pause', 'resume', 'reset'] as const)
    const body = action === 'stop' ? { force, timeoutSeconds: 5 } : {}
    return { what: `${action} ${vm}`, run: (app, caller, options) => app.vms.act(caller, vm, action, body, options) }
  }

  /** Moves a VM, takes that back, or drains a node and lets it take VMs again. */
  #drawMove(vm: string): Request {
    const random = this.#random
    const node = random.pick(this.#world.hosts).name
    const what = random.integer(20)
    if (what < 12) {
      const body = random.chance(0.7) ? { node } : {}
      return { what: `migrate ${vm} ${JSON.stringify(body)}`, run: (app, caller, options) => app.vms.migrate(caller, vm, body, options) }
    }
    if (what < 16) {
      return {
        what: `cancel what runs on ${vm}`,
        run: async (app, caller, options) => {
          const { operation } = app.vms.get(caller, vm).status
          return operation === null ? null : app.operations.cancel(caller, operation, options)
        },
      }
    }
    if (what < 17) return { what: `drain ${node}`, run: (app, caller, options) => app.nodes.drain(caller, node, { concurrency: random.between(1, 3) }, options) }
    return { what: `uncordon ${node}`, run: (app, caller, options) => app.nodes.uncordon(caller, node, options) }
  }

  #anyHost(): SimHost | null {
    const up = this.#world.hosts.filter((host) => host.isServing)
    return up.length === 0 ? null : this.#random.pick(up)
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.clock.after(durationMs, resolve)
    })
  }
}

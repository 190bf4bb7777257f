// A host is lost for good in the midst of everything: it is removed by force, and another joins in its place; some of the lost come back, and find themselves out.
import type { Caller, WriteOptions } from '../../src/app/face.ts'
import { OperationalError } from '../../src/model/error.ts'
import { SimRandom } from './sim-random.ts'
import type { SimHost } from './host.ts'
import { joinHost, type World } from './world.ts'

const shareOfSeeds = 0.3
const stream = 0x6c6f7374
const retryMs = 1_500

export class Replacement {
  readonly #world: World
  readonly #caller: Caller
  readonly #random: SimRandom
  state: 'none' | 'waiting' | 'lost' | 'removed' | 'replaced' = 'none'

  /** Draws from numbers of its own, so that other seeds go as they always went. */
  constructor(world: World, caller: Caller, seed: number) {
    this.#world = world
    this.#caller = caller
    this.#random = new SimRandom(seed, stream)
    if (!this.#random.chance(shareOfSeeds)) return
    this.state = 'waiting'
    world.mayLoseHost = true
  }

  get isOver(): boolean {
    return this.state === 'none' || this.state === 'replaced'
  }

  start(): void {
    if (this.state === 'waiting') void this.#run()
  }

  async #run(): Promise<void> {
    const world = this.#world
    await this.#sleep(this.#random.between(10_000, 90_000))
    // At most one is lost at a time: a damaged log is such a loss.
    if (world.hosts.some((host) => host.isDamaged || host.logWatch.isHarmed)) {
      this.state = 'none'
      return
    }
    const host = this.#random.pick(world.hosts)
    host.isDamaged = true
    host.isGone = true
    host.cutPower()
    world.note(`${host.name} is lost for good`)
    this.state = 'lost'
    await this.#sleep(this.#random.between(100, 25_000))
    await this.#insist('is removed', (at) => at.node!.app.nodes.remove(this.#caller, host.nodeId, { force: true, hostIsOff: true }, options()), () => this.#someoneForgot(host))
    this.state = 'removed'
    world.note(`${host.name} is removed`)
    if (this.#random.chance(0.5)) {
      // Its daemon knows nothing of its removal, and nobody talks to it.
      host.isGone = false
      world.boot(host)
    }
    let fresh = this.#newcomer()
    await this.#insist('joins', async (at) => {
      try {
        await joinHost(world, this.#caller, fresh, at)
      } catch (error) {
        if (!(error instanceof OperationalError) || error.code !== 'ALREADY_MEMBER') throw error
        // Its first answer was lost, and somebody has changed its record since: what the refusal advises is done.
        await at.node!.app.nodes.remove(this.#caller, fresh.nodeId, { force: true, hostIsOff: true }, options())
        fresh.isDamaged = true
        fresh = this.#newcomer()
      }
    }, () => fresh.isUp)
    this.state = 'replaced'
    world.note(`${fresh.name} is in its place`)
  }

  /** Until it is admitted nothing boots it. */
  #newcomer(): SimHost {
    const host = this.#world.addHost()
    host.isGone = true
    return host
  }

  /** Again and again at any node that serves, as an operator would, until it holds. */
  async #insist(what: string, act: (at: SimHost) => Promise<unknown>, holds: () => boolean): Promise<void> {
    while (!holds()) {
      const up = this.#world.serving.filter((host) => !host.isDamaged)
      if (up.length > 0) {
        const at = this.#random.pick(up)
        await Promise.race([act(at).catch((error: unknown) => this.#world.note(`at ${at.name} it is not so that it ${what}: ${String(error).slice(0, 120)}`)), this.#sleep(12_000)])
      }
      if (!holds()) await this.#sleep(retryMs)
    }
  }

  #someoneForgot(host: SimHost): boolean {
    return this.#world.serving.some((each) => each.node?.cluster.state.tables.formerNode.has(host.nodeId))
  }

  #sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.clock.after(durationMs, resolve)
    })
  }
}

function options(): WriteOptions {
  return { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
}

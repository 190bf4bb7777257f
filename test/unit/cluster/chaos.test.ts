// Whole engines under seeded faults while the membership changes and the log is compacted all the time: the parts that single tests join in one way only.
import { expect, test } from 'vitest'
import type { ConfChange } from '../../../src/raft/types.ts'
import { stateHash } from '../../../src/state/state.ts'
import { SimRandom } from '../../sim/sim-random.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const seeds = Number(process.env['CLUSTER_SEEDS'] ?? 30)
const firstSeed = Number(process.env['CLUSTER_SEED'] ?? 1)
const nodesCount = 5
const stepsCount = 250

type Totals = { acknowledged: number; changes: number; crashes: number; snapshots: number }

class Chaos {
  readonly #random: SimRandom
  readonly #sim: SimCluster
  readonly #up = new Set<SimNode>()
  readonly #acknowledged: string[] = []
  readonly #totals: Totals
  #serial = 0

  constructor(seed: number, totals: Totals) {
    this.#random = new SimRandom(seed)
    this.#totals = totals
    const pick = <T>(values: readonly T[]): T => this.#random.pick(values)
    this.#sim = new SimCluster({
      seed,
      compaction: { entriesMax: pick([2, 4, 10, 30]), bytesMax: pick([500, 5000, 1_000_000]) },
      raft: { committedBytesMax: pick([1, 300, 4_000_000]), messageBytesMax: pick([1, 500, 1_000_000]), inflightMessagesMax: pick([1, 4, 256]) },
    })
  }

  async run(): Promise<void> {
    const sim = this.#sim
    for (let at = 0; at < nodesCount; at += 1) sim.add()
    const fsyncDelayMs = this.#random.pick([0.2, 0.2, 20])
    for (const [at, node] of sim.nodes.entries()) {
      node.disk.faults.fsyncDelayMs = fsyncDelayMs
      await this.#boot(node, at === 0)
      await sim.runFor(200)
    }
    for (const { nodeId } of sim.nodes.slice(1, 3)) {
      this.#change({ transition: 'auto', steps: [{ kind: 'addVoter', id: nodeId }] })
      await sim.runFor(400)
    }
    for (let step = 0; step < stepsCount; step += 1) {
      await this.#act(this.#random.integer(100), this.#random.pick(sim.nodes))
      if (this.#up.size > 0 && this.#random.integer(3) === 0) await sim.steps(this.#random.integer(40))
      else await sim.runFor(this.#random.integer(this.#random.integer(10) === 0 ? 3000 : 200))
      this.#checkHalts()
    }
    await this.#heal()
  }

  async #act(what: number, node: SimNode): Promise<void> {
    const [sim, random] = [this.#sim, this.#random]
    if (what < 45) for (let count = 1 + random.integer(8); count > 0; count -= 1) this.#write(node)
    else if (what < 50 && this.#up.size > 2) this.#crash(node)
    else if (what < 52) for (const each of this.#up) this.#crash(each)
    else if (what < 70) await this.#boot(node)
    else if (what < 80) this.#change({ transition: random.pick(['auto', 'implicit', 'simple']), steps: Array.from({ length: 1 + random.integer(2) }, () => this.#drawStep()) })
    else if (what < 82) this.#partition()
    else if (what < 83) sim.network.cut(random.pick(sim.nodes).nodeId, random.pick(sim.nodes).nodeId)
    else if (what < 92) sim.network.heal()
    else if (what < 95) sim.network.setFaults({ lossRatio: random.integer(20) / 100, duplicateRatio: random.integer(20) / 100, reorderRatio: random.integer(20) / 100, delayMsMax: 2 + random.integer(100) })
    else if (what < 97) node.disk.faults.fsyncDelayMs = random.pick([0.2, 20, 50, 300])
    else sim.leader?.cluster.transferLeadership().catch(() => undefined)
  }

  async #boot(node: SimNode, bootstrap = false): Promise<void> {
    if (this.#up.has(node)) return
    await this.#sim.boot(node, { bootstrap })
    this.#up.add(node)
    node.cluster.watch((event) => {
      if (event.kind === 'replaced') this.#totals.snapshots += 1
    })
  }

  #crash(node: SimNode): void {
    if (!this.#up.delete(node)) return
    this.#sim.crash(node)
    this.#totals.crashes += 1
  }

  #write(node: SimNode): void {
    if (!this.#up.has(node)) return
    const session = `s${(this.#serial += 1)}`
    node.cluster.propose(revokeSession(session)).then(
      () => this.#acknowledged.push(session),
      () => undefined,
    )
  }

  #change(change: ConfChange): void {
    this.#sim.leader?.cluster.changeConfiguration(change).then(
      () => (this.#totals.changes += 1),
      () => undefined,
    )
  }

  #drawStep(): ConfChange['steps'][number] {
    return { kind: this.#random.pick(['addVoter', 'addVoter', 'addLearner', 'remove']), id: this.#random.pick(this.#sim.nodes).nodeId }
  }

  #partition(): void {
    const left = new Set(this.#sim.nodes.filter(() => this.#random.integer(2) === 0))
    this.#sim.network.partition([[...left].map(({ nodeId }) => nodeId), this.#sim.nodes.filter((node) => !left.has(node)).map(({ nodeId }) => nodeId)])
  }

  #checkHalts(): void {
    for (const { halts } of this.#sim.nodes) for (const { kind, reason, cause } of halts) throw new Error(`a node halted: ${kind}, ${reason}`, { cause })
  }

  /** Everybody up and in touch: who is a member comes to the same state, and it holds all that was acknowledged. */
  async #heal(): Promise<void> {
    const sim = this.#sim
    sim.network.heal()
    sim.network.setFaults({ lossRatio: 0, duplicateRatio: 0, reorderRatio: 0, delayMsMin: 0.2, delayMsMax: 2 })
    for (const node of sim.nodes) {
      node.disk.faults.fsyncDelayMs = 0.2
      await this.#boot(node)
    }
    for (let round = 0; round < 20; round += 1) {
      await sim.runFor(3000)
      const { leader } = sim
      if (leader === undefined) continue
      const isDone = await sim.settle(leader.cluster.propose(revokeSession(`healed ${round}`)).then(() => true, () => false))
      await sim.runFor(3000)
      const { voters, votersOutgoing, learners } = leader.cluster.status().configuration
      const members = sim.nodes.filter(({ nodeId }) => [...voters, ...votersOutgoing, ...learners].includes(nodeId))
      if (!isDone || new Set(members.map(({ cluster }) => `${cluster.state.index} ${stateHash(cluster.state)}`)).size !== 1) continue
      this.#checkHalts()
      const lost = this.#acknowledged.filter((session) => !leader.cluster.state.tables.revokedSession.has(session))
      expect(lost).toEqual([])
      this.#totals.acknowledged += this.#acknowledged.length
      return
    }
    throw new Error(`no progress after healing: ${JSON.stringify(sim.nodes.map(({ cluster }) => cluster.status()))}`)
  }
}

test(`seeds ${firstSeed}..${firstSeed + seeds - 1}: nothing acknowledged is lost, nobody halts, all members come to one state`, { timeout: 120_000 }, async () => {
  const totals: Totals = { acknowledged: 0, changes: 0, crashes: 0, snapshots: 0 }
  for (let seed = firstSeed; seed < firstSeed + seeds; seed += 1) {
    await new Chaos(seed, totals).run().catch((error: unknown) => {
      throw new Error(`CLUSTER_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    })
  }
  // A run that does too little proves nothing.
  for (const count of Object.values(totals)) expect(count).toBeGreaterThan(seeds)
})

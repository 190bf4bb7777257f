// After a loss of power everywhere each member says who leads, and who starts beside a leader leaves it in its place.
import { describe, expect, it } from 'vitest'
import { SimCluster, type SimNode } from './sim-cluster.ts'

async function lostPower(seed: number): Promise<SimCluster> {
  const sim = await SimCluster.formed(3, { seed })
  for (const node of sim.nodes) sim.crash(node)
  await sim.runFor(1000)
  sim.said.length = 0
  return sim
}

/** Milliseconds from the start of the last of them until one leads. */
async function startAll(sim: SimCluster, order: readonly SimNode[], apartMs: number): Promise<number> {
  for (const node of order) {
    await sim.boot(node, { resumes: true })
    if (node !== order.at(-1)) await sim.runFor(apartMs)
  }
  const startedMs = sim.queue.nowMs
  await sim.until(() => sim.leader !== undefined)
  return sim.queue.nowMs - startedMs
}

describe('after a loss of power everywhere', () => {
  it('each says who leads, in which term, and how long it had no leader', async () => {
    const sim = await lostPower(40)
    await startAll(sim, sim.nodes, 0)
    await sim.runFor(1000)
    const { term, leaderId } = sim.node(0).cluster.status()
    const lines = sim.said.filter(({ message }) => message === 'leader known')
    expect(lines.map(({ fields }) => fields)).toEqual(sim.nodes.map(() => ({ leaderId, term, leaderlessMs: expect.any(Number) })))
  })

  it('who starts beside a leader leaves it in its place and its term', async () => {
    const sim = await SimCluster.formed(3, { seed: 50 })
    const { term, leaderId } = sim.node(0).cluster.status()
    sim.crash(sim.node(2))
    await sim.runFor(3000)
    await sim.boot(sim.node(2), { resumes: true })
    await sim.runFor(5000)
    expect(sim.nodes.map(({ cluster }) => cluster.status()).map((status) => [status.term, status.leaderId])).toEqual(sim.nodes.map(() => [term, leaderId]))
  })
})

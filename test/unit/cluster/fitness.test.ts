// A node that was slow just now leaves leading to others.
import { describe, expect, it } from 'vitest'
import { Fitness } from '../../../src/cluster/fitness.ts'
import { SimCluster } from './sim-cluster.ts'

describe('fitness', () => {
  const fitness = (): Fitness => new Fitness({ tickMs: 100, electionMs: 1000 })

  it('is full while ticks come in time and writes are short', () => {
    const node = fitness()
    for (let nowMs = 0; nowMs < 5000; nowMs += 100) {
      node.ticked(nowMs)
      node.wrote(400, nowMs)
    }
    expect(node.priority(5000)).toBe('normal')
  })

  it('is low for ten election time-outs after a stall of the event loop or a long write', () => {
    const [stalled, slow] = [fitness(), fitness()]
    stalled.ticked(0)
    stalled.ticked(600)
    slow.wrote(500, 600)
    for (const node of [stalled, slow]) expect([node.priority(600), node.priority(10_599), node.priority(10_600)]).toEqual(['low', 'low', 'normal'])
  })
})

it('statement 12: after a stall of its event loop a node lets the others lead first', async () => {
  for (let seed = 1; seed <= 5; seed += 1) {
    const sim = await SimCluster.formed(3, { seed })
    const [leader, stalled, well] = [sim.node(0), sim.node(1), sim.node(2)]
    stalled.clock.stall(700)
    await sim.runFor(1500)
    expect(leader.cluster.status().role).toBe('leader')
    sim.crash(leader)
    await sim.until(() => sim.leader !== undefined && sim.leader !== leader, 5000)
    expect(sim.leader, `seed ${seed}`).toBe(well)
  }
})

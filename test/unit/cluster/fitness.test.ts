// A node that was slow just now leaves leading to others.
import { describe, expect, it } from 'vitest'
import { Fitness } from '../../../src/cluster/fitness.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { SimCluster } from './sim-cluster.ts'

/** A clock that the test moves, and what stands on it. */
function fitness(): { readonly node: Fitness; readonly pass: (durationMs: number) => void; readonly write: (durationMs: number) => Promise<void> } {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const pass = (durationMs: number): void => void queue.next(queue.nowMs + durationMs)
  const node = new Fitness({ tickMs: 100, electionMs: 1000 }, clock)
  const write = async (durationMs: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watched = node.watch(promise)
    pass(durationMs)
    resolve()
    await watched
  }
  return { node, pass, write }
}

describe('fitness', () => {
  it('is full while ticks come in time and writes are short', async () => {
    const { node, pass, write } = fitness()
    for (let tick = 0; tick < 50; tick += 1) {
      node.ticked()
      pass(100)
    }
    await write(400)
    expect(node.priority).toBe('normal')
  })

  it('is low for ten election time-outs after a stall of the event loop or a long write', async () => {
    const [stalled, slow] = [fitness(), fitness()]
    stalled.node.ticked()
    stalled.pass(600)
    stalled.node.ticked()
    await slow.write(500)
    for (const { node, pass } of [stalled, slow]) {
      expect(node.priority).toBe('low')
      pass(9999)
      expect(node.priority).toBe('low')
      pass(1)
      expect(node.priority).toBe('normal')
    }
  })

  it('does not hide that a write failed', async () => {
    await expect(fitness().node.watch(Promise.reject(new Error('no')))).rejects.toThrow('no')
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

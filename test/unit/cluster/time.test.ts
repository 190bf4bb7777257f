// Time under a cluster: wall clocks that jump, event loops that stall, bursts of work between heartbeats.
import { describe, expect, it } from 'vitest'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const hourMs = 3_600_000

function leaderOf(sim: SimCluster): SimNode {
  const { leader } = sim
  if (leader === undefined) throw new Error('nobody leads')
  return leader
}

describe('11: a wall clock', () => {
  it.each([hourMs, -hourMs])('that jumps by %d ms on any node, or all, causes no election, ends none early, and leaves no client waiting', async (jumpMs) => {
    for (const which of [[0], [1], [0, 1, 2]]) {
      const sim = await SimCluster.formed(3)
      const leader = leaderOf(sim)
      const { term } = leader.cluster.status()
      const pending = leader.cluster.propose(revokeSession('under way'))
      for (const at of which) sim.node(at).clock.setSkew(jumpMs)
      expect(await sim.settle(pending)).toMatchObject({ kind: 'done' })
      for (let at = 0; at < 20; at += 1) {
        await sim.runFor(500)
        const node = sim.node(at % 3)
        expect((await sim.settle(node.cluster.propose(revokeSession(`s${at}`)))).kind).toBe('done')
        await sim.settle(node.cluster.readBarrier())
      }
      expect(leaderOf(sim)).toBe(leader)
      for (const node of sim.nodes) expect(node.cluster.status()).toMatchObject({ term, quorum: true, troubles: [] })
      // An election takes as long as any other.
      sim.crash(leader)
      const crashedMs = sim.queue.nowMs
      await sim.until(() => sim.leader !== undefined && sim.leader !== leader)
      expect(sim.queue.nowMs - crashedMs).toBeLessThan(3000)
      expect(sim.queue.nowMs - crashedMs).toBeGreaterThan(250)
    }
  })
})

describe('12: heartbeats', () => {
  it('go on between writes to a slow disk, however many commands come in a burst', async () => {
    const sim = await SimCluster.formed(3)
    const leader = leaderOf(sim)
    const { term } = leader.cluster.status()
    for (const node of sim.nodes) node.disk.faults.fsyncDelayMs = 500
    const outcomes = Array.from({ length: 3000 }, (_, at) => leader.cluster.propose(revokeSession(`s${at}`)).then(() => 1, () => 0))
    await sim.runFor(15_000)
    for (const node of sim.nodes) expect(node.cluster.status().term).toBe(term)
    expect(leaderOf(sim)).toBe(leader)
    const done = (await sim.settle(Promise.all(outcomes))).reduce<number>((sum, one) => sum + one, 0)
    expect(done).toBe(3000)
  })

  it('after a stall of the event loop shorter than an election time-out nobody campaigns, and what was missed is not made up for by a burst', async () => {
    const sim = await SimCluster.formed(3)
    const leader = leaderOf(sim)
    const { term } = leader.cluster.status()
    const beats: number[] = []
    const send = leader.transport.send.bind(leader.transport)
    leader.transport.send = (message, onSent) => {
      if (message.kind === 'heartbeat') beats.push(sim.queue.nowMs)
      send(message, onSent)
    }
    for (let round = 0; round < 10; round += 1) {
      leader.clock.stall(750)
      await sim.runFor(750)
      const from = beats.length
      await sim.runFor(250)
      // One to each of the two others when it goes on, and the next in its time.
      expect(beats.length - from).toBeLessThanOrEqual(4)
      expect(beats.length - from).toBeGreaterThanOrEqual(2)
      await sim.runFor(1000)
    }
    for (const node of sim.nodes) expect(node.cluster.status().term).toBe(term)
  })

  it('of a follower whose loop stalls for long are missed by nobody but itself: it follows again, and the term stays', async () => {
    const sim = await SimCluster.formed(3)
    const leader = leaderOf(sim)
    const { term } = leader.cluster.status()
    const follower = sim.nodes.find((node) => node !== leader) as SimNode
    follower.clock.stall(5000)
    for (let at = 0; at < 10; at += 1) {
      await sim.runFor(500)
      expect((await sim.settle(leader.cluster.propose(revokeSession(`s${at}`)))).kind).toBe('done')
    }
    await sim.until(() => follower.cluster.state.index === leader.cluster.state.index)
    await sim.runFor(3000)
    for (const node of sim.nodes) expect(node.cluster.status()).toMatchObject({ term, leaderId: leader.nodeId })
  })
})

// What operators ask of members: reports, leadership, a shorter log; and that a killed leader is replaced before the whole time-out is over.
import { describe, expect, test } from 'vitest'
import { ticksOf } from '../../../src/cluster/timing.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const idsOf = (sim: SimCluster) => sim.nodes.map(({ nodeId }) => nodeId)
async function write(sim: SimCluster, node: SimNode, count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await sim.settle(node.cluster.propose(revokeSession(`s${at}`)))
}

test('each member answers for itself, the leader for its followers too, and who is away is left out', async () => {
  const sim = await SimCluster.formed(3)
  await write(sim, sim.node(0), 3)
  await sim.runFor(500)
  const reports = await sim.settle(sim.node(2).cluster.reports(idsOf(sim)))
  expect([...reports.keys()].toSorted()).toEqual(idsOf(sim).toSorted())
  const [leader, follower] = [reports.get(sim.node(0).nodeId), reports.get(sim.node(1).nodeId)]
  expect(leader).toMatchObject({ role: 'leader', quorum: true, halted: null, logSync: null, timing: { heartbeatMs: 200, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 } })
  expect(leader?.followers[sim.node(1).nodeId]).toMatchObject({ match: leader?.lastIndex, state: 'replicate', recentActive: true })
  expect(leader?.followers[sim.node(1).nodeId]?.heardMs).toBeLessThanOrEqual(200)
  expect(follower).toMatchObject({ role: 'follower', leaderId: sim.node(0).nodeId, followers: {} })
  sim.crash(sim.node(1))
  const fewer = await sim.settle(sim.node(2).cluster.reports(idsOf(sim)))
  expect(fewer.has(sim.node(1).nodeId)).toBe(false)
  expect(fewer.size).toBe(2)
})

describe('leadership', () => {
  test('is handed over from any node, to that voter', async () => {
    const sim = await SimCluster.formed(3)
    await sim.settle(sim.node(1).cluster.lead(sim.node(2).nodeId))
    expect(sim.leader).toBe(sim.node(2))
    expect(sim.node(1).cluster.status().leaderId).toBe(sim.node(2).nodeId)
    await sim.settle(sim.node(2).cluster.lead(sim.node(0).nodeId))
    expect(sim.leader).toBe(sim.node(0))
    // Whoever leads already goes on.
    const { term } = sim.node(0).cluster.status()
    await sim.settle(sim.node(1).cluster.lead(sim.node(0).nodeId))
    expect(sim.node(0).cluster.status().term).toBe(term)
  })

  test('is refused to who does not vote, and stays where the chosen one is away', async () => {
    const sim = await SimCluster.formed(3)
    const learner = sim.add()
    await sim.boot(learner)
    await sim.settle(sim.node(0).cluster.changeConfiguration({ transition: 'simple', steps: [{ kind: 'addLearner', id: learner.nodeId }] }))
    await sim.runFor(500)
    await expect(sim.settle(sim.node(1).cluster.lead(learner.nodeId))).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringContaining('does not vote') })
    sim.crash(sim.node(2))
    await expect(sim.settle(sim.node(1).cluster.lead(sim.node(2).nodeId))).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
    expect(sim.leader).toBe(sim.node(0))
    await write(sim, sim.node(1), 1)
  })

  test('is not asked of anybody while nobody leads', async () => {
    const sim = await SimCluster.formed(3)
    sim.crash(sim.node(0))
    sim.crash(sim.node(1))
    await sim.runFor(3000)
    await expect(sim.settle(sim.node(2).cluster.lead(sim.node(1).nodeId))).rejects.toMatchObject({ code: 'NO_QUORUM' })
  })
})

test('a sole voter that gives its vote to a learner steps down, and that one leads', async () => {
  const sim = await SimCluster.formed(1)
  const other = sim.add()
  await sim.boot(other)
  await sim.settle(sim.node(0).cluster.changeConfiguration({ transition: 'simple', steps: [{ kind: 'addLearner', id: other.nodeId }] }))
  await write(sim, sim.node(0), 3)
  await sim.runFor(500)
  void sim.node(0).cluster.changeConfiguration({ transition: 'implicit', steps: [{ kind: 'addVoter', id: other.nodeId }, { kind: 'addLearner', id: sim.node(0).nodeId }] }).catch(() => undefined)
  await sim.until(() => sim.leader === other)
  await write(sim, sim.node(0), 1)
  expect(other.cluster.status().configuration).toMatchObject({ voters: [other.nodeId], learners: [sim.node(0).nodeId] })
})

describe('a shorter log', () => {
  test('begins behind what was applied, on whichever node is asked, and a restart finds all', async () => {
    const sim = await SimCluster.formed(3)
    await write(sim, sim.node(0), 30)
    await sim.runFor(500)
    for (const node of [sim.node(0), sim.node(1)]) {
      const { index, entries } = await sim.settle(sim.node(2).cluster.compact(node.nodeId))
      expect(index).toBe(node.cluster.state.index)
      expect(entries).toBeGreaterThan(30)
      expect(node.cluster.status()).toMatchObject({ firstIndex: index + 1 })
    }
    expect((await sim.settle(sim.node(0).cluster.compact(sim.node(0).nodeId))).entries).toBe(0)
    await write(sim, sim.node(0), 2)
    // What came since can be told to whoever looks for a fault.
    expect([...sim.node(0).cluster.history(100).entries].map((entry) => entry.content.kind)).toEqual(['command', 'command'])
    const { index } = sim.node(1).cluster.state
    sim.crash(sim.node(1))
    await sim.boot(sim.node(1))
    await sim.until(() => sim.node(1).cluster.state.index >= index)
    expect(sim.node(1).cluster.state.tables.revokedSession.size).toBe(30)
  })
})

describe('a leader whose process is killed', () => {
  test.each([1, 2, 3, 4, 5, 6])('is replaced within an election time-out, seed %i', async (seed) => {
    const sim = await SimCluster.formed(3, { seed })
    await sim.runFor(2000)
    const { term } = sim.node(1).cluster.status()
    sim.crash(sim.node(0))
    await sim.until(() => sim.leader !== undefined && sim.leader !== sim.node(0), 1000)
    expect(sim.leader?.cluster.status().term).toBeGreaterThan(term)
  })

  test('a cut link between leader and follower changes nothing', async () => {
    const sim = await SimCluster.formed(3)
    const { term } = sim.node(0).cluster.status()
    const [leader, follower] = [sim.node(0).nodeId, sim.node(1).nodeId]
    sim.network.cut(leader, follower)
    sim.network.cut(follower, leader)
    await sim.runFor(10_000)
    expect(sim.node(0).cluster.status()).toMatchObject({ role: 'leader', term })
  })
})

test.each([[200, 1000, { tickMs: 200, raft: { heartbeatTicks: 1, electionTicks: 5 } }], [50, 500, { tickMs: 50, raft: { heartbeatTicks: 1, electionTicks: 10 } }], [300, 2000, { tickMs: 300, raft: { heartbeatTicks: 1, electionTicks: 7 } }]])('heartbeat %i ms, election %i ms', (heartbeatMs, electionMs, ticks) => {
  expect(ticksOf({ heartbeatMs, electionMs })).toEqual(ticks)
})

// A disk that is full, hangs or fails under a node: it yields, says so, and comes back; what failed to sync is final.
import { describe, expect, it } from 'vitest'
import { OperationalError } from '../../../src/model/error.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const electionMs = 1000

function leaderOf(sim: SimCluster): SimNode {
  const { leader } = sim
  if (leader === undefined) throw new Error('nobody leads')
  return leader
}
const otherLeads = (sim: SimCluster, than: SimNode) => () => sim.leader !== undefined && sim.leader !== than

async function codeOf(promise: Promise<unknown>): Promise<{ readonly code: string; readonly retryAfterSeconds: number | undefined }> {
  try {
    await promise
    return { code: 'done', retryAfterSeconds: undefined }
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    return { code: error.code, retryAfterSeconds: error.data.retryAfterSeconds }
  }
}

describe('a disk', () => {
  it.each([
    ['full', 'DiskFull'],
    ['hung', 'DiskHung'],
  ] as const)('44: %s, makes the leader yield within an election time-out, refuse writes, and not be elected until it goes on', async (kind, type) => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const sim = await SimCluster.formed(3, { seed })
      const former = leaderOf(sim)
      const { faults } = former.disk
      if (kind === 'full') faults.full = true
      else faults.fsyncDelayMs = 3600_000
      former.cluster.propose(revokeSession('under way')).catch(() => undefined)
      // Hung is what has not moved for an election time-out; then it yields at its next tick, and the one told leads after a few round trips.
      await sim.until(otherLeads(sim, former), (kind === 'full' ? 0 : electionMs) + electionMs)
      expect(former.cluster.status()).toMatchObject({ role: 'follower', troubles: [{ type }] })
      await sim.settle(leaderOf(sim).cluster.propose(revokeSession('after')))
      // Whoever asks the node itself hears at once that it takes nothing.
      const refused = codeOf(former.cluster.propose(revokeSession('refused')))
      await sim.runFor(10)
      expect(await refused).toEqual({ code: 'OVERLOADED', retryAfterSeconds: 2 })
      // The others stop: it is asked to campaign by nobody, and does not by itself.
      const rest = sim.nodes.filter((node) => node !== former)
      sim.crash(rest[0] as SimNode)
      await sim.runFor(20_000)
      expect(former.cluster.status()).toMatchObject({ role: 'follower', halted: null })
      expect(former.halts).toEqual([])
      faults.full = false
      faults.fsyncDelayMs = 0.2
      // What hung may take its hour; a disk that goes on ends its writes.
      if (kind === 'hung') return
      await sim.boot(rest[0] as SimNode)
      await sim.until(() => former.cluster.status().troubles.length === 0 && sim.nodes.every((node) => node.cluster.state.tables.revokedSession.has('after')))
      await sim.settle(former.cluster.propose(revokeSession('again')))
      await sim.settle(leaderOf(sim).cluster.transferLeadership(former.nodeId).catch(() => undefined) as Promise<void>)
      expect(leaderOf(sim)).toBe(former)
    }
  })

  it('44: that hangs for a while goes on where it was, and the node may lead again', async () => {
    const sim = await SimCluster.formed(3)
    const former = leaderOf(sim)
    former.disk.faults.fsyncDelayMs = 8000
    former.cluster.propose(revokeSession('a')).catch(() => undefined)
    await sim.until(otherLeads(sim, former))
    former.disk.faults.fsyncDelayMs = 0.2
    await sim.settle(leaderOf(sim).cluster.propose(revokeSession('b')))
    await sim.until(() => former.cluster.status().troubles.length === 0, 20_000)
    await sim.settle(leaderOf(sim).cluster.transferLeadership(former.nodeId))
    await sim.settle(former.cluster.propose(revokeSession('c')))
    for (const node of sim.nodes) expect(node.halts).toEqual([])
  })

  it('44: full under a node that is alone, refuses writes at once and takes them again; it goes on leading', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    node.disk.faults.full = true
    const first = codeOf(node.cluster.propose(revokeSession('a')))
    await sim.runFor(50)
    expect(await codeOf(node.cluster.propose(revokeSession('b')))).toMatchObject({ code: 'OVERLOADED' })
    expect(node.cluster.status().role).toBe('leader')
    node.disk.faults.full = false
    // It was appended, and is durable as soon as there is space.
    expect((await sim.settle(first)).code).toBe('done')
    await sim.settle(node.cluster.propose(revokeSession('c')))
    expect(node.halts).toEqual([])
  })

  it('44: full under the state alone, on all nodes at once, while nobody leads and nothing is logged: they are electable again when there is space', async () => {
    const sim = await SimCluster.formed(3)
    for (let at = 0; at < 3; at += 1) await sim.settle(leaderOf(sim).cluster.propose(revokeSession(`s${at}`)))
    // The batches of the state come later than the log's, which are durable by now.
    for (const node of sim.nodes) node.disk.faults.full = true
    sim.network.partition(sim.nodes.map((node) => [node.nodeId]))
    await sim.runFor(100)
    expect(sim.nodes.some((node) => node.cluster.status().troubles.length > 0)).toBe(true)
    await sim.runFor(5000)
    for (const node of sim.nodes) node.disk.faults.full = false
    await sim.runFor(1000)
    sim.network.heal()
    await sim.until(() => sim.leader !== undefined && sim.nodes.every((node) => node.cluster.status().troubles.length === 0))
    await sim.runFor(500)
    await sim.settle(leaderOf(sim).cluster.propose(revokeSession('after')))
  })

  it('44: full while the state is written, or replaced by a snapshot, loses nothing', async () => {
    const sim = await SimCluster.formed(3, { compaction: { entriesMax: 10, bytesMax: 1_000_000 } })
    const behind = sim.node(2)
    sim.crash(behind)
    for (let at = 0; at < 60; at += 1) await sim.settle(sim.node(0).cluster.propose(revokeSession(`s${at}`)))
    await sim.boot(behind)
    behind.disk.faults.full = true
    await sim.runFor(5000)
    behind.disk.faults.full = false
    await sim.until(() => behind.cluster.state.index === sim.node(0).cluster.state.index && behind.cluster.status().troubles.length === 0)
    sim.crash(behind)
    await sim.boot(behind)
    await sim.until(() => behind.cluster.state.index === sim.node(0).cluster.state.index)
    expect(behind.halts).toEqual([])
  })

  it('40: a failed sync is final for the process: it acknowledges nothing more, though the disk is well again, and the next life has no lost write', async () => {
    const sim = await SimCluster.formed(3)
    const node = sim.nodes.find((each) => each !== sim.leader) as SimNode
    const said: string[] = []
    const send = node.transport.send.bind(node.transport)
    node.disk.faults.fsyncFails = true
    node.transport.send = (message, onSent) => {
      said.push(message.kind)
      send(message, onSent)
    }
    await sim.settle(leaderOf(sim).cluster.propose(revokeSession('a')))
    await sim.until(() => node.halts.length > 0)
    node.disk.faults.fsyncFails = false
    said.length = 0
    for (let at = 0; at < 5; at += 1) await sim.settle(leaderOf(sim).cluster.propose(revokeSession(`b${at}`)))
    await sim.runFor(5000)
    expect(said).toEqual([])
    expect(node.halts).toMatchObject([{ kind: 'storage' }])
    sim.crash(node)
    await sim.boot(node)
    await sim.until(() => node.cluster.state.tables.revokedSession.has('b4'))
    expect(node.cluster.state.tables.revokedSession.has('a')).toBe(true)
  })
})

// The divergence alarm on whole engines: checkpoints when something happened, and who stops when states differ.
import { describe, expect, it, test } from 'vitest'
import { decodeEntryData, encodeCheckpointData } from '../../../src/cluster/entry.ts'
import { divergenceText } from '../../../src/model/checkpoint.ts'
import { parseCommand, UnknownCommandType } from '../../../src/model/command.ts'
import { digestOf, digestText, digestVersion } from '../../../src/state/canonical.ts'
import { stateHash, writeRecord } from '../../../src/state/state.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const checkpoints = { entriesMax: 50, periodMs: 1000 }

async function write(sim: SimCluster, node: SimNode, session: string): Promise<void> {
  expect((await sim.settle(node.cluster.propose(revokeSession(session)))).kind).toBe('done')
}
const followers = (sim: SimCluster): SimNode[] => sim.nodes.filter((node) => node !== sim.leader)
const leaderOf = (sim: SimCluster): SimNode => sim.leader as SimNode
const isStopped = (node: SimNode): boolean => node.cluster.status().divergence?.phase === 'stopped'

/** From now on this node applies every command differently: the planted bug. */
function applyDifferently(node: SimNode): void {
  const { cluster } = node
  cluster.watch((event) => {
    if (event.kind === 'applied' && event.command !== null) writeRecord(cluster.state, 'revokedSession', 'planted', { id: 'planted', expiresMs: 1_900_000_000_000 + event.index })
  })
}

describe('checkpoint entry', () => {
  const checkpoint = { nodeId: 'n1', index: 5, hash: '0123456789abcdef', digest: 1 }
  it('survives the log', () => {
    const data = encodeCheckpointData(17, { ...checkpoint, id: revokeSession('x').id })
    expect(decodeEntryData(data)).toEqual({ kind: 'checkpoint', timeMs: 17, checkpoint })
  })
  it('is ignorable to versions that do not know it, and to this one in a form it does not know', () => {
    const envelope = (payload: unknown) => ({ id: revokeSession('x').id, actor: { kind: 'node', id: 'n1', name: '', address: '' }, type: 'ignorable.checkpoint', payload })
    expect(() => parseCommand(envelope(checkpoint))).toThrow(UnknownCommandType)
    const json = new TextEncoder().encode(JSON.stringify(envelope({ ...checkpoint, more: true })))
    const data = new Uint8Array(8 + json.length)
    data.set(json, 8)
    expect(decodeEntryData(data)).toEqual({ kind: 'ignorable', timeMs: 0, type: 'ignorable.checkpoint' })
  })
})

test('the digest has the version that it says: whoever changes one changes the other', () => {
  const value = { text: 'ä', list: [1, -0.5, null, true], members: { b: {}, a: [] } }
  expect([digestVersion, digestText(digestOf(value))]).toEqual([1, '1345ba2b988a0345'])
})

describe('checkpoints', () => {
  it('are proposed after writes, agree, and leave an idle cluster idle', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    await write(sim, leaderOf(sim), 'one')
    await sim.runFor(3000)
    const { index } = leaderOf(sim).cluster.state
    for (const node of sim.nodes) expect(node.cluster.agreement()).toEqual({ index: index - 1, dissenters: [] })
    await sim.runFor(60_000)
    expect(leaderOf(sim).cluster.state.index).toBe(index)
  })

  it('come by entries under load', async () => {
    const sim = await SimCluster.formed(3, { checkpoints: { entriesMax: 10, periodMs: 1_000_000 } })
    for (let at = 0; at < 30; at += 1) await write(sim, leaderOf(sim), `s${at}`)
    await sim.runFor(500)
    for (const node of sim.nodes) expect(node.cluster.state.index - node.cluster.agreement().index).toBeLessThan(25)
  })

  it('change nothing in the state', async () => {
    const sim = await SimCluster.formed(1, { checkpoints })
    await write(sim, sim.node(0), 'one')
    const hash = stateHash(sim.node(0).cluster.state)
    const { index } = sim.node(0).cluster.state
    await sim.runFor(3000)
    expect(sim.node(0).cluster.state.index).toBe(index + 1)
    expect(stateHash(sim.node(0).cluster.state)).toBe(hash)
  })
})

describe('a node that applies differently', () => {
  it('stops where it follows; the others serve on and know of it', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    const [odd] = followers(sim) as [SimNode]
    applyDifferently(odd)
    await write(sim, leaderOf(sim), 'one')
    await sim.until(() => isStopped(odd))
    const { divergence, halted } = odd.cluster.status()
    expect(divergence).toMatchObject({ phase: 'stopped', expected: stateHash(leaderOf(sim).cluster.state) })
    expect(halted).toBe(divergenceText(divergence as NonNullable<typeof divergence>))
    expect(odd.halts.map(({ kind }) => kind)).toEqual(['diverged'])
    await write(sim, leaderOf(sim), 'two')
    await sim.until(() => leaderOf(sim).cluster.agreement().dissenters.length > 0)
    expect(leaderOf(sim).cluster.agreement().dissenters).toMatchObject([{ nodeId: odd.nodeId, hash: divergence?.hash }])
    await expect(sim.settle(odd.cluster.propose(revokeSession('three')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(sim.nodes.filter((node) => !isStopped(node))).toHaveLength(2)
  })

  it('stops where it leads, and another one leads', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    const odd = leaderOf(sim)
    applyDifferently(odd)
    await write(sim, odd, 'one')
    await sim.until(() => isStopped(odd))
    await sim.until(() => sim.leader !== undefined)
    await write(sim, leaderOf(sim), 'two')
    for (const node of sim.nodes.filter((each) => each !== odd)) {
      expect(node.cluster.status()).toMatchObject({ halted: null, divergence: null })
      expect(node.cluster.agreement().dissenters.map(({ nodeId }) => nodeId)).toEqual([odd.nodeId])
    }
  })

  it('stays stopped after a restart, without a vote', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    const [odd, other] = followers(sim) as [SimNode, SimNode]
    applyDifferently(odd)
    await write(sim, leaderOf(sim), 'one')
    await sim.until(() => isStopped(odd))
    await sim.runFor(1000)
    sim.crash(odd)
    expect(odd.disk.state.records.has('~cluster/divergence')).toBe(true)
    await sim.boot(odd)
    expect(odd.cluster.status()).toMatchObject({ divergence: { phase: 'stopped' }, role: 'follower' })
    sim.crash(other)
    await sim.until(() => !leaderOf(sim)?.cluster.status().quorum)
    await sim.runFor(5000)
    const alone = sim.nodes.find((node) => node !== odd && node !== other) as SimNode
    await expect(sim.settle(alone.cluster.propose(revokeSession('lost')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
  })

  it('stops though nobody answers it: it is in doubt until then', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    const [odd, other] = followers(sim) as [SimNode, SimNode]
    applyDifferently(odd)
    other.cluster.handle = () => ({ message: () => undefined, request: () => Promise.reject(new Error('silent')), disconnected: () => undefined })
    sim.crash(other)
    await write(sim, leaderOf(sim), 'one')
    const seen = new Set<string>()
    odd.cluster.watch(() => void seen.add(odd.cluster.status().divergence?.phase ?? 'none'))
    await sim.until(() => isStopped(odd))
    expect(seen).toContain('doubt')
    expect(leaderOf(sim) === undefined || leaderOf(sim).cluster.status().divergence === null).toBe(true)
  })
})

describe('damage in more than one state', () => {
  it('with three different states only the one of the leader goes on', async () => {
    const sim = await SimCluster.formed(3, { checkpoints })
    const odd = followers(sim)
    const leader = leaderOf(sim)
    for (const [at, node] of odd.entries()) {
      node.cluster.watch((event) => {
        if (event.kind === 'applied' && event.command !== null) writeRecord(node.cluster.state, 'revokedSession', 'planted', { id: 'planted', expiresMs: 1_900_000_000_000 + at })
      })
    }
    await write(sim, leader, 'one')
    await sim.until(() => odd.every(isStopped))
    expect(leader.cluster.status()).toMatchObject({ halted: null, divergence: null })
  })
})

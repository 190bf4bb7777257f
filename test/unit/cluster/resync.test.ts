// A node whose disk lost something acknowledged: it votes and acknowledges nothing until the others have taken it back, and then it does again.
import { describe, expect, it } from 'vitest'
import { stateHash } from '../../../src/state/state.ts'
import type { Message } from '../../../src/raft/types.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const smallLog = { compaction: { entriesMax: 10, bytesMax: 1_000_000 } }

async function write(sim: SimCluster, sessions: readonly string[]): Promise<void> {
  for (const session of sessions) {
    const { leader } = sim
    if (leader === undefined) throw new Error('nobody leads')
    await sim.settle(leader.cluster.propose(revokeSession(session)))
  }
}

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`)
const configurationOf = (sim: SimCluster) => sim.leader?.cluster.status().configuration
const isEven = (sim: SimCluster): boolean => new Set(sim.nodes.map((node) => `${node.cluster.state.index} ${stateHash(node.cluster.state)}`)).size === 1

/** What the node says to others as a voter would, from its boot on. */
async function bootListening(sim: SimCluster, node: SimNode, options: { readonly resumes?: boolean } = {}): Promise<Message[]> {
  const said: Message[] = []
  await sim.boot(node, options)
  const send = node.transport.send.bind(node.transport)
  node.transport.send = (message, onSent) => {
    said.push(message)
    send(message, onSent)
  }
  return said
}

/** The leader's membership controller does this in a whole node. */
async function promote(sim: SimCluster, node: SimNode): Promise<void> {
  await sim.until(() => {
    const progress = sim.leader?.cluster.status().progress[node.nodeId]
    return progress?.state === 'replicate' && progress.match === sim.leader?.cluster.status().lastIndex
  })
  await sim.settle((sim.leader as SimNode).cluster.changeConfiguration({ transition: 'simple', steps: [{ kind: 'addVoter', id: node.nodeId }] }))
}

async function damaged(options: Parameters<typeof SimCluster.formed>[1], how: (node: SimNode) => void): Promise<{ readonly sim: SimCluster; readonly node: SimNode }> {
  const sim = await SimCluster.formed(3, options)
  await write(sim, names('before', 40))
  const node = sim.node(2)
  sim.crash(node)
  how(node)
  await write(sim, names('meanwhile', 5))
  return { sim, node }
}

const kinds = [
  ['42: a damaged log beside an intact state', (node: SimNode) => node.disk.damage(), {}],
  ['42: lost state tables behind a compacted log', (node: SimNode) => void (node.disk.state = { head: null, records: new Map() }), smallLog],
  ['42: garbled state tables', (node: SimNode) => void node.disk.state.records.delete('revokedSession/before0'), smallLog],
  ['43: a log that is gone', (node: SimNode) => node.disk.discardLog(), smallLog],
  ['43: a wiped disk', (node: SimNode) => node.disk.wipe(), smallLog],
] as const

describe('a node with a damaged disk', () => {
  it.each(kinds)('%s: silent until it is a learner, then caught up, then a voter again', async (_name, how, options) => {
    const { sim, node } = await damaged(options, how)
    const said = await bootListening(sim, node, { resumes: true })
    expect(node.cluster.status()).toMatchObject({ quorum: false, troubles: [{ type: 'LogDamaged' }] })
    // Whoever asks for its vote or sends entries gets no answer.
    await sim.until(() => node.cluster.status().halted === null)
    expect(said).toEqual([])
    expect(configurationOf(sim)?.voters).not.toContain(node.nodeId)
    expect(configurationOf(sim)?.learners).toContain(node.nodeId)
    await sim.until(() => isEven(sim) && node.cluster.status().troubles.length === 0)
    await promote(sim, node)
    expect(configurationOf(sim)?.voters).toContain(node.nodeId)
    // It is needed now, and has everything.
    sim.crash(sim.node(1))
    await sim.until(() => sim.leader !== undefined)
    await write(sim, names('after', 3))
    expect(node.halts).toMatchObject([{ kind: 'damaged' }])
  })

  it('43: a log that was set back by entries alone, which nothing on its disk shows, is found out by what the leader says', async () => {
    const sim = await SimCluster.formed(3)
    const node = sim.node(2)
    const { leader } = sim
    if (leader === undefined) throw new Error('nobody leads')
    await write(sim, names('s', 10))
    await sim.runFor(100)
    sim.crash(node)
    const copy = structuredClone({ log: node.disk.log, state: node.disk.state })
    await sim.boot(node)
    await write(sim, names('t', 10))
    await sim.runFor(100)
    // Back to an older copy of the same term, log and state alike. The leader does not notice that it was away.
    sim.crash(node)
    Object.assign(node.disk, copy)
    await sim.boot(node)
    expect(node.cluster.status().troubles).toEqual([])
    await sim.until(() => node.halts.length > 0)
    expect(node.halts).toMatchObject([{ kind: 'damaged' }])
    await sim.until(() => node.cluster.status().halted === null && isEven(sim))
    expect(leader.cluster.status().configuration.learners).toContain(node.nodeId)
  })

  it('42: stays put and says so where the majority is damaged, until one of them is back', async () => {
    const sim = await SimCluster.formed(3)
    await write(sim, names('s', 10))
    for (const node of sim.nodes) sim.crash(node)
    sim.node(1).disk.damage()
    sim.node(2).disk.damage()
    for (const node of sim.nodes) await sim.boot(node)
    await sim.runFor(60_000)
    expect(sim.leader).toBeUndefined()
    for (const node of [sim.node(1), sim.node(2)]) {
      expect(node.cluster.status().halted).toMatch(/waits for a leader; 1 of the 2 members that answer are damaged too; .*novacron cluster recover/)
      expect(node.halts).toHaveLength(1)
    }
    // No vote and no write came of it.
    expect(sim.node(0).cluster.status().role).not.toBe('leader')
  })

  it('43: an answer that is lost, or a crash while it begins anew, is made up for by asking again', async () => {
    for (let steps = 0; steps < 60; steps += 3) {
      const { sim, node } = await damaged({ ...smallLog, seed: 1 + (steps % 5) }, (each) => each.disk.damage())
      node.disk.faults.fsyncDelayMs = 3
      await sim.boot(node, { resumes: true })
      await sim.until(() => configurationOf(sim)?.learners.includes(node.nodeId) === true)
      await sim.steps(steps)
      sim.crash(node)
      await sim.boot(node, { resumes: true })
      await sim.until(() => isEven(sim) && node.cluster.status().troubles.length === 0)
      await promote(sim, node)
      expect(new Set(node.halts.map(({ kind }) => kind))).toEqual(new Set(['damaged']))
    }
  })

  it('42: loses nothing acknowledged, whichever one is damaged under load, again and again', async () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const sim = await SimCluster.formed(3, { ...smallLog, seed })
      const acknowledged: string[] = []
      for (let round = 0; round < 4; round += 1) {
        const node = sim.node(sim.random.integer(3))
        const writes = names(`r${round}-`, 12).map((session) => sim.node(sim.random.integer(3)).cluster.propose(revokeSession(session)).then(() => acknowledged.push(session), () => undefined))
        await sim.steps(10 + sim.random.integer(60))
        sim.crash(node)
        if (sim.random.integer(2) === 0) node.disk.damage()
        else node.disk.wipe()
        await sim.boot(node, { resumes: true })
        await sim.until(() => sim.leader !== undefined && isEven(sim) && sim.nodes.every((each) => each.cluster.status().troubles.length === 0), 60_000)
        await promote(sim, node)
        void writes
        for (const session of acknowledged) for (const each of sim.nodes) expect(each.cluster.state.tables.revokedSession.has(session)).toBe(true)
      }
      expect(acknowledged.length).toBeGreaterThan(0)
    }
  })
})

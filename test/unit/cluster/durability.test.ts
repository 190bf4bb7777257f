// What a whole engine says, and when: nothing that was not durable first, nothing twice.
import { describe, expect, it } from 'vitest'
import type { Message } from '../../../src/raft/types.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const never = 3_600_000

function listen(node: SimNode): Message[] {
  const said: Message[] = []
  const send = node.transport.send.bind(node.transport)
  node.transport.send = (message, onSent) => {
    said.push(message)
    send(message, onSent)
  }
  return said
}
const follower = (sim: SimCluster): SimNode => sim.nodes.find((node) => node !== sim.leader) as SimNode

describe('1: before term, vote and entries are durable', () => {
  it('no acknowledgement leaves, and after a crash nobody counts on it', async () => {
    const sim = await SimCluster.formed(3)
    const node = follower(sim)
    await sim.runFor(500)
    const said = listen(node)
    node.disk.faults.fsyncDelayMs = never
    const { lastIndex } = node.cluster.status()
    await sim.settle((sim.leader as SimNode).cluster.propose(revokeSession('a')))
    await sim.runFor(5000)
    expect(said.filter((message) => message.kind === 'appendResponse' && message.index > lastIndex)).toEqual([])
    expect(sim.leader?.cluster.status().progress[node.nodeId]?.match).toBeLessThanOrEqual(lastIndex)
  })

  it('no vote leaves, and none is asked for', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.leader as SimNode
    const rest = sim.nodes.filter((node) => node !== leader)
    const said = rest.map(listen)
    for (const node of rest) node.disk.faults.fsyncDelayMs = never
    sim.crash(leader)
    await sim.runFor(10_000)
    for (const messages of said) expect(messages.filter((message) => message.kind === 'vote' || (message.kind === 'voteResponse' && !message.reject))).toEqual([])
    expect(sim.leader).toBeUndefined()
  })
})

describe('2: a node\'s own append', () => {
  it('counts after its own sync only, also where it is alone', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    const { commit } = node.cluster.status()
    node.disk.faults.fsyncDelayMs = never
    let outcome = 'none'
    node.cluster.propose(revokeSession('a')).then(() => (outcome = 'done'), () => (outcome = 'failed'))
    await sim.runFor(500)
    expect(outcome).toBe('none')
    expect(node.cluster.status().commit).toBe(commit)
    sim.crash(node)
    node.disk.faults.fsyncDelayMs = 0.2
    await sim.boot(node)
    await sim.until(() => node.cluster.status().role === 'leader')
  })

  it('is no part of a majority while its disk hangs: of three, the two others have to hold it', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.leader as SimNode
    const [one, other] = sim.nodes.filter((node) => node !== leader) as [SimNode, SimNode]
    for (const node of [leader, one]) node.disk.faults.fsyncDelayMs = never
    const { commit } = leader.cluster.status()
    leader.cluster.propose(revokeSession('a')).catch(() => undefined)
    await sim.runFor(700)
    expect(other.cluster.status().lastIndex).toBeGreaterThan(commit)
    expect(Math.max(...sim.nodes.map((node) => node.cluster.status().commit))).toBe(commit)
  })
})

describe('3: one vote a term', () => {
  it('also over crashes between the write and the answer: no term ever has two leaders', async () => {
    for (let seed = 1; seed <= 10; seed += 1) {
      const sim = await SimCluster.formed(3, { seed })
      const leaders = new Map<number, string>()
      const granted = new Map<string, string>()
      const follow = (node: SimNode): void => {
        const send = node.transport.send.bind(node.transport)
        node.transport.send = (message, onSent) => {
          if (message.kind === 'voteResponse' && !message.reject) {
            const key = `${message.from} ${message.term}`
            expect(granted.get(key) ?? message.to).toBe(message.to)
            granted.set(key, message.to)
          }
          if (message.kind === 'append') {
            expect(leaders.get(message.term) ?? message.from).toBe(message.from)
            leaders.set(message.term, message.from)
          }
          send(message, onSent)
        }
      }
      for (const node of sim.nodes) follow(node)
      for (let round = 0; round < 15; round += 1) {
        for (const node of sim.nodes) node.disk.faults.fsyncDelayMs = sim.random.integer(80)
        const leader = sim.leader ?? sim.node(0)
        sim.crash(leader)
        await sim.runFor(900 + sim.random.integer(1500))
        const voter = follower(sim)
        if (voter !== leader) {
          sim.crash(voter)
          await sim.boot(voter)
          follow(voter)
        }
        await sim.boot(leader)
        follow(leader)
        await sim.runFor(sim.random.integer(2000))
      }
      for (const node of sim.nodes) node.disk.faults.fsyncDelayMs = 0.2
      await sim.until(() => sim.leader !== undefined)
      expect(leaders.size).toBeGreaterThan(3)
    }
  })
})

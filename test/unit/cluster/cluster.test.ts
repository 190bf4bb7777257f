// Proposals, reads, membership and recovery of whole engines on simulated ports.
import { describe, expect, it } from 'vitest'
import { encodeEntryData } from '../../../src/cluster/entry.ts'
import type { ClusterEvent } from '../../../src/cluster/status.ts'
import type { Command } from '../../../src/model/command.ts'
import { stateHash } from '../../../src/state/state.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const smallLog = { compaction: { entriesMax: 20, bytesMax: 1_000_000 } }

async function write(sim: SimCluster, node: SimNode, count = 1): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    const result = await sim.settle(node.cluster.propose(revokeSession(`s${at}`)))
    expect(result.kind).toBe('done')
  }
}
const followers = (sim: SimCluster): SimNode[] => sim.nodes.filter((node) => node !== sim.leader)
const isEven = (sim: SimCluster): boolean => new Set(sim.nodes.map((node) => `${node.cluster.state.index} ${stateHash(node.cluster.state)}`)).size === 1
const remembers = (node: SimNode, session: string): boolean => node.cluster.state.tables.revokedSession.has(session)

describe('cluster of one', () => {
  it('forms, writes, and is the same after a crash', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    expect(node.cluster.status()).toMatchObject({ role: 'leader', quorum: true, halted: null, configuration: { voters: [node.nodeId] } })
    await write(sim, node, 5)
    const { index } = node.cluster.state
    const hash = stateHash(node.cluster.state)
    sim.crash(node)
    await sim.boot(node)
    await sim.until(() => node.cluster.state.index >= index)
    expect(stateHash(node.cluster.state)).toBe(hash)
    await write(sim, node)
  })

  it('writes its state on an orderly stop, so that nothing is to be replayed', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    await write(sim, node, 3)
    const { index } = node.cluster.state
    await sim.settle(node.cluster.stop())
    expect(node.disk.state.head?.index).toBe(index)
    expect(node.disk.stateUnsynced).toEqual([])
  })
})

describe('writes', () => {
  it('answer at any node once that node has applied them', async () => {
    const sim = await SimCluster.formed(3)
    for (const [at, node] of sim.nodes.entries()) {
      const result = await sim.settle(node.cluster.propose(revokeSession(`at-${at}`)))
      expect(result).toMatchObject({ kind: 'done', index: node.cluster.state.index })
      expect(remembers(node, `at-${at}`)).toBe(true)
    }
    await sim.until(() => isEven(sim))
  })

  it('share one sync when they come together', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    for (const node of sim.nodes) node.disk.faults.fsyncDelayMs = 50
    const startMs = sim.queue.nowMs
    await sim.settle(Promise.all(Array.from({ length: 64 }, (_, at) => leader.cluster.propose(revokeSession(`b${at}`)))))
    // One round here and, at the same time, one at the followers.
    expect(sim.queue.nowMs - startMs).toBeLessThan(150)
  })

  it('are refused as results, not as errors', async () => {
    const sim = await SimCluster.formed(1)
    const command: Command = { ...revokeSession('x'), type: 'vm.act', payload: { id: revokeSession('y').id, action: 'start', operationId: revokeSession('z').id, force: false, timeoutSeconds: 1 } } as unknown as Command
    expect(await sim.settle(sim.node(0).cluster.propose(command))).toMatchObject({ kind: 'refused', code: 'NOT_FOUND' })
  })

  it('that are no commands or too large are INVALID and reach no log', async () => {
    const sim = await SimCluster.formed(3)
    const { lastIndex } = sim.node(0).cluster.status()
    const bad = [{ ...revokeSession('x'), payload: { id: 3 } }, { ...revokeSession('x'), type: 'vm.teleport' }, revokeSession('x'.repeat(1_100_000))] as Command[]
    for (const command of bad) {
      for (const node of sim.nodes) await expect(sim.settle(node.cluster.propose(command))).rejects.toMatchObject({ code: 'INVALID' })
    }
    expect(sim.node(0).cluster.status().lastIndex).toBe(lastIndex)
  })

  it('fail with NO_QUORUM within a second where there is no leader, and are surely not done', async () => {
    const sim = await SimCluster.formed(3)
    const lonely = followers(sim)[0] as SimNode
    sim.network.partition([[lonely.nodeId], sim.nodes.filter((node) => node !== lonely).map(({ nodeId }) => nodeId)])
    await sim.until(() => lonely.cluster.status().leaderId === null)
    const startMs = sim.queue.nowMs
    await expect(sim.settle(lonely.cluster.propose(revokeSession('never')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(sim.queue.nowMs - startMs).toBeLessThanOrEqual(1000)
    await sim.runFor(10_000)
    const againMs = sim.queue.nowMs
    await expect(sim.settle(lonely.cluster.propose(revokeSession('never')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(sim.queue.nowMs - againMs).toBe(0)
    sim.network.heal()
    await sim.until(() => isEven(sim) && lonely.cluster.status().leaderId !== null)
    expect(sim.nodes.some((node) => remembers(node, 'never'))).toBe(false)
  })

  it('statement 9: hear OUTCOME_UNKNOWN within 5 s when their leader is cut off with them', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    sim.network.partition([[leader.nodeId], followers(sim).map(({ nodeId }) => nodeId)])
    const startMs = sim.queue.nowMs
    await expect(sim.settle(leader.cluster.propose(revokeSession('maybe')))).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(sim.queue.nowMs - startMs).toBeLessThanOrEqual(5000)
    expect(leader.cluster.waiting().proposals).toBe(0)
  })

  it('are made again, and once, when the former leader had taken them and lost them', async () => {
    const sim = await SimCluster.formed(3)
    const former = sim.node(0)
    const rest = followers(sim)
    sim.network.partition([[former.nodeId], rest.map(({ nodeId }) => nodeId)])
    const proposed = former.cluster.propose(revokeSession('kept'))
    await sim.until(() => rest.some((node) => node.cluster.status().role === 'leader'))
    sim.network.heal()
    expect(await sim.settle(proposed)).toMatchObject({ kind: 'done' })
    await sim.until(() => isEven(sim))
    expect(remembers(former, 'kept')).toBe(true)
  })

  it('stop at their signal', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    sim.network.partition([[leader.nodeId], followers(sim).map(({ nodeId }) => nodeId)])
    const abort = new AbortController()
    const proposed = leader.cluster.propose(revokeSession('x'), { signal: abort.signal })
    await sim.runFor(10)
    abort.abort(new Error('the client went away'))
    await expect(sim.settle(proposed)).rejects.toThrow('the client went away')
    expect(leader.cluster.waiting().proposals).toBe(0)
  })

  it('are stamped with a time that never goes back', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    await write(sim, node)
    const { timeMs } = node.cluster.state
    node.clock.setSkew(-3_600_000)
    await write(sim, node)
    expect(node.cluster.state.timeMs).toBeGreaterThanOrEqual(timeMs)
  })
})

describe('reads', () => {
  it('see every write acknowledged before, at any node', async () => {
    const sim = await SimCluster.formed(3)
    await write(sim, sim.node(1))
    const { index } = sim.node(1).cluster.state
    for (const node of sim.nodes) {
      const readIndex = await sim.settle(node.cluster.readBarrier())
      expect(readIndex).toBeGreaterThanOrEqual(index)
      expect(node.cluster.state.index).toBeGreaterThanOrEqual(readIndex)
    }
  })

  it('statement 24: go by the leader’s lease where that is asked for: a stopped leader reads nothing stale, whatever the wall clock says', async () => {
    const sim = await SimCluster.formed(3, { leaseReads: true })
    const former = sim.leader!
    const others = followers(sim)
    await sim.runFor(500)
    const beganMs = sim.queue.nowMs
    await sim.settle(former.cluster.readBarrier())
    expect(sim.queue.nowMs).toBe(beganMs)
    former.clock.setSkew(-3_600_000)
    former.clock.stall(5000)
    sim.network.partition([[former.nodeId], others.map(({ nodeId }) => nodeId)])
    await sim.until(() => others.some(({ cluster }) => cluster.status().role === 'leader'), 4500)
    await write(sim, others[0]!)
    expect(former.cluster.status().role).toBe('leader')
    await expect(sim.settle(former.cluster.readBarrier())).rejects.toMatchObject({ code: 'NO_QUORUM' })
  })

  it('statement 24: take a round by default', async () => {
    const sim = await SimCluster.formed(3)
    const beganMs = sim.queue.nowMs
    await sim.settle(sim.leader!.cluster.readBarrier())
    expect(sim.queue.nowMs).toBeGreaterThan(beganMs)
  })

  it('are not confirmed by a leader that is cut off', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    sim.network.partition([[leader.nodeId], followers(sim).map(({ nodeId }) => nodeId)])
    const startMs = sim.queue.nowMs
    await expect(sim.settle(leader.cluster.readBarrier())).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(sim.queue.nowMs - startMs).toBeLessThanOrEqual(1000)
    expect(leader.cluster.waiting().reads).toBe(0)
  })
})

describe('members', () => {
  it('elect another leader when theirs crashes, and take it back with all it missed by snapshot', async () => {
    const sim = await SimCluster.formed(3, smallLog)
    const former = sim.node(0)
    await write(sim, former, 3)
    sim.crash(former)
    const startMs = sim.queue.nowMs
    await sim.until(() => sim.leader !== undefined)
    expect(sim.queue.nowMs - startMs).toBeLessThanOrEqual(3000)
    const events: ClusterEvent[] = []
    await write(sim, sim.leader as SimNode, 120)
    expect(sim.leader?.cluster.status().firstIndex).toBeGreaterThan(60)
    await sim.boot(former)
    former.cluster.watch((event) => events.push(event))
    await sim.until(() => isEven(sim))
    expect(events.some((event) => event.kind === 'replaced')).toBe(true)
    sim.crash(former)
    await sim.boot(former)
    await sim.until(() => isEven(sim))
    expect(former.halts).toEqual([])
  })

  it('hand leadership over', async () => {
    const sim = await SimCluster.formed(3)
    const target = sim.node(2)
    await sim.settle(sim.node(0).cluster.transferLeadership(target.nodeId))
    await sim.until(() => target.cluster.status().role === 'leader')
    await sim.settle(target.cluster.transferLeadership())
    await sim.until(() => sim.leader !== undefined && sim.leader !== target)
    await expect(sim.settle(target.cluster.transferLeadership())).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
  })

  it('hand leadership over when they are stopped, so that no election time-out passes', async () => {
    const sim = await SimCluster.formed(3)
    const former = sim.node(0)
    await write(sim, former)
    const startMs = sim.queue.nowMs
    await sim.settle(former.cluster.stop())
    sim.network.crash(former.nodeId)
    await sim.until(() => sim.nodes.slice(1).some((node) => node.cluster.status().role === 'leader'))
    expect(sim.queue.nowMs - startMs).toBeLessThan(100)
    await write(sim, sim.node(1))
  })

  it('hand leadership over to who stays, while the configuration is joint', async () => {
    const sim = await SimCluster.formed(3)
    const former = sim.node(0)
    const [first, second] = followers(sim).toSorted((left, right) => (left.nodeId < right.nodeId ? -1 : 1)) as [SimNode, SimNode]
    // Of two with equal logs the first by id would be asked, and it is the one that leaves.
    await sim.settle(former.cluster.changeConfiguration({ transition: 'explicit', steps: [{ kind: 'remove', id: first.nodeId }] }))
    await sim.runFor(300)
    const startMs = sim.queue.nowMs
    await sim.settle(former.cluster.stop())
    sim.network.crash(former.nodeId)
    await sim.until(() => second.cluster.status().role === 'leader')
    expect(sim.queue.nowMs - startMs).toBeLessThan(100)
  })

  it('can be removed, also the leader', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    await sim.settle(leader.cluster.changeConfiguration({ transition: 'auto', steps: [{ kind: 'remove', id: leader.nodeId }] }))
    await sim.until(() => sim.leader !== undefined && sim.leader !== leader)
    expect((sim.leader as SimNode).cluster.status().configuration.voters).not.toContain(leader.nodeId)
    await write(sim, sim.leader as SimNode)
  })

  it('are not said to have changed where the change was lost with its leader', async () => {
    const sim = await SimCluster.formed(3)
    const former = sim.node(0)
    const rest = followers(sim)
    sim.network.partition([[former.nodeId], rest.map(({ nodeId }) => nodeId)])
    const change = former.cluster.changeConfiguration({ transition: 'auto', steps: [{ kind: 'addLearner', id: sim.add().nodeId }] })
    change.catch(() => undefined)
    await sim.until(() => rest.some((node) => node.cluster.status().role === 'leader'))
    // What stands in its place is applied together with what follows.
    await write(sim, rest.find((node) => node.cluster.status().role === 'leader') as SimNode, 3)
    sim.network.heal()
    await expect(sim.settle(change)).rejects.toMatchObject({ code: 'STATE_CONFLICT' })
    expect(former.cluster.status().configuration.learners).toEqual([])
  })

  it.each([
    ['at once', false],
    ['behind a barrier', true],
  ])('that were replaced go %s, and the leader dies with them: those who stay elect another: %s', async (_when, isBarred) => {
    const sim = await SimCluster.formed(3)
    const [leader, replaced, slow] = [sim.node(0), sim.node(1), sim.node(2)]
    const added = sim.add()
    await sim.boot(added)
    await sim.runFor(500)
    // The one is slow: the change is committed without it.
    sim.network.cut(leader.nodeId, slow.nodeId)
    const steps = [{ kind: 'addVoter' as const, id: added.nodeId }, { kind: 'remove' as const, id: replaced.nodeId }]
    leader.cluster.changeConfiguration({ transition: 'implicit', steps }).catch(() => undefined)
    await sim.until(() => leader.cluster.status().configuration.voters.includes(added.nodeId) && leader.cluster.status().configuration.votersOutgoing.length === 0)
    if (isBarred) await sim.settle(leader.cluster.commitBarrier())
    // What it has not heard by now, it will not hear.
    sim.network.cut(leader.nodeId, added.nodeId)
    await sim.runFor(20)
    sim.crash(leader)
    sim.crash(replaced)
    sim.network.heal()
    await sim.runFor(10_000)
    expect([slow, added].some((node) => node.cluster.status().role === 'leader')).toBe(isBarred)
  })

  it('that are removed keep on disk, too, what they need to lead once more', async () => {
    const sim = await SimCluster.formed(2, { compaction: { entriesMax: 2, bytesMax: 1_000_000 }, raft: { committedBytesMax: 1 } })
    const [removed, other] = [sim.node(0), sim.node(1)]
    const removal = removed.cluster.status().lastIndex + 1
    const lost: Promise<unknown>[] = [removed.cluster.changeConfiguration({ transition: 'simple', steps: [{ kind: 'remove', id: removed.nodeId }] })]
    lost.push(removed.cluster.propose(revokeSession('behind the removal')))
    await sim.until(() => other.cluster.status().lastIndex > removal)
    // The other acknowledges both, but never hears that they are committed, and its log is the shorter one.
    sim.network.cut(removed.nodeId, other.nodeId)
    lost.push(removed.cluster.propose(revokeSession('the last word')))
    for (const each of lost) each.catch(() => undefined)
    await sim.until(() => removed.cluster.status().configuration.voters.length === 1 && removed.cluster.status().applied > removal)
    await sim.runFor(500)
    expect(removed.disk.log?.base.index).toBeLessThan(removal)
    sim.crash(removed)
    sim.network.heal()
    await sim.boot(removed)
    await sim.until(() => other.cluster.status().role === 'leader' && other.cluster.status().configuration.voters.length === 1, 20_000)
    await write(sim, other)
  })
})

/** Timers of the node's clock that neither fired nor were cancelled, from now on. */
function openTimers(node: SimNode): Set<object> {
  const open = new Set<object>()
  const after = node.clock.after.bind(node.clock)
  node.clock.after = (delayMs, action) => {
    const timer = {}
    open.add(timer)
    const cancel = after(delayMs, () => {
      open.delete(timer)
      action()
    })
    return () => {
      open.delete(timer)
      cancel()
    }
  }
  return open
}

describe('a stop', () => {
  it('answers whoever waits, and leaves no timer behind', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    const timers = openTimers(leader)
    sim.network.partition([[leader.nodeId], followers(sim).map(({ nodeId }) => nodeId)])
    const read = leader.cluster.waitApplied(1_000_000)
    const proposed = leader.cluster.propose(revokeSession('x'))
    // It has just found out that it leads nobody any more.
    await sim.until(() => leader.cluster.status().leaderId === null)
    read.catch(() => undefined)
    proposed.catch(() => undefined)
    const startMs = sim.queue.nowMs
    const stopping = leader.cluster.stop()
    await expect(sim.settle(read)).rejects.toMatchObject({ code: 'NO_QUORUM' })
    await expect(sim.settle(proposed)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await sim.settle(stopping)
    await leader.transport.stop()
    await sim.runFor(10)
    expect(sim.queue.nowMs - startMs).toBeLessThan(100)
    expect(timers.size).toBe(0)
    await expect(leader.cluster.waitApplied(1_000_000)).rejects.toMatchObject({ code: 'NO_QUORUM' })
  })

  it('by itself, too: a node that halts lets nobody wait', async () => {
    const sim = await SimCluster.formed(3)
    const node = followers(sim)[0] as SimNode
    const read = node.cluster.waitApplied(1_000_000)
    read.catch(() => undefined)
    node.disk.faults.fsyncFails = true
    await write(sim, sim.node(0))
    await sim.until(() => node.halts.length > 0)
    const startMs = sim.queue.nowMs
    await expect(sim.settle(read)).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(sim.queue.nowMs).toBe(startMs)
  })
})

describe('halts', () => {
  it('statement 40: with a failed sync, for good, while the others go on', async () => {
    const sim = await SimCluster.formed(3)
    const leader = sim.node(0)
    leader.disk.faults.fsyncFails = true
    const proposed = leader.cluster.propose(revokeSession('x'))
    await expect(sim.settle(proposed)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(leader.halts).toMatchObject([{ kind: 'storage' }])
    leader.disk.faults.fsyncFails = false
    await sim.until(() => sim.leader !== undefined && sim.leader !== leader)
    await write(sim, sim.leader as SimNode)
    await expect(sim.settle(leader.cluster.propose(revokeSession('x')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
    expect(leader.cluster.status()).toMatchObject({ quorum: false })
    sim.crash(leader)
    await sim.boot(leader)
    await sim.until(() => isEven(sim))
  })

  it('statement 42: on a damaged log, and neither votes nor counts', async () => {
    const sim = await SimCluster.formed(3)
    const damaged = sim.node(2)
    sim.crash(damaged)
    damaged.disk.damage()
    await sim.boot(damaged)
    expect(damaged.halts).toMatchObject([{ kind: 'damaged' }])
    sim.crash(sim.node(1))
    await sim.runFor(10_000)
    expect(sim.leader).toBeUndefined()
  })

  it('where the log is gone and the state is not', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    await write(sim, node)
    await sim.settle(node.cluster.stop())
    node.disk.discardLog()
    await sim.boot(node)
    expect(node.halts).toMatchObject([{ kind: 'damaged' }])
  })

  it('before an entry of a newer version, but not before one that may be skipped', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    await sim.settle(node.cluster.stop())
    const { log } = node.disk
    if (log === null) throw new Error('there is no log')
    const { term } = log.entries.at(-1) as { term: number }
    const next = log.entries.length + 1
    const entry = (index: number, type: string) => ({ index, term, kind: 'normal' as const, data: encodeEntryData(1, { ...revokeSession('x'), type } as unknown as Command) })
    log.entries.push(entry(next, 'ignorable.hint'), entry(next + 1, 'vm.teleport'))
    await sim.boot(node)
    await sim.until(() => node.halts.length > 0)
    expect(node.halts).toMatchObject([{ kind: 'unknownCommand' }])
    expect(node.cluster.state.index).toBe(next)
  })
})

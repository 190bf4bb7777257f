// Crashes at every step: log and state are written apart, and each order of losing them has to end well.
import { describe, expect, it } from 'vitest'
import { recover } from '../../../src/cluster/recovery.ts'
import { SimLogStore } from '../../../src/drivers/sim/log-store.ts'
import { SimStateStore } from '../../../src/drivers/sim/state-store.ts'
import { stateHash } from '../../../src/state/state.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const smallLog = { compaction: { entriesMax: 10, bytesMax: 1_000_000 } }
const isEven = (sim: SimCluster): boolean => new Set(sim.nodes.map((node) => `${node.cluster.state.index} ${stateHash(node.cluster.state)}`)).size === 1

/** A node that is being brought back by a snapshot, just when its state begins to be replaced; `isNew`: its disk was empty. */
async function withSnapshotUnderWay(seed: number, isNew: boolean): Promise<{ readonly sim: SimCluster; readonly behind: SimNode }> {
  const sim = await SimCluster.formed(3, { ...smallLog, seed })
  const behind = isNew ? sim.add() : sim.node(2)
  if (!isNew) sim.crash(behind)
  for (let at = 0; at < 60; at += 1) await sim.settle(sim.node(0).cluster.propose(revokeSession(`s${at}`)))
  await sim.boot(behind)
  if (isNew) sim.node(0).cluster.changeConfiguration({ transition: 'auto', steps: [{ kind: 'addLearner', id: behind.nodeId }] }).catch(() => undefined)
  for (const node of sim.nodes) node.disk.faults.fsyncDelayMs = 3
  await sim.until(() => behind.disk.stateUnsynced.length > 0)
  return { sim, behind }
}

describe('recovery', () => {
  it.each([
    ['a member that was away', false],
    ['a new member', true],
  ])('36, 37: survives a crash at every step of a snapshot installation: %s', async (_name, isNew) => {
    let replacedFirst = 0
    for (let step = 0; step < 40; step += 1) {
      const { sim, behind } = await withSnapshotUnderWay(1 + (step % 4), isNew)
      await sim.steps(step)
      sim.crash(behind)
      const { state, log } = behind.disk
      if ((state.head?.index ?? 0) > Math.max(log?.entries.at(-1)?.index ?? 0, log?.base.index ?? 0)) replacedFirst += 1
      await sim.boot(behind)
      await sim.until(() => isEven(sim))
      expect(behind.halts).toEqual([])
    }
    // The dangerous moment, state ahead of the log, was among them.
    expect(replacedFirst).toBeGreaterThan(0)
  })

  it('38: refuses a snapshot whose image is damaged, keeps what it has, and gets another', async () => {
    const sim = await SimCluster.formed(3, { ...smallLog, seed: 3 })
    const behind = sim.node(2)
    sim.crash(behind)
    for (let at = 0; at < 60; at += 1) await sim.settle(sim.node(0).cluster.propose(revokeSession(`s${at}`)))
    const { transport } = sim.leader as SimNode
    const send = transport.send.bind(transport)
    let damaged = 0
    transport.send = (message, onSent) => {
      if (message.kind !== 'snapshot' || damaged >= 3) return send(message, onSent)
      damaged += 1
      const data = Uint8Array.from(message.snapshot.data)
      data[damaged * 100] = (data[damaged * 100] ?? 0) ^ 1
      send({ ...message, snapshot: { ...message.snapshot, data } }, onSent)
    }
    const before = behind.disk.log?.base.index
    await sim.boot(behind)
    await sim.until(() => damaged > 0)
    expect(behind.disk.log?.base.index).toBe(before)
    await sim.until(() => isEven(sim), 30_000)
    expect(damaged).toBe(3)
    expect(behind.halts).toEqual([])
  })

  it('36, 41: loses nothing acknowledged when all crash at once, again and again', async () => {
    const sim = await SimCluster.formed(3, { ...smallLog, seed: 7 })
    const acknowledged: string[] = []
    for (let round = 0; round < 12; round += 1) {
      const node = sim.nodes[round % 3] as SimNode
      const writes = Array.from({ length: 15 }, async (_, at) => {
        const session = `r${round}-${at}`
        await node.cluster.propose(revokeSession(session)).then(
          () => acknowledged.push(session),
          () => undefined,
        )
      })
      await sim.steps(10 + round * 7)
      for (const each of sim.nodes) sim.crash(each)
      for (const each of sim.nodes) await sim.boot(each)
      await sim.until(() => sim.leader !== undefined && isEven(sim))
      void writes
      for (const each of sim.nodes) for (const session of acknowledged) expect(each.cluster.state.tables.revokedSession.has(session)).toBe(true)
    }
    expect(acknowledged.length).toBeGreaterThan(20)
  })

  it('takes a log whose base is beyond the state for damaged', async () => {
    const sim = await SimCluster.formed(1, smallLog)
    const node = sim.node(0)
    for (let at = 0; at < 30; at += 1) await sim.settle(node.cluster.propose(revokeSession(`s${at}`)))
    await sim.settle(node.cluster.stop())
    expect(node.disk.log?.base.index).toBeGreaterThan(0)
    node.disk.state = { head: null, records: new Map() }
    await sim.boot(node)
    expect(node.halts).toMatchObject([{ kind: 'damaged' }])
  })

  it('takes a state whose records do not have their hash for damaged', async () => {
    const sim = await SimCluster.formed(1)
    const node = sim.node(0)
    await sim.settle(node.cluster.propose(revokeSession('s')))
    await sim.settle(node.cluster.stop())
    node.disk.state.records.delete('revokedSession/s')
    await sim.boot(node)
    expect(node.halts).toMatchObject([{ kind: 'damaged' }])
  })

  it('syncs a state that is ahead of the log before the log begins behind it', async () => {
    const { sim, behind } = await withSnapshotUnderWay(1, false)
    await sim.until(() => (behind.disk.state.head?.index ?? 0) > Math.max(behind.disk.log?.entries.at(-1)?.index ?? 0, behind.disk.log?.base.index ?? 0))
    behind.disk.logInFlight = null
    sim.crash(behind)
    const clock = new SimClock(sim.queue)
    const calls: string[] = []
    const logStore = new SimLogStore({ disk: behind.disk, clock })
    const stateStore = new SimStateStore({ disk: behind.disk, clock })
    const writeLog = logStore.write.bind(logStore)
    logStore.write = async (batch) => {
      calls.push(`log from ${batch.base?.meta.index}`)
      await writeLog(batch)
    }
    const writeState = stateStore.write.bind(stateStore)
    stateStore.write = async (batch) => {
      calls.push(`state at ${batch.head.index}${batch.sync ? ', synced' : ''}`)
      await writeState(batch)
    }
    const recovered = await sim.settle(recover({ nodeId: behind.nodeId, bootstrap: false }, { logStore, stateStore }))
    const { index } = recovered.state
    expect(recovered).toMatchObject({ kind: 'ready', base: { index } })
    expect(calls).toEqual([`state at ${index}, synced`, `log from ${index}`])
  })
})

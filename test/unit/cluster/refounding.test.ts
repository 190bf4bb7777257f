// A quorum is lost in a simulated cluster of three: the survivor's stores are founded anew; a superseded member takes no part.
import { describe, expect, it } from 'vitest'
import { installSole, readToEnd } from '../../../src/cluster/refounding.ts'
import { SimLogStore } from '../../../src/drivers/sim/log-store.ts'
import { SimStateStore } from '../../../src/drivers/sim/state-store.ts'
import { indexJump } from '../../../src/state/refounding.ts'
import { revokeSession } from './command.ts'
import { SimCluster, type SimNode } from './sim-cluster.ts'

const remembers = (node: SimNode, session: string): boolean => node.cluster.state.tables.revokedSession.has(session)

/** What `cluster recover` does to the stores of a node that is down; nodes and VMs are the state's, and this one has none. */
async function refound(sim: SimCluster, node: SimNode): Promise<void> {
  const stores = { logStore: new SimLogStore({ disk: node.disk, clock: node.clock }), stateStore: new SimStateStore({ disk: node.disk, clock: node.clock }) }
  const { state, term } = await sim.settle(readToEnd(node.nodeId, stores))
  state.index += indexJump
  state.term = term + 1
  await sim.settle(installSole(node.nodeId, state, stores))
  await sim.settle(Promise.all([stores.logStore.close(), stores.stateStore.close()]))
}

describe('a survivor', () => {
  it('goes on alone with every acknowledged write that reached it, also one whose commit it never heard of', async () => {
    const sim = await SimCluster.formed(3)
    const [leader, survivor, other] = [sim.node(0), sim.node(1), sim.node(2)]
    expect((await sim.settle(leader.cluster.propose(revokeSession('early')))).kind).toBe('done')
    sim.crash(other)
    expect((await sim.settle(leader.cluster.propose(revokeSession('late')))).kind).toBe('done')
    sim.crash(leader)
    await sim.runFor(5_000)
    expect(survivor.cluster.status().quorum).toBe(false)
    await sim.settle(survivor.cluster.stop())
    await refound(sim, survivor)
    await sim.boot(survivor)
    await sim.until(() => survivor.cluster.status().role === 'leader')
    expect(survivor.cluster.status()).toMatchObject({ quorum: true, configuration: { voters: [survivor.nodeId], learners: [] } })
    for (const session of ['early', 'late']) expect(remembers(survivor, session), session).toBe(true)
    expect((await sim.settle(survivor.cluster.propose(revokeSession('alone')))).kind).toBe('done')
    expect(survivor.cluster.state.index).toBeGreaterThan(indexJump)
    sim.crash(survivor)
    await sim.boot(survivor)
    await sim.until(() => remembers(survivor, 'alone'))
  })
})

describe('a superseded member', () => {
  it('takes no part from then on: the former majority is none any more', async () => {
    const sim = await SimCluster.formed(3)
    const [one, two] = [sim.node(0), sim.node(1)]
    sim.crash(sim.node(2))
    await sim.runFor(1_000)
    two.cluster.supersede('the cluster was founded anew')
    expect(two.cluster.status()).toMatchObject({ halted: 'the cluster was founded anew' })
    expect(two.halts).toMatchObject([{ kind: 'superseded' }])
    await expect(sim.settle(one.cluster.propose(revokeSession('x')))).rejects.toMatchObject({ code: expect.stringMatching(/NO_QUORUM|OUTCOME_UNKNOWN/) })
    await sim.until(() => !one.cluster.status().quorum)
    await expect(sim.settle(two.cluster.propose(revokeSession('y')))).rejects.toMatchObject({ code: 'NO_QUORUM' })
  })

  it('nor after a start that was told so; its state can be looked at', async () => {
    const sim = await SimCluster.formed(1)
    await sim.settle(sim.node(0).cluster.propose(revokeSession('kept')))
    sim.crash(sim.node(0))
    const told = new SimCluster({ superseded: 'founded anew' })
    const node = told.add()
    await told.boot(node, { bootstrap: true })
    await told.runFor(3_000)
    expect(node.cluster.status()).toMatchObject({ role: 'follower', halted: 'founded anew', quorum: false })
  })
})

// Elections and leases know the monotonic clock only.
import { expect, it } from 'vitest'
import { revokeSession } from './command.ts'
import { SimCluster } from './sim-cluster.ts'

const hourMs = 3_600_000

it.each([false, true])('statement 11: wall clocks that jump an hour forward and back change neither leader nor term, and no write or read waits (lease reads: %s)', async (leaseReads) => {
  const sim = await SimCluster.formed(3, { leaseReads })
  const { term, leaderId } = sim.node(0).cluster.status()
  for (const node of sim.nodes) {
    for (const skewMs of [hourMs, -hourMs, 0]) {
      node.clock.setSkew(skewMs)
      await sim.runFor(3000)
      const beganMs = sim.queue.nowMs
      for (const each of sim.nodes) {
        expect(await sim.settle(each.cluster.propose(revokeSession(`${node.nodeId} ${skewMs}`)))).toMatchObject({ kind: 'done' })
        await sim.settle(each.cluster.readBarrier())
      }
      expect(sim.queue.nowMs - beganMs).toBeLessThan(500)
    }
  }
  for (const { cluster } of sim.nodes) expect(cluster.status()).toMatchObject({ term, leaderId })
})

it('statement 11: after a jump a leader that is cut off is replaced in the usual time', async () => {
  const sim = await SimCluster.formed(3, { seed: 2 })
  const [former, ...others] = sim.nodes
  for (const node of sim.nodes) node.clock.setSkew(-hourMs)
  sim.crash(former!)
  await sim.until(() => others.some(({ cluster }) => cluster.status().role === 'leader'), 3000)
})

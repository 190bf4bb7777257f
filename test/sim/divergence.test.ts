// The divergence alarm on whole simulated nodes: one applies differently, is found, stops, says so, and its guests run on.
import { beforeEach, describe, expect, it } from 'vitest'
import { stateHash, writeRecord } from '../../src/state/state.ts'
import type { SimHost } from './host.ts'
import { Bench } from './migration.ts'
import { World } from './world.ts'

let world: World
let bench: Bench
const alarmMs = 20_000

beforeEach(async () => {
  world = new World({ seed: 17 })
  // What this file plants and awaits is no violation; what the checker itself would find at once is left to the alarm.
  const violate = world.checker.violate.bind(world.checker)
  world.checker.violate = (what) => {
    if (!/state differs at|states of nodes differ|has another state than|halted: diverged|state at \d+, beyond/.test(what)) violate(what)
  }
  bench = new Bench(world)
  await bench.form()
})

/** The planted bug: from now on the host writes something else than the others when a VM is made. */
function applyDifferently(host: SimHost): void {
  const { cluster } = host.node!
  cluster.watch((event) => {
    if (event.kind !== 'applied' || event.command?.type !== 'vm.create') return
    const vm = cluster.state.tables.vm.get(event.command.payload.id)!
    writeRecord(cluster.state, 'vm', vm.id, { ...vm, labels: { planted: host.name } })
  })
}

const isStopped = (host: SimHost): boolean => host.node?.cluster.status().divergence?.phase === 'stopped'
const others = (odd: SimHost): readonly SimHost[] => world.hosts.filter((host) => host !== odd)
const lead = (): SimHost => world.leader as SimHost

describe('a node that applies differently', () => {
  it.each(['a follower', 'the leader'])('%s is found, stops and lets its guests run; the others tell of it', { timeout: 60_000 }, async (who) => {
    const kept = await bench.makeVm('kept', 'running')
    const home = bench.host(bench.state.tables.vm.get(kept)!.assignment!.nodeId)
    if ((home === lead()) !== (who === 'the leader')) {
      const target = who === 'the leader' ? home : others(home)[0]!
      await world.settle('leadership moves', 10_000, who === 'the leader' ? lead().node!.cluster.transferLeadership(target.nodeId) : home.node!.cluster.transferLeadership(target.nodeId))
      await world.until('the other one leads', 10_000, () => lead() === target)
    }
    const odd = home
    applyDifferently(odd)
    await bench.makeVm('planted', 'running')
    const runs = odd.machine.runningVcpus().length
    expect(runs).toBeGreaterThan(0)
    await world.until('the odd node stops', alarmMs, () => isStopped(odd))
    await world.until('another node leads', alarmMs, () => lead() !== odd && lead()?.node?.app.readiness() === null)
    await world.until('it is written down', alarmMs, () => bench.state.tables.node.get(odd.nodeId)?.divergence !== undefined)
    expect(odd.node?.app.divergence()).toMatchObject({ phase: 'stopped' })
    expect(odd.node?.app.readiness()).toMatch(/differs from the cluster's at index \d+ or before/)
    await world.run(world.queue.nowMs + 100)
    const view = lead().node!.app.nodes.get(bench.caller, odd.name)
    expect(view.status).toMatchObject({ ready: false, reason: expect.stringContaining('its state differs') as unknown, conditions: [{ type: 'StateDiverged', status: 'true' }] })
    expect([...bench.state.tables.event.values()].filter((event) => event.reason === 'node.diverged')).toMatchObject([{ name: odd.name }])
    await bench.makeVm('after', 'running')
    await world.run(world.queue.nowMs + 60_000)
    expect(odd.machine.runningVcpus()).toHaveLength(runs)
    for (const host of others(odd)) expect(host.node?.cluster.status()).toMatchObject({ halted: null, divergence: null })
    expect(new Set(others(odd).map((host) => stateHash(host.node!.cluster.state))).size).toBe(1)
    expect(world.checker.violation).toBeNull()
  })

  it('nothing is found where nothing differs', async () => {
    await bench.makeVm('web', 'running')
    await world.run(world.queue.nowMs + 60_000)
    for (const host of world.hosts) expect(host.node?.cluster.agreement()).toMatchObject({ dissenters: [], index: expect.any(Number) as unknown })
    expect(lead().node!.cluster.state.index - lead().node!.cluster.agreement().index).toBeLessThan(10)
    expect(world.checker.violation).toBeNull()
  })
})

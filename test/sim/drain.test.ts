// A drain in the simulator: all VMs leave, a few at a time; what fits nowhere stays and is named; it can be taken back.
import { beforeEach, describe, expect, it } from 'vitest'
import { isOnItsWay } from '../../src/model/vm.ts'
import { Bench } from './migration.ts'
import { World } from './world.ts'

let world: World
let bench: Bench
const options = () => ({ idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal })

beforeEach(async () => {
  world = new World({ seed: 11 })
  bench = new Bench(world)
  await bench.form()
})

const nodes = () => world.leader!.node!.app.nodes

async function drain(node: string, concurrency = 2): Promise<string> {
  const written = await world.settle('the drain begins', 10_000, nodes().drain(bench.caller, node, { concurrency }, options()))
  if ('dryRun' in written) throw new Error('a dry run')
  return written.id
}

async function ended(id: string): Promise<void> {
  await world.until('the drain ends', 120_000, () => bench.hasEnded(id))
  expect(world.checker.violation).toBeNull()
}

const vmsOn = (name: string) => [...bench.state.tables.vm.values()].filter((vm) => vm.assignment?.nodeId === world.hosts.find((host) => host.name === name)?.nodeId)

describe('a drain', () => {
  it('moves running and stopped VMs, never more at once than it may', async () => {
    for (let number = 0; number < 7; number++) await bench.makeVm(`vm-${number}`, number % 2 === 0 ? 'running' : 'stopped')
    const [node] = ['n1', 'n2', 'n3'].toSorted((left, right) => vmsOn(right).length - vmsOn(left).length)
    const before = vmsOn(node!).length
    expect(before).toBeGreaterThan(1)
    const id = await drain(node!, 1)
    let most = 0
    await world.run(world.queue.nowMs + 120_000, () => {
      const moving = [...bench.state.tables.vm.values()].filter((vm) => isOnItsWay(vm)).length
      most = Math.max(most, moving)
      return bench.hasEnded(id)
    })
    expect(most).toBe(1)
    expect(bench.state.tables.operation.get(id)).toMatchObject({ state: 'done', actor: 'admin' })
    expect(vmsOn(node!)).toEqual([])
    expect([...bench.state.tables.migration.values()].map(({ outcome, actor }) => `${outcome} by ${actor}`)).toEqual(Array.from({ length: before }, () => 'done by admin'))
    expect(bench.state.tables.node.get(world.hosts.find((host) => host.name === node)!.nodeId)?.spec).toEqual({ schedulable: false, draining: true })
  })

  it('names what fits nowhere, and is over with an uncordon', async () => {
    const vmId = await bench.makeVm('web', 'stopped')
    const home = bench.host(bench.state.tables.vm.get(vmId)!.assignment!.nodeId)
    for (const host of world.hosts) if (host !== home) await world.settle('closed', 10_000, nodes().patch(bench.caller, host.name, { spec: { schedulable: false } }, options()))
    const id = await drain(home.name)
    await ended(id)
    expect(bench.state.tables.operation.get(id)).toMatchObject({ state: 'failed', error: { code: 'NO_FIT', message: expect.stringMatching(/web: n\d takes no new VMs/) as unknown } })
    await world.settle('uncordoned', 10_000, nodes().uncordon(bench.caller, home.name, options()))
    expect(bench.state.tables.node.get(home.nodeId)?.spec).toEqual({ schedulable: true })
    expect(bench.state.tables.vm.get(vmId)?.assignment?.nodeId).toBe(home.nodeId)
  })

  it('goes on after a restart of the daemon', async () => {
    const vmId = await bench.makeVm('web', 'running')
    const home = bench.host(bench.state.tables.vm.get(vmId)!.assignment!.nodeId)
    const id = await drain(home.name)
    await bench.reach(bench.state.tables.vm.get(vmId)?.operationId ?? '', { step: 'transfer', direction: 'forward' }, 5_000)
    home.killDaemon()
    await world.run(world.queue.nowMs + 2_000)
    world.boot(home)
    await ended(id)
    expect(bench.state.tables.operation.get(id)?.state).toBe('done')
    expect(vmsOn(home.name)).toEqual([])
  })
})

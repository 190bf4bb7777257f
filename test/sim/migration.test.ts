// Every step of every migration, both ways, under every fault: the points come from the operation's own table, so that a new step is tested or fails here.
import { describe, expect, it } from 'vitest'
import { moveSteps, type MoveKind } from '../../src/model/migration.ts'
import { Bench, strikes, type Point, type StrikeName } from './migration.ts'
import { World } from './world.ts'

/** How long after the step began the fault comes, milliseconds. */
const offsetsMs = [0, 4, 60, 700]
const healsAfterMs = 4_000
const triesMax = 8
const names = Object.keys(strikes) as readonly StrikeName[]

const points = (Object.keys(moveSteps) as MoveKind[]).flatMap((kind) =>
  moveSteps[kind].flatMap((step): { kind: MoveKind; point: Point }[] => [
    { kind, point: { step: step.name, direction: 'forward' } },
    ...(step.undo ? [{ kind, point: { step: step.name, direction: 'back' as const } }] : []),
  ]),
)

describe.each(points)('$kind $point.direction $point.step', ({ kind, point }) => {
  it('survives every fault with one running VM, nothing left elsewhere, and an entry in the history', { timeout: 120_000 }, async () => {
    const world = new World({ seed: 7 })
    const bench = new Bench(world)
    await bench.form()
    const vmId = await bench.makeVm('web', kind === 'vm-migrate' ? 'running' : 'stopped')
    const struck = new Set<StrikeName>()
    const outcomes: Record<string, number> = {}
    for (const [at, name] of names.entries()) {
      for (const offsetMs of offsetsMs.slice(at % 2, (at % 2) + 3)) {
        for (let tries = 0; tries < triesMax; tries++) {
          const { outcome, reached } = await once(bench, vmId, { point, name, offsetMs, turn: at + offsetMs + tries })
          expect(world.checker.violation, `${name} after ${offsetMs} ms`).toBeNull()
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
          if (!reached) continue
          struck.add(name)
          break
        }
      }
    }
    expect([...struck]).toEqual(names)
    expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(names.length * 3)
  })
})

/** One migration with one fault; a step may be over before anybody saw it. */
async function once(bench: Bench, vmId: string, plan: { readonly point: Point; readonly name: StrikeName; readonly offsetMs: number; readonly turn: number }) {
  const { world } = bench
  const { point, name, offsetMs, turn } = plan
  const source = bench.host(bench.state.tables.vm.get(vmId)!.assignment!.nodeId)
  const target = world.hosts.filter((host) => host !== source)[turn % 2]!
  const operationId = await bench.begin(vmId, target)
  if (point.direction === 'back') {
    await bench.reach(operationId, { step: point.step, direction: 'forward' }, 30_000)
    await bench.cancel(operationId).catch(() => undefined)
  }
  const reached = await bench.reach(operationId, point, 30_000)
  if (reached) {
    await world.run(world.queue.nowMs + offsetMs)
    const heal = strikes[name](world, { source, target, vmId })
    await world.run(world.queue.nowMs + healsAfterMs)
    heal()
  }
  await bench.settled(vmId, operationId)
  return { outcome: bench.state.tables.migration.get(operationId)?.outcome ?? 'none', reached }
}

// Watching events from a place in the past, on a state whose oldest events are gone.
import { systemClock } from '../../../src/drivers/host/clock.ts'
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller } from '../../../src/app/face.ts'
import { RecordUseCases } from '../../../src/app/records.ts'
import { eventsKeptMax, type Event } from '../../../src/model/event.ts'
import { recoverCluster } from '../../../src/state/refounding.ts'
import { admin, World } from '../state/world.ts'

const caller: Caller = { actor: admin, userId: 'u', userName: 'admin', bindings: [{ role: 'administrator', scope: '*' }], session: null }

function recordsOf(world: World, nodeId: string) {
  const records = new RecordUseCases(new AppContext({ nodeId: nodeId as never, version: '0' }, { clock: systemClock, consensus: { state: world.state, watch: () => () => undefined } } as unknown as AppPorts))
  return (after: string): readonly Event[] => {
    const seen: Event[] = []
    records.watch(caller, after, { event: (event) => seen.push(event), reset: () => undefined })
    return seen
  }
}

test('an old place is good while nothing was dropped; afterwards it is gone, and the oldest kept event is a good one', () => {
  const world = new World()
  const { nodeId } = world.form()
  const vmId = world.vm(nodeId, 'web')
  const watch = recordsOf(world, nodeId)
  const [first] = world.state.tables.event.keys()
  expect(watch('0.0').length).toBe(world.state.tables.event.size)
  for (let at = 0; at < eventsKeptMax + 500; at++) world.run('vm.patch', { id: vmId, patch: { labels: { step: String(at) } }, seed: '00' })
  expect(world.state.tables.event.size).toBe(eventsKeptMax)
  for (const gone of ['0.0', first ?? '']) expect(() => watch(gone), gone).toThrow(expect.objectContaining({ code: 'EVENTS_GONE' }))
  const [oldest] = world.state.tables.event.keys()
  expect(watch(oldest ?? '').length).toBe(eventsKeptMax - 1)
  const last = [...world.state.tables.event.keys()].at(-1) ?? ''
  expect(watch(last)).toEqual([])
})

test('a place of another history is gone', () => {
  const world = new World()
  const { nodeId } = world.form()
  expect(() => recordsOf(world, nodeId)(`${world.state.index + 1}.0`)).toThrow(expect.objectContaining({ code: 'EVENTS_GONE' }))
})

test('a place that the former cluster may have given, after all that is known of it, is gone; older ones are good', () => {
  const world = new World()
  const { nodeId } = world.form()
  const watch = recordsOf(world, nodeId)
  const before = world.state.index
  recoverCluster(world.state, nodeId, { term: 9, timeMs: world.timeMs, actor: admin, commandId: 'c' })
  for (const index of [before + 1, before + 1000]) expect(() => watch(`${index}.0`), String(index)).toThrow(expect.objectContaining({ code: 'EVENTS_GONE' }))
  expect(watch(`${before}.0`).map((event) => event.reason)).toContain('cluster.recovered')
  expect(watch(`${world.state.index}.0`)).toEqual([])
})

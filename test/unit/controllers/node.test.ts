// A node's announcement: said when something changed, and looked at often while the hypervisor is away.
import { expect, test } from 'vitest'
import { NodeController } from '../../../src/controllers/node.ts'
import type { Command } from '../../../src/model/command.ts'
import type { NodeAnnouncement } from '../../../src/model/node.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { recordingLog } from '../http/harness.ts'
import { World, announcement } from '../state/world.ts'

function desk() {
  const world = new World()
  const { nodeId } = world.form()
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const { state } = world
  let measured = announcement()
  let looks = 0
  const said: NodeAnnouncement[] = []
  const consensus = {
    state, watch: () => () => undefined,
    propose: (command: Command) => {
      if (command.type === 'node.announce') said.push(command.payload.announcement)
      return Promise.resolve(applyCommand(state, { index: state.index + 1, term: 1, timeMs: state.timeMs, command }).result)
    },
  } as unknown as Consensus & StateHolder
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  const controller = new NodeController({ nodeId }, { clock, random, log: recordingLog([]), consensus, announcement: () => Promise.resolve((looks++, measured)) })
  const pass = async (durationMs: number) => {
    const untilMs = queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = queue.next(untilMs)
      if (action === null) return
      action()
    }
  }
  return { controller, said, pass, looks: () => looks, measure: (next: NodeAnnouncement) => (measured = next) }
}

test('nothing new is not said, and seldom looked for', async () => {
  const { controller, said, pass, looks } = desk()
  controller.start()
  await pass(600_000)
  expect(said).toEqual([])
  expect(looks()).toBeLessThan(15)
  controller.stop()
})

test('a hypervisor that comes back is announced within seconds: nothing starts here before', async () => {
  const { controller, said, pass, measure } = desk()
  measure(announcement({ accelerator: 'none' }))
  controller.start()
  await pass(10_000)
  expect(said.map((each) => each.accelerator)).toEqual(['none'])
  measure(announcement())
  await pass(5_000)
  expect(said.map((each) => each.accelerator)).toEqual(['none', 'simulated'])
  controller.stop()
})

test('a hypervisor that says it is reached is announced at once', async () => {
  const { controller, said, pass, measure } = desk()
  measure(announcement({ accelerator: 'none' }))
  controller.start()
  await pass(100)
  measure(announcement())
  controller.lookNow()
  await pass(100)
  expect(said.map((each) => each.accelerator)).toEqual(['none', 'simulated'])
  controller.stop()
})

test('what happens while it is measured is looked at afterwards', async () => {
  const { controller, pass, looks } = desk()
  controller.start()
  const passing = pass(100)
  await new Promise((resolve) => setImmediate(resolve))
  controller.lookNow()
  controller.lookNow()
  await passing
  await pass(100)
  expect(looks()).toBeGreaterThan(1)
  expect(looks()).toBeLessThan(5)
  controller.stop()
})

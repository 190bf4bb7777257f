// The membership controller's order of things: whoever is removed goes only when those who stay can do without.
import { expect, test } from 'vitest'
import { MembershipController } from '../../../src/controllers/membership.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { Command } from '../../../src/model/command.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { recordingLog } from '../http/harness.ts'
import { World, announcement } from '../state/world.ts'

/** A cluster of two, of which the other is out of the configuration already. */
function desk() {
  const world = new World()
  const { nodeId } = world.form()
  const leavingId = world.newId() as NodeId
  const joinTokenId = world.newId() as TokenId
  world.run('joinToken.create', { id: joinTokenId, secretHash: 's', lifeSeconds: 60 })
  world.run('node.admit', { node: { id: leavingId, name: 'n2', peerId: 'p2', wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId, joinSecretHash: 's' })
  world.run('node.remove', { id: leavingId, force: false })
  const queue = new EventQueue()
  const { state } = world
  const calls: string[] = []
  const barrier = { fails: false }
  const configuration = { voters: [nodeId], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
  const consensus = {
    state, watch: () => () => undefined,
    standing: () => ({ leaderId: nodeId, quorum: true, divergence: null }),
    status: () => ({ role: 'leader', quorum: true, term: 1, commit: state.index, configuration, progress: {} }),
    commitBarrier: () => {
      calls.push('barrier')
      return barrier.fails ? Promise.reject(new OperationalError('STATE_CONFLICT', 'lost')) : Promise.resolve()
    },
    propose: (command: Command) => {
      calls.push(command.type)
      return Promise.resolve(applyCommand(state, { index: state.index + 1, term: 1, timeMs: state.timeMs, command }).result)
    },
  } as unknown as Consensus & StateHolder
  const transport = {
    request: (to: string, method: string) => {
      calls.push(`${method} ${to === leavingId ? 'n2' : to}`)
      return Promise.resolve(new Uint8Array())
    },
  }
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  const controller = new MembershipController({ nodeId }, { clock: new SimClock(queue), random, log: recordingLog([]), consensus, transport })
  const pass = async (durationMs: number) => {
    const untilMs = queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = queue.next(untilMs)
      if (action === null) return
      action()
    }
  }
  return { controller, state, leavingId, calls, barrier, pass }
}

test('who was removed is told only when a majority of those who stay knows, and forgotten then', async () => {
  const { controller, state, leavingId, calls, barrier, pass } = desk()
  barrier.fails = true
  controller.start()
  await pass(500)
  expect(new Set(calls)).toEqual(new Set(['barrier']))
  barrier.fails = false
  calls.length = 0
  await pass(500)
  controller.stop()
  expect(calls).toEqual(['barrier', 'farewell n2', 'node.forget'])
  expect(state.tables.node.has(leavingId)).toBe(false)
})

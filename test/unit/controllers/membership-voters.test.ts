// The leader's changes to who votes: after whom it waits how long, that a flapping link moves no votes, and in which order a node is let go.
import { expect, test } from 'vitest'
import { farewellMethod, MembershipController } from '../../../src/controllers/membership.ts'
import type { Command } from '../../../src/model/command.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import { changeConfiguration } from '../../../src/raft/confchange.ts'
import { isJoint } from '../../../src/raft/quorum.ts'
import type { ConfChange, Configuration } from '../../../src/raft/types.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { recordingLog } from '../http/harness.ts'
import { World, announcement } from '../state/world.ts'

function desk(count: number, times: { readonly lostMs?: number; readonly steadyMs?: number } = {}) {
  const world = new World()
  const ids = [world.form().nodeId]
  while (ids.length < count) {
    const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name: `n${ids.length + 1}`, peerId: `p${ids.length}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's' })
    ids.push(id)
  }
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const { state } = world
  const silent = new Set<string>()
  const unfit = new Set<string>()
  const history: string[] = []
  let configuration: Configuration = { voters: [ids[0]!], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
  let leaderId: string = ids[0]!
  let term = 1
  const nameOf = (id: string) => `n${ids.indexOf(id as NodeId) + 1}`
  const change = (step: ConfChange) => {
    const outcome = changeConfiguration(configuration, step)
    if (outcome.kind !== 'changed') throw new Error(outcome.reason)
    configuration = outcome.configuration
    if (isJoint(configuration)) change({ transition: 'auto', steps: [] })
  }
  const consensus = {
    state,
    watch: () => () => undefined,
    standing: () => ({ leaderId, quorum: true, divergence: null }),
    status: () => ({
      role: leaderId === ids[0] ? 'leader' : 'follower', leaderId, term, commit: 10, quorum: true, configuration,
      progress: Object.fromEntries([...configuration.voters, ...configuration.learners].map((id) => [id, { match: 10, next: 11, state: 'replicate', pendingSnapshot: 0, recentActive: !silent.has(id), inflight: 0, isPaused: false, isCaughtUp: true, isLearner: false }])),
    }),
    changeConfiguration: (step: ConfChange) => {
      history.push(step.steps.map(({ kind, id }) => `${kind} ${nameOf(id)}`).join(', '))
      change(step)
      return Promise.resolve()
    },
    commitBarrier: () => {
      history.push('barrier')
      return Promise.resolve()
    },
    transferLeadership: (to: string) => {
      if (unfit.has(to)) {
        history.push(`${nameOf(to)} does not take it`)
        return Promise.reject(new Error('not taken over in time'))
      }
      history.push('hand over')
      leaderId = ids[1]!
      return Promise.resolve()
    },
    propose: (command: Command) => {
      history.push(`${command.type} ${nameOf((command.payload as { id: string }).id)}`)
      return Promise.resolve(applyCommand(state, { index: state.index + 1, term: 1, timeMs: state.timeMs, command }).result)
    },
  } as unknown as Consensus & StateHolder
  const transport = {
    request: (to: string, method: string) => {
      history.push(`${method} ${nameOf(to)}`)
      return silent.has(to) ? Promise.reject(new Error('away')) : Promise.resolve(new Uint8Array())
    },
  }
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  const controller = new MembershipController({ nodeId: ids[0]!, ...times }, { clock, random, log: recordingLog([]), consensus, transport })
  controller.start()
  const pass = async (durationMs: number) => {
    const untilMs = queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = queue.next(untilMs)
      if (action === null) return history.splice(0)
      action()
    }
  }
  return { world, ids, silent, unfit, pass, newTerm: () => (term += 1), voters: () => configuration.voters.map(nameOf).toSorted().join() }
}

test('a voter is replaced after ten seconds of silence, and what comes back stays a learner', async () => {
  const { ids, silent, pass, voters } = desk(4)
  expect(await pass(1_000)).toEqual(['addLearner n2, addLearner n3, addLearner n4', 'addVoter n2, addVoter n3'])
  silent.add(ids[1]!)
  expect(await pass(9_500)).toEqual([])
  expect(await pass(1_500)).toEqual(['addVoter n4, addLearner n2'])
  silent.clear()
  expect(await pass(120_000)).toEqual([])
  expect(voters()).toBe('n1,n3,n4')
})

test('a link that flaps moves no votes', async () => {
  const { ids, silent, pass, voters } = desk(5)
  await pass(60_000)
  expect(voters()).toBe('n1,n2,n3,n4,n5')
  for (let round = 0; round < 20; round++) {
    silent.add(ids[4]!)
    expect(await pass(9_000)).toEqual([])
    silent.clear()
    expect(await pass(2_000)).toEqual([])
  }
})

test('one that was lost votes again, where there are too few, only after it was there for half a minute', async () => {
  const { ids, silent, pass } = desk(5)
  await pass(60_000)
  silent.add(ids[4]!)
  expect(await pass(12_000)).toEqual(['addLearner n4, addLearner n5'])
  silent.clear()
  expect(await pass(25_000)).toEqual([])
  expect(await pass(10_000)).toEqual(['addVoter n4, addVoter n5'])
})

test('a new leader gives everybody the whole time', async () => {
  const { ids, silent, pass, newTerm } = desk(4)
  await pass(1_000)
  silent.add(ids[1]!)
  await pass(8_000)
  newTerm()
  expect(await pass(9_000)).toEqual([])
  expect(await pass(2_000)).toEqual(['addVoter n4, addLearner n2'])
})

test('a node that leaves is taken out of the configuration, told, and forgotten, in this order; a dead one as well', async () => {
  const { world, ids, silent, pass } = desk(4)
  await pass(1_000)
  world.run('node.remove', { id: ids[2]!, force: false })
  expect(await pass(1_000)).toEqual(['addVoter n4, remove n3', 'barrier', `${farewellMethod} n3`, 'node.forget n3'])
  silent.add(ids[1]!)
  world.run('node.remove', { id: ids[1]!, force: true })
  expect(await pass(1_000)).toEqual(['addLearner n4, remove n2', 'barrier', `${farewellMethod} n2`, 'node.forget n2'])
})

test('a leader that leaves hands over, and does nothing more', async () => {
  const { world, ids, pass } = desk(3)
  await pass(1_000)
  world.run('node.remove', { id: ids[0]!, force: false })
  expect(await pass(5_000)).toEqual(['hand over'])
})

test('a voter that does not take leadership over is passed over, and asked again ever less often', async () => {
  const { world, ids, unfit, pass } = desk(3)
  await pass(1_000)
  unfit.add(ids[1]!)
  world.run('node.remove', { id: ids[0]!, force: false })
  expect(await pass(1_000)).toEqual(['n2 does not take it', 'hand over'])
  const stuck = desk(3)
  await stuck.pass(1_000)
  stuck.unfit.add(stuck.ids[1]!).add(stuck.ids[2]!)
  stuck.world.run('node.remove', { id: stuck.ids[0]!, force: false })
  expect((await stuck.pass(1_000)).toSorted()).toEqual(['n2 does not take it', 'n3 does not take it'])
  expect((await stuck.pass(299_000)).length).toBeLessThan(24)
  stuck.unfit.clear()
  expect(await stuck.pass(61_000)).toEqual(['hand over'])
})

test('a leader that leaves and has no other voter lets the learner vote in its place', async () => {
  const { world, ids, pass, voters } = desk(2)
  await pass(1_000)
  world.run('node.remove', { id: ids[0]!, force: false })
  expect((await pass(1_000))[0]).toBe('addVoter n2, remove n1')
  expect(voters()).toBe('n2')
})

test('after how long a voter is replaced, and a learner is steady, is the operator\'s to say', async () => {
  const quick = desk(4, { lostMs: 2_000 })
  await quick.pass(1_000)
  quick.silent.add(quick.ids[1]!)
  expect(await quick.pass(1_500)).toEqual([])
  expect(await quick.pass(1_500)).toEqual(['addVoter n4, addLearner n2'])
  const hasty = desk(5, { steadyMs: 5_000 })
  await hasty.pass(10_000)
  hasty.silent.add(hasty.ids[4]!)
  expect(await hasty.pass(12_000)).toEqual(['addLearner n4, addLearner n5'])
  hasty.silent.clear()
  expect(await hasty.pass(4_000)).toEqual([])
  expect(await hasty.pass(3_000)).toEqual(['addVoter n4, addVoter n5'])
})

test('a leader that shall not vote hands over before it is voted out', async () => {
  const { world, ids, pass, voters } = desk(4)
  await pass(1_000)
  world.run('node.vote', { id: ids[0]!, voting: 'never' })
  expect(await pass(1_000)).toContain('hand over')
  expect(voters()).toBe('n1,n2,n3')
})

test('who shall not vote gives its seat to one that has just come', async () => {
  const { world, ids, pass, voters } = desk(4)
  await pass(1_000)
  world.run('node.vote', { id: ids[1]!, voting: 'never' })
  await pass(1_000)
  expect(voters()).toBe('n1,n3,n4')
  world.run('node.vote', { id: ids[1]!, voting: 'always' })
  await pass(1_000)
  expect(voters()).toBe('n1,n2,n3')
})

// The leader's record of consensus: told once it has settled, by whoever leads, and quiet about what comes and goes.
import { expect, test } from 'vitest'
import { ObservationController } from '../../../src/controllers/observation.ts'
import type { Command } from '../../../src/model/command.ts'
import type { NodeId, TokenId } from '../../../src/model/id.ts'
import type { Consensus } from '../../../src/ports/consensus.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { epochMs, SimClock } from '../../sim/sim-clock.ts'
import { recordingLog } from '../http/harness.ts'
import { announcement, World } from '../state/world.ts'

/** A cluster of three voters; each has a controller, and whoever is `live.leader` leads. */
function desk() {
  const world = new World()
  const ids = [world.form().nodeId]
  while (ids.length < 3) {
    const [id, token] = [world.newId() as NodeId, world.newId() as TokenId]
    world.run('joinToken.create', { id: token, secretHash: 's', lifeSeconds: 60 })
    world.run('node.admit', { node: { id, name: `n${ids.length + 1}`, peerId: `p${ids.length}`, wrapKey: 'w', wrappedClusterKey: 'k' }, announcement: announcement(), joinTokenId: token, joinSecretHash: 's' })
    ids.push(id)
  }
  const queue = new EventQueue()
  // State time begins where the world's commands ended.
  const clock = new SimClock(queue, world.timeMs - epochMs)
  const { state } = world
  const live: { leader: NodeId | null; term: number; voters: readonly NodeId[]; readonly silent: Set<NodeId>; members: readonly NodeId[]; gapMs: number; aheadMs: number } = { leader: ids[0]!, term: 1, voters: ids, silent: new Set(), members: ids, gapMs: 0, aheadMs: 0 }
  let commands = 0
  const consensusOf = (nodeId: NodeId) => ({
    state,
    standing: () => ({ leaderId: live.leader, quorum: live.leader !== null, divergence: null }),
    status: () => ({
      role: live.leader === nodeId ? 'leader' : 'follower', term: live.term, quorum: live.leader !== null, configuration: { voters: live.voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
      progress: live.leader === nodeId ? Object.fromEntries(live.members.map((id) => [id, { recentActive: !live.silent.has(id) }])) : {},
    }),
    reports: (asked: readonly string[]) => Promise.resolve(new Map(asked.map((id) => [id, { term: live.term, leaderlessMs: live.gapMs }]))),
    propose: (command: Command) => {
      commands++
      return Promise.resolve(applyCommand(state, { index: state.index + 1, term: live.term, timeMs: clock.nowMs() + live.aheadMs, command }).result)
    },
  }) as unknown as Consensus & StateHolder
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  const controllers = new Map<NodeId, ObservationController>()
  const restart = (nodeId: NodeId) => {
    controllers.get(nodeId)?.stop()
    const controller = new ObservationController({ nodeId }, { clock, random, log: recordingLog([]), consensus: consensusOf(nodeId) })
    controllers.set(nodeId, controller)
    controller.start()
  }
  ids.forEach(restart)
  const pass = async (durationMs: number) => {
    const untilMs = queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = queue.next(untilMs)
      if (action === null) return
      action()
    }
  }
  const events = () => [...state.tables.event.values()].filter(({ actor, reason }) => actor !== 'admin' && reason !== 'node.announced').map(({ reason, name }) => `${reason} ${name}`)
  const said = () => [...state.tables.event.values()].at(-1)?.message ?? ''
  const stop = () => [...controllers.values()].forEach((controller) => controller.stop())
  return { world, ids, live, pass, events, said, stop, restart, commands: () => commands }
}

test('one record at first, and none while nothing changes', async () => {
  const { pass, events, commands, stop } = desk()
  await pass(120_000)
  expect(commands()).toBe(1)
  expect(events()).toEqual([])
  stop()
})

test('a new leader is told once it has held, and a member that it never heard of stays silent without a word', async () => {
  const { ids, live, pass, events, stop } = desk()
  await pass(5_000)
  live.silent.add(ids[2]!)
  await pass(4_000)
  expect(events()).toEqual([])
  await pass(2_500)
  expect(events()).toEqual(['node.silent n3'])
  live.leader = null
  await pass(30_000)
  Object.assign(live, { leader: ids[1]!, term: 2 })
  await pass(1_000)
  Object.assign(live, { leader: ids[0]!, term: 3 })
  await pass(20_000)
  expect(events().slice(1)).toEqual(['node.leads n1'])
  live.silent.clear()
  await pass(2_000)
  expect(events().slice(2)).toEqual(['node.heard n3'])
  stop()
})

test('a quorum that is back after a while is told', async () => {
  const { ids, live, pass, events, stop } = desk()
  await pass(5_000)
  live.leader = null
  await pass(30_000)
  Object.assign(live, { leader: ids[1]!, term: 2 })
  await pass(5_000)
  expect(events()).toEqual(['node.leads n2', 'cluster.quorum test'])
  stop()
})

test('a voter that was cut off while there was a leader does not make it a long time without one', async () => {
  const { ids, live, pass, events, said, stop } = desk()
  await pass(5_000)
  live.leader = null
  await pass(9_000)
  // n3 reports what it went through.
  Object.assign(live, { leader: ids[1]!, term: 2, gapMs: 300_000 })
  await pass(5_000)
  expect(events()).toEqual(['node.leads n2', 'cluster.quorum test'])
  expect(said()).toMatch(/after 9 s without a leader/)
  stop()
})

test('who has just joined is given the time to speak', async () => {
  const { ids, live, pass, events, stop } = desk()
  Object.assign(live, { members: ids.slice(0, 2), voters: ids.slice(0, 2) })
  await pass(30_000)
  live.silent.add(ids[2]!)
  Object.assign(live, { members: ids, voters: ids })
  await pass(4_000)
  expect(events()).toEqual(['node.promoted n3'])
  await pass(3_000)
  expect(events()).toEqual(['node.promoted n3', 'node.silent n3'])
  stop()
})

test('a leader that has just started hears of the others for how long there was none', async () => {
  const { ids, live, pass, events, said, stop, restart } = desk()
  await pass(5_000)
  live.leader = null
  restart(ids[1]!)
  await pass(1_000)
  Object.assign(live, { leader: ids[1]!, term: 2, gapMs: 23_000 })
  await pass(5_000)
  expect(events()).toEqual(['node.leads n2', 'cluster.quorum test'])
  expect(said()).toMatch(/after 23 s without a leader/)
  stop()
})

test('a node that flaps for an hour makes a few events, and the last of them is true', async () => {
  const { ids, live, pass, events, commands, stop } = desk()
  for (let at = 0; at < 240; at++) {
    live.silent.add(ids[2]!)
    await pass(7_500)
    live.silent.delete(ids[2]!)
    await pass(7_500)
  }
  expect(commands()).toBeLessThan(30)
  await pass(1_300_000)
  expect(events().at(-1)).toBe('node.heard n3')
  stop()
})

test('a leader whose clock was an hour ahead mutes nothing under its successor, and what flaps is damped all the same', async () => {
  const { ids, live, pass, events, commands, stop } = desk()
  live.aheadMs = 3_600_000
  await pass(5_000)
  live.silent.add(ids[2]!)
  await pass(10_000)
  expect(events()).toEqual(['node.silent n3'])
  Object.assign(live, { leader: ids[1]!, term: 2, aheadMs: 0 })
  await pass(10_000)
  live.silent.delete(ids[2]!)
  await pass(10_000)
  live.silent.add(ids[0]!)
  await pass(10_000)
  live.silent.delete(ids[0]!)
  await pass(10_000)
  expect(events().slice(1)).toEqual(['node.leads n2', 'node.heard n3', 'node.silent n1', 'node.heard n1'])
  const before = commands()
  for (let at = 0; at < 120; at++) {
    live.silent.add(ids[2]!)
    await pass(7_500)
    live.silent.delete(ids[2]!)
    await pass(7_500)
  }
  expect(commands() - before).toBeGreaterThan(10)
  expect(commands() - before).toBeLessThan(25)
  stop()
})

test('waits while a member would not know the command', async () => {
  const { world, ids, pass, commands, stop } = desk()
  world.run('node.announce', { id: ids[1]!, announcement: announcement({ featureLevel: 2 }) })
  await pass(10_000)
  expect(commands()).toBe(0)
  world.run('node.announce', { id: ids[1]!, announcement: announcement({ featureLevel: 3 }) })
  await pass(10_000)
  expect(commands()).toBe(1)
  stop()
})

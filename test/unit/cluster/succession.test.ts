// A node that has just started asks for a leader as soon as a majority is in reach, again where no answer came, and not where it hears one.
import { expect, test } from 'vitest'
import { Succession } from '../../../src/cluster/succession.ts'
import type { Engine } from '../../../src/cluster/engine.ts'
import type { Leadership } from '../../../src/cluster/leadership.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'

function start({ nodeId = 'a', priority = 'normal', voters = ['a', 'b', 'c'] }: { readonly nodeId?: string; readonly priority?: 'normal' | 'low'; readonly voters?: readonly string[] } = {}) {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const leader: { id: string | null; term: number } = { id: null, term: 3 }
  const askedMs: number[] = []
  const reached: string[] = []
  const status = { role: 'follower', configuration: { voters, votersOutgoing: [], learners: [] } }
  const node = { status: () => status, forgetLeader: () => undefined, campaign: () => void askedMs.push(clock.monotonicMs()) }
  const engine = { priority, node, act: (action: (core: typeof node) => void) => action(node) } as unknown as Engine
  const leadership = { leader, heardMs: () => null } as unknown as Leadership
  const transport = { peers: () => reached.map((peer) => ({ nodeId: peer, connected: true, rttMs: null, queuedBytes: 0 })) }
  const succession = new Succession({ nodeId, heartbeatMs: 200 }, { clock, random: { integer: () => 10, bytes: (length) => new Uint8Array(length) }, transport }, { engine, leadership })
  const reach = (peer: string) => {
    reached.push(peer)
    succession.connected()
  }
  const pass = (ms: number) => {
    const untilMs = queue.nowMs + ms
    for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
  }
  return { pass, reach, leader, status, askedMs, succession }
}

test('alone it asks nobody, and with a majority in reach at once; some times over, then it leaves it to its time-out', () => {
  const { pass, reach, askedMs, succession } = start()
  succession.began()
  pass(1000)
  expect(askedMs).toEqual([])
  reach('b')
  pass(10_000)
  expect(askedMs).toEqual([1010, 1120, 1230, 1340, 1450, 1560, 1670, 1780])
})

test('the voters in reach ask one after the other, in the order of their ids', () => {
  const asked = (nodeId: string, others: readonly string[]) => {
    const { pass, reach, askedMs, succession } = start({ nodeId })
    for (const other of others) reach(other)
    succession.began()
    pass(150)
    return askedMs
  }
  expect([asked('a', ['b', 'c']), asked('b', ['a', 'c']), asked('c', ['a', 'b']), asked('c', ['b'])]).toEqual([[10, 120], [60], [110], [60]])
})

test('who has heard a leader asks no more', () => {
  const { pass, reach, leader, askedMs, succession } = start()
  succession.began()
  reach('b')
  pass(100)
  leader.id = 'b'
  pass(1000)
  leader.id = null
  reach('c')
  pass(10_000)
  expect(askedMs).toEqual([10])
})

test('a candidacy under way is left to its votes', () => {
  const { pass, reach, status, askedMs, succession } = start()
  succession.began()
  reach('b')
  pass(50)
  status.role = 'candidate'
  pass(100)
  status.role = 'follower'
  pass(100)
  expect(askedMs).toEqual([10, 230])
})

test('connections ask nothing of who did not start with a log of before', () => {
  const { pass, reach, askedMs } = start()
  reach('b')
  pass(10_000)
  expect(askedMs).toEqual([])
})

test('who does not vote, is not fit to lead, or stops, does not stand', () => {
  const learner = start({ nodeId: 'd' })
  const unfit = start({ priority: 'low' })
  const stopped = start()
  for (const { succession, reach } of [learner, unfit, stopped]) {
    succession.began()
    reach('b')
    reach('c')
  }
  stopped.succession.stop()
  for (const { pass } of [learner, unfit, stopped]) pass(10_000)
  expect([learner.askedMs, unfit.askedMs, stopped.askedMs]).toEqual([[], [], []])
})

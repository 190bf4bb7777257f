// A node that has just started asks for a leader soon, again where nobody was there to answer, and not where it hears one.
import { expect, test } from 'vitest'
import { Succession } from '../../../src/cluster/succession.ts'
import type { Engine } from '../../../src/cluster/engine.ts'
import type { Leadership } from '../../../src/cluster/leadership.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'

function start(priority: 'normal' | 'low' = 'normal') {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const leader: { id: string | null; term: number } = { id: null, term: 3 }
  const askedMs: number[] = []
  const status = { role: 'follower' }
  const node = { status: () => status, forgetLeader: () => undefined, campaign: () => void askedMs.push(clock.monotonicMs()) }
  const engine = { priority, act: (action: (core: typeof node) => void) => action(node) } as unknown as Engine
  const leadership = { leader, heardMs: () => null } as unknown as Leadership
  const succession = new Succession({ nodeId: 'a', heartbeatMs: 250 }, { clock, random: { integer: () => 100, bytes: (length) => new Uint8Array(length) } }, { engine, leadership })
  const pass = (ms: number) => {
    const untilMs = queue.nowMs + ms
    for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
  }
  return { pass, leader, status, askedMs, succession }
}

test('it asks after little more than a heartbeat, some times over, then leaves it to its time-out', () => {
  const { pass, askedMs, succession } = start()
  succession.began()
  pass(10_000)
  expect(askedMs).toEqual([350, 700, 1050, 1400])
})

test('who has heard a leader asks no more', () => {
  const { pass, leader, askedMs, succession } = start()
  succession.began()
  pass(400)
  leader.id = 'b'
  pass(10_000)
  expect(askedMs).toEqual([350])
})

test('a candidacy under way is left to its votes', () => {
  const { pass, status, askedMs, succession } = start()
  succession.began()
  pass(400)
  status.role = 'candidate'
  pass(500)
  status.role = 'follower'
  pass(10_000)
  expect(askedMs).toEqual([350, 1050, 1400])
})

test('who is not fit to lead, or stops, does not stand', () => {
  const unfit = start('low')
  unfit.succession.began()
  unfit.pass(10_000)
  const stopped = start()
  stopped.succession.began()
  stopped.succession.stop()
  stopped.pass(10_000)
  expect([unfit.askedMs, stopped.askedMs]).toEqual([[], []])
})

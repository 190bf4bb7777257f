// What a leader waits for has its limit, on the time that it was awake.
import { describe, expect, it } from 'vitest'
import type { Progress } from '../../src/raft/types.ts'
import { EventQueue } from './event-queue.ts'
import { Patience, type Waiting } from './patience.ts'
import { SimClock } from './sim-clock.ts'

const inSnapshot = { state: 'snapshot', pendingSnapshot: 7 } as Progress
const host = (awakeMs: number, { role = 'leader', successor = null, progress = {}, life = 1 }: { role?: 'leader' | 'follower'; successor?: string | null; progress?: Record<string, Progress>; life?: number } = {}): Waiting => {
  return { name: 'a', life, clock: { awakeMs }, node: { cluster: { status: () => ({ role, term: 3, progress }), successor } } }
}

describe('patience', () => {
  it('ends with a handover that does not', () => {
    const patience = new Patience()
    expect(patience.look(host(0, { successor: 'b' }))).toBeNull()
    expect(patience.look(host(5000, { successor: 'b' }))).toBeNull()
    expect(patience.look(host(5001, { successor: 'b' }))).toBe('a in life 1 hands over in term 3 to b for more than 5 s')
    expect(patience.look(host(5002, { successor: 'c' }))).toBeNull()
    expect(patience.look(host(5003))).toBeNull()
    expect(patience.look(host(20_000, { successor: 'c' }))).toBeNull()
  })

  it('ends with an image that nobody hears of, and begins anew with each that leaves, each life and whoever does not lead', () => {
    const progress = { b: inSnapshot }
    const patience = new Patience()
    patience.imageSent('a', 'b')
    expect(patience.look(host(0, { progress }))).toBeNull()
    expect(patience.look(host(15_001, { progress }))).toContain('for word of image 7, number 1 to b, for more than 15 s')
    patience.imageSent('a', 'b')
    expect(patience.look(host(15_002, { progress }))).toBeNull()
    expect(patience.look(host(40_000, { progress, life: 2 }))).toBeNull()
    expect(patience.look(host(80_000, { progress, life: 2, role: 'follower' }))).toBeNull()
    expect(patience.look({ ...host(80_000), node: null })).toBeNull()
  })
})

it('a clock knows for how long its process was awake', () => {
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  queue.next(1000)
  clock.stall(500)
  clock.stall(300)
  expect(clock.awakeMs).toBe(1000)
  queue.next(1200)
  expect(clock.awakeMs).toBe(1000)
  clock.stall(1000)
  queue.next(3000)
  expect(clock.awakeMs).toBe(1800)
})

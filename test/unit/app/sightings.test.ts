// What nodes tell each other of people: sessions, failed sign-ins and what was refused, heard by all, and again by one that starts anew.
import { expect, test } from 'vitest'
import { Lockout } from '../../../src/app/lockout.ts'
import { Sightings, type Failure } from '../../../src/app/sightings.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import { recordingLog } from '../http/harness.ts'

class Bus {
  nowMs = 1_000_000
  readonly #timers: { atMs: number; periodMs: number | null; run: () => void }[] = []
  readonly #listeners: { nodeId: string; listener: (from: string, data: Uint8Array) => void }[] = []
  readonly messages: number[] = []

  readonly clock: Clock = {
    nowMs: () => this.nowMs, monotonicMs: () => this.nowMs,
    after: (delayMs, run) => this.#add({ atMs: this.nowMs + delayMs, periodMs: null, run }),
    every: (periodMs, run) => this.#add({ atMs: this.nowMs + periodMs, periodMs, run }),
  }

  #add(timer: { atMs: number; periodMs: number | null; run: () => void }): () => void {
    this.#timers.push(timer)
    return () => this.#timers.splice(0, this.#timers.length, ...this.#timers.filter((each) => each !== timer))
  }

  node(nodeId: string): Sightings {
    const gossip = {
      publish: (_topic: string, data: Uint8Array) => {
        this.messages.push(data.length)
        for (const each of this.#listeners) if (each.nodeId !== nodeId) each.listener(nodeId, data)
      },
      subscribe: (_topic: string, listener: (from: string, data: Uint8Array) => void) => void this.#listeners.push({ nodeId, listener }),
    }
    const sightings = new Sightings(nodeId, { clock: this.clock, gossip, log: recordingLog([]) })
    sightings.start()
    return sightings
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const next = this.#timers.toSorted((left, right) => left.atMs - right.atMs)[0]
      if (next === undefined || next.atMs > endMs) break
      this.nowMs = Math.max(this.nowMs, next.atMs)
      if (next.periodMs === null) this.#timers.splice(this.#timers.indexOf(next), 1)
      else next.atMs += next.periodMs
      next.run()
    }
    this.nowMs = endMs
  }
}

const session = (id: string) => ({ id, userId: 'u1', address: '192.0.2.1', agent: 'test', issuedMs: 0, expiresMs: 10_000_000_000 })
const note = (id: string) => ({ id, index: 1, timeMs: 1, actor: { kind: 'user', id: 'u1', name: 'anna', address: '' }, command: 'vm.create', target: 'web', code: 'FORBIDDEN', detail: 'no' })

test('a new session and a refusal are known everywhere within a second', () => {
  const bus = new Bus()
  const [one, two] = [bus.node('n1'), bus.node('n2')]
  one.sawSession(session('s1'))
  one.note(note('r1'))
  bus.pass(1000)
  expect(two.session('s1')).toMatchObject({ userId: 'u1', nodeId: 'n1' })
  expect([...two.notes()].map((each) => each.id)).toEqual(['r1'])
})

test('failures count on another node too', () => {
  const bus = new Bus()
  const [one, two] = [bus.node('n1'), bus.node('n2')]
  const lockout = new Lockout(bus.clock)
  two.onFailure(({ name, address }) => lockout.failed(name, address))
  const failure: Failure = { name: 'hash', address: '192.0.2.9' }
  for (let tries = 0; tries < 5; tries++) one.tellFailure(failure)
  expect(lockout.waitSeconds('hash', '192.0.2.9')).toBe(0)
  bus.pass(1000)
  expect(lockout.waitSeconds('hash', '192.0.2.9')).toBeGreaterThan(0)
  expect(lockout.waitSeconds('hash', '192.0.2.10')).toBe(0)
})

test('one that starts anew is told what the others saw, and what it had told before', () => {
  const bus = new Bus()
  const [one, two] = [bus.node('n1'), bus.node('n2')]
  one.sawSession(session('s1'))
  two.sawSession(session('s2'))
  one.note(note('r1'))
  bus.pass(1000)
  one.stop()
  const again = bus.node('n1')
  expect(again.session('s1')).toBeUndefined()
  bus.pass(20_000)
  expect(again.session('s1')).toBeDefined()
  expect(again.session('s2')).toBeDefined()
  expect([...again.notes()].map((each) => each.id)).toEqual(['r1'])
})

test('a flood is told in messages that fit, and nothing is told while nothing happens', () => {
  const bus = new Bus()
  bus.node('n1')
  const two = bus.node('n2')
  bus.pass(20_000)
  const before = bus.messages.length
  for (let at = 0; at < 2_000; at++) {
    two.sawSession({ ...session(`s${at}`), agent: 'x'.repeat(500) })
    two.note({ ...note(`r${at}`), detail: 'y'.repeat(1000) })
  }
  bus.pass(60_000)
  expect(Math.max(...bus.messages)).toBeLessThan(64 * 1024)
  const after = bus.messages.length
  expect(after).toBeGreaterThan(before)
  bus.pass(600_000)
  expect(bus.messages.length).toBe(after)
})

test('pauses double, per name at an address, per address, and per name from anywhere but where it has signed in', () => {
  const bus = new Bus()
  const lockout = new Lockout(bus.clock)
  for (let tries = 0; tries < 5; tries++) lockout.failed('anna', 'a')
  expect(lockout.waitSeconds('anna', 'a')).toBe(1)
  lockout.failed('anna', 'a')
  expect(lockout.waitSeconds('anna', 'a')).toBe(2)
  expect(lockout.waitSeconds('anna', 'b')).toBe(0)
  lockout.succeeded('anna', 'home')
  for (let tries = 0; tries < 60; tries++) lockout.failed('anna', `far-${tries}`)
  expect(lockout.waitSeconds('anna', 'elsewhere')).toBeGreaterThan(0)
  expect(lockout.waitSeconds('anna', 'elsewhere')).toBeLessThanOrEqual(60)
  expect(lockout.waitSeconds('anna', 'home'), 'cannot be kept out of where they have signed in').toBe(0)
  bus.pass(900_001)
  expect(lockout.waitSeconds('anna', 'elsewhere')).toBe(0)
})

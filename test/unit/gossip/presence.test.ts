// Presence over a simulated network: what is announced, kept, refused and forgotten.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SimNetwork } from '../../../src/drivers/sim/network.ts'
import { Presence } from '../../../src/gossip/presence.ts'
import type { NodeLoad } from '../../../src/model/node.ts'
import type { Log, LogFields } from '../../../src/ports/log.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { SimRandom } from '../../sim/sim-random.ts'

const load = (cpuRatio: number): NodeLoad => ({ cpuRatio, memoryUsedBytes: 1, memoryTotalBytes: 2, storageUsedBytes: 3, storageTotalBytes: 4, loopDelayMs: 0.5, uptimeSeconds: 60 })
const ids = ['a', 'b']

let queue: EventQueue
let network: SimNetwork
let logged: string[]

const log: Log = {
  debug: () => undefined, info: () => undefined, error: () => undefined,
  warn: (message: string, _fields?: LogFields) => void logged.push(message),
  child: () => log,
}

beforeEach(() => {
  queue = new EventQueue()
  network = new SimNetwork({ clock: new SimClock(queue), random: new SimRandom(1) })
  logged = []
})

async function pass(durationMs: number): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  const endMs = queue.nowMs + durationMs
  for (let action = queue.next(endMs); action !== null; action = queue.next(endMs)) {
    action()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function boot(nodeId: string, measure: () => Promise<NodeLoad>, appliedIndex?: () => number) {
  const clock = new SimClock(queue)
  const ports = network.endpoint(nodeId, clock)
  ports.transport.setMembers(ids.map((each) => ({ nodeId: each, name: each, peerId: each, address: '' })))
  await ports.transport.start({ message: () => undefined, request: async (_from, _method, body) => body, connected: () => undefined, disconnected: () => undefined })
  const presence = new Presence({ nodeId, version: '1.2.3', ...(appliedIndex === undefined ? {} : { appliedIndex }) }, { gossip: ports.gossip, clock, probe: { load: measure }, log })
  presences.push(presence)
  return { presence, clock, gossip: ports.gossip }
}
const presences: Presence[] = []
afterEach(() => {
  for (const presence of presences.splice(0)) presence.stop()
})

test('every node hears the others, and itself, with ages by its own clock', async () => {
  const a = await boot('a', async () => load(0.1), () => 42)
  const b = await boot('b', async () => load(0.2))
  const changes: string[] = []
  a.presence.onChange((nodeId) => changes.push(nodeId))
  a.presence.start()
  b.presence.start()
  await pass(2500)
  expect(a.presence.of('b')).toMatchObject({ nodeId: 'b', load: load(0.2), version: '1.2.3', appliedIndex: null })
  expect(b.presence.of('a')).toMatchObject({ load: load(0.1), appliedIndex: 42 })
  expect(a.presence.all().map((seen) => seen.nodeId)).toEqual(['a', 'b'])
  expect(changes).toContain('b')
  network.crash('b')
  b.clock.kill()
  await pass(10_000)
  expect(a.presence.of('b')?.ageMs).toBeGreaterThan(9000)
  expect(a.presence.of('a')?.ageMs).toBeLessThan(2500)
})

test('what is not presence is refused and said, and changes nothing', async () => {
  const a = await boot('a', async () => load(0.1))
  const b = await boot('b', async () => load(0.2))
  a.presence.start()
  await pass(100)
  const good = { load: load(0.9), version: 'x', sentMs: 1 }
  const bad = ['', '{', '[]', JSON.stringify({ ...good, extra: 1 }), JSON.stringify({ ...good, load: { ...load(1), cpuRatio: 'much' } }), JSON.stringify({ ...good, sentMs: -1 })]
  for (const text of bad) b.gossip.publish('presence', new TextEncoder().encode(text))
  b.gossip.publish('presence', Uint8Array.of(0xff, 0xfe))
  await pass(100)
  expect(logged.filter((line) => line === 'presence not understood')).toHaveLength(bad.length + 1)
  expect(a.presence.of('b')).toBeNull()
})

test('a late message does not replace a newer one, unless the sender\'s clock was set back', async () => {
  const a = await boot('a', async () => load(0.1))
  const b = await boot('b', async () => load(0.2))
  a.presence.start()
  await pass(100)
  const say = async (cpuRatio: number, sentMs: number) => {
    b.gossip.publish('presence', new TextEncoder().encode(JSON.stringify({ load: load(cpuRatio), version: 'x', sentMs })))
    await pass(50)
  }
  await say(0.5, 10_000)
  await say(0.4, 9000)
  expect(a.presence.of('b')?.load.cpuRatio).toBe(0.5)
  await pass(7000)
  await say(0.3, 500)
  expect(a.presence.of('b')?.load.cpuRatio).toBe(0.3)
})

test('a probe that fails is said once and tried again; one that hangs is not asked twice', async () => {
  let asked = 0
  let fails = true
  const a = await boot('a', async () => {
    asked++
    if (fails) throw new Error('no /proc')
    return load(0.7)
  })
  a.presence.start()
  await pass(7000)
  expect(logged.filter((line) => line === 'load not announced')).toHaveLength(1)
  expect(asked).toBe(4)
  fails = false
  await pass(2000)
  expect(a.presence.of('a')?.load.cpuRatio).toBe(0.7)
  let hung = 0
  const b = await boot('b', () => {
    hung++
    return new Promise(() => undefined)
  })
  b.presence.start()
  await pass(10_000)
  expect(hung).toBe(1)
})

test('members that left are forgotten', async () => {
  const a = await boot('a', async () => load(0.1))
  const b = await boot('b', async () => load(0.2))
  a.presence.start()
  b.presence.start()
  await pass(2500)
  a.presence.retain(['a'])
  expect(a.presence.all().map((seen) => seen.nodeId)).toEqual(['a'])
})

test('another message may stand for an announcement, if it is published soon; else the announcement goes out', async () => {
  const a = await boot('a', async () => load(0.1))
  let said: string[] = []
  let outcome: () => Promise<boolean> = async () => true
  const clock = new SimClock(queue)
  const ports = network.endpoint('b', clock)
  ports.transport.setMembers(ids.map((each) => ({ nodeId: each, name: each, peerId: each, address: '' })))
  await ports.transport.start({ message: () => undefined, request: async (_from, _method, body) => body, connected: () => undefined, disconnected: () => undefined })
  const gossip = { subscribe: ports.gossip.subscribe.bind(ports.gossip), publish: (topic: string) => void said.push(topic) }
  const publish = () => {
    said.push('instead')
    return outcome()
  }
  const presence = new Presence({ nodeId: 'b', version: 'x', periodMs: 1000, instead: { every: 3, publish } }, { gossip, clock, probe: { load: async () => load(0.5) }, log })
  presences.push(presence)
  presence.start()
  await pass(3500)
  expect(said).toEqual(['presence', 'presence', 'presence', 'instead'])
  expect(presence.of('b')?.ageMs).toBeLessThan(600)
  said = []
  outcome = () => new Promise(() => undefined)
  await pass(3000)
  expect(said).toEqual(['presence', 'presence', 'instead', 'presence'])
  said = []
  outcome = async () => { throw new Error('no disk') }
  await pass(3000)
  expect(said).toEqual(['presence', 'presence', 'instead', 'presence'])
  a.presence.start()
  await pass(10)
  const before = a.presence.of('a')?.ageMs ?? 0
  await pass(1500)
  a.presence.touch('a')
  a.presence.touch('nobody')
  expect(a.presence.of('a')?.ageMs).toBeLessThanOrEqual(before + 10)
  expect(a.presence.of('nobody')).toBeNull()
})

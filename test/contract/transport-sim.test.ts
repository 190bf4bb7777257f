// The transport contract on the simulated network, and what only the simulation can do: exact repetition and chosen faults.
import { describe, expect, test } from 'vitest'
import { SimNetwork, type NetworkFaults } from '../../src/drivers/sim/network.ts'
import type { Message } from '../../src/raft/types.ts'
import { EventQueue } from '../sim/event-queue.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimRandom } from '../sim/sim-random.ts'
import { heartbeat, transportContract, type TransportFixture, type TransportNode } from './transport.ts'

const ids = ['a', 'b', 'c']
const timeoutMs = 30_000

async function openSimulated(faults?: Partial<NetworkFaults>, seed = 1): Promise<TransportFixture & { readonly network: SimNetwork; readonly queue: EventQueue }> {
  const queue = new EventQueue()
  const network = new SimNetwork({ clock: new SimClock(queue), random: new SimRandom(seed) })
  if (faults !== undefined) network.setFaults(faults)
  const nodes = new Map<string, TransportNode>()
  const members = (nodeIds: readonly string[]) => nodeIds.map((nodeId) => ({ nodeId, name: nodeId, peerId: `peer-${nodeId}`, address: `${nodeId}:1` }))
  const boot = async (nodeId: string) => {
    const ports = network.endpoint(nodeId, new SimClock(queue))
    const node: TransportNode = { nodeId, ...ports, received: [], connected: new Set(), events: [], answer: async (_from, _method, body) => body }
    nodes.set(nodeId, node)
    node.transport.setMembers(members(ids))
    await node.transport.start(handlerOf(node))
  }
  for (const nodeId of ids) await boot(nodeId)
  /** Everything that falls due, with the promises that follow from it. */
  const step = async (untilMs: number): Promise<boolean> => {
    const action = queue.next(untilMs)
    action?.()
    await new Promise((resolve) => setImmediate(resolve))
    return action !== null
  }
  const fixture = {
    network,
    queue,
    get nodes() {
      return [...nodes.values()]
    },
    node: (nodeId: string) => nodes.get(nodeId)!,
    async until(condition: () => boolean, what: string) {
      const endMs = queue.nowMs + timeoutMs
      while (!condition()) if (!(await step(Math.min(endMs, queue.nowMs + 10))) && queue.nowMs >= endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    },
    async during<T>(promise: Promise<T>): Promise<T> {
      let settled = false
      promise.then(() => { settled = true }, () => { settled = true })
      await fixture.until(() => settled, 'a promise is settled')
      return promise
    },
    async pass(durationMs: number) {
      const endMs = queue.nowMs + durationMs
      while (await step(endMs));
    },
    setMembers: (nodeId: string, nodeIds: readonly string[]) => nodes.get(nodeId)!.transport.setMembers(members(nodeIds)),
    partition: (groups: readonly (readonly string[])[]) => network.partition(groups),
    heal: () => network.heal(),
    async crash(nodeId: string) {
      network.crash(nodeId)
      nodes.get(nodeId)!.connected.clear()
    },
    restart: boot,
    async stop() {
      for (const node of nodes.values()) await node.transport.stop()
    },
  }
  return fixture
}

function handlerOf(node: TransportNode) {
  return {
    message: (message: Message) => void node.received.push(message),
    request: (from: string, method: string, body: Uint8Array) => node.answer(from, method, body),
    connected: (peer: string) => {
      node.connected.add(peer)
      node.events.push(`connected ${peer}`)
    },
    disconnected: (peer: string) => {
      node.connected.delete(peer)
      node.events.push(`disconnected ${peer}`)
    },
  }
}

transportContract('simulated network', () => openSimulated())

describe('simulated faults', () => {
  const connected = (fixture: TransportFixture) => () => fixture.nodes.every((each) => each.connected.size === ids.length - 1)

  async function run(faults: Partial<NetworkFaults>, seed: number): Promise<number[]> {
    const fixture = await openSimulated({}, seed)
    await fixture.until(connected(fixture), 'everybody is connected')
    fixture.network.setFaults(faults)
    for (let commit = 1; commit <= 500; commit++) {
      fixture.node('a').transport.send(heartbeat('a', 'b', commit))
      await fixture.pass(1)
    }
    await fixture.pass(1000)
    return fixture.node('b').received.map((message) => (message.kind === 'heartbeat' ? message.commit : 0))
  }

  test('the same seed repeats exactly, another one differs', async () => {
    const faults = { lossRatio: 0.1, duplicateRatio: 0.1, reorderRatio: 0.3, delayMsMax: 30 }
    const first = await run(faults, 7)
    expect(await run(faults, 7)).toEqual(first)
    expect(await run(faults, 8)).not.toEqual(first)
  })

  test('loss loses, duplication repeats, reordering reorders, and each does nothing else', async () => {
    const sent = Array.from({ length: 500 }, (_, at) => at + 1)
    const lost = await run({ lossRatio: 0.2 }, 1)
    expect(lost.length).toBeGreaterThan(350)
    expect(lost.length).toBeLessThan(450)
    expect(lost.toSorted((left, right) => left - right)).toEqual(lost)
    const doubled = await run({ duplicateRatio: 0.2 }, 1)
    expect(doubled.length).toBeGreaterThan(550)
    expect([...new Set(doubled)]).toEqual(sent)
    const mixed = await run({ reorderRatio: 0.5, delayMsMax: 30 }, 1)
    expect(mixed).not.toEqual(sent)
    expect(mixed.toSorted((left, right) => left - right)).toEqual(sent)
    expect(await run({ delayMsMax: 30 }, 1)).toEqual(sent)
  })

  test('a one-way cut loses one way only', async () => {
    const fixture = await openSimulated()
    await fixture.until(connected(fixture), 'everybody is connected')
    fixture.network.cut('a', 'b')
    fixture.node('a').transport.send(heartbeat('a', 'b', 1))
    fixture.node('b').transport.send(heartbeat('b', 'a', 2))
    await fixture.pass(100)
    expect([fixture.node('b').received.length, fixture.node('a').received.length]).toEqual([0, 1])
  })

  test('lost requests and lost answers end as PEER_UNREACHABLE, answered ones may still have been done', async () => {
    const fixture = await openSimulated()
    await fixture.until(connected(fixture), 'everybody is connected')
    fixture.network.setFaults({ lossRatio: 0.3 })
    let served = 0
    fixture.node('b').answer = async (_from, _method, body) => {
      served++
      return body
    }
    const outcomes = await fixture.during(Promise.allSettled(Array.from({ length: 200 }, () => fixture.node('a').transport.request('b', 'x', new Uint8Array(1), { timeoutMs: 500 }))))
    const answered = outcomes.filter((outcome) => outcome.status === 'fulfilled').length
    expect(served).toBeLessThan(200)
    expect(answered).toBeLessThan(served)
    expect(answered).toBeGreaterThan(50)
  })

  test('a killed node handles nothing, a stalled one handles it later', async () => {
    const queue = new EventQueue()
    const network = new SimNetwork({ clock: new SimClock(queue), random: new SimRandom(1) })
    const clocks = new Map(ids.map((nodeId) => [nodeId, new SimClock(queue)]))
    const arrivals: string[] = []
    const transports = new Map(ids.map((nodeId) => [nodeId, network.endpoint(nodeId, clocks.get(nodeId)).transport]))
    for (const [nodeId, transport] of transports) {
      transport.setMembers(ids.map((each) => ({ nodeId: each, name: each, peerId: each, address: '' })))
      await transport.start({ message: () => void arrivals.push(`${nodeId} at ${Math.floor(queue.nowMs / 1000)} s`), request: async (_from, _method, body) => body, connected: () => undefined, disconnected: () => undefined })
    }
    const run = (untilMs: number) => {
      for (let action = queue.next(untilMs); action !== null; action = queue.next(untilMs)) action()
    }
    run(100)
    clocks.get('b')!.stall(2000)
    clocks.get('c')!.kill()
    for (const to of ['b', 'c']) transports.get('a')!.send(heartbeat('a', to, 1))
    run(5000)
    expect(arrivals).toEqual(['b at 2 s'])
  })
})

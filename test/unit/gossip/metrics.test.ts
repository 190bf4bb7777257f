// Metrics between nodes: what is told and understood, what is kept, what is left out; and how much an hour of a thousand VMs takes.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { SimNetwork } from '../../../src/drivers/sim/network.ts'
import { decodeSample, encodeSample, type SampleMessage } from '../../../src/gossip/metrics-codec.ts'
import { MetricsHistory } from '../../../src/gossip/metrics-history.ts'
import { Rings } from '../../../src/gossip/metrics-rings.ts'
import { Metrics, type ApplianceFigures } from '../../../src/gossip/metrics.ts'
import { nodeFields, nodeSeries, vmSeries, type NodeFigures, type VmSample } from '../../../src/model/metrics.ts'
import type { DomainStats } from '../../../src/ports/hypervisor.ts'
import type { Log } from '../../../src/ports/log.ts'
import type { HostFigures } from '../../../src/ports/meter.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { SimRandom } from '../../sim/sim-random.ts'

const id = (n: number) => `01890a5d-ac96-774b-bcce-${n.toString(16).padStart(12, '0')}`
const vm = (n: number, cpuSeconds: number): VmSample => ({
  id: id(n), values: [cpuSeconds, 128 * 2 ** 20, 256 * 2 ** 20],
  disks: [{ name: 'vda', values: [cpuSeconds * 1000, 2000, 3, 4] }], nics: [{ name: 'vnet0', values: [cpuSeconds * 10, 200, 3, 4, 0, 0, 0, 0] }],
})
const figures = (busy: number): readonly number[] => nodeFields.map(({ key }) => (key === 'cpuBusySeconds' ? busy : key === 'cpuSeconds' ? busy * 2 : key === 'cpus' ? 2 : 7))
const message = (change: Partial<SampleMessage>): SampleMessage => ({ sequence: 1, part: 0, atMs: 0, full: true, last: true, node: figures(1), vms: [], gone: [], ...change })
const startMs = 1_800_000_000_000

/** Collects garbage at once, so that what is kept can be told from what was used. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

describe('on the way', () => {
  test('a sample comes back as it was, to the precision of its fields', () => {
    const sample = { sequence: 12, atMs: 123_456, full: false, node: nodeFields.map((_, at) => at * 1.5), vms: [vm(1, 12), vm(2, 2 ** 31)], gone: [id(3)] }
    const [bytes, ...more] = encodeSample(sample, 60_000)
    expect(more).toEqual([])
    const decoded = decodeSample(bytes!)
    expect(decoded).toMatchObject({ sequence: 12, part: 0, atMs: 123_456, full: false, last: true, vms: sample.vms, gone: [id(3)] })
    for (const [at, { scale }] of nodeFields.entries()) expect(Math.abs(decoded!.node[at]! - at * 1.5)).toBeLessThanOrEqual(0.5 / scale)
    expect(bytes!.length).toBeLessThan(350)
  })

  test('what does not fit goes in parts, none over the bound, and nothing is lost', () => {
    const vms = Array.from({ length: 1500 }, (_, n) => vm(n, n * 1000))
    const parts = encodeSample({ sequence: 1, atMs: 1, full: true, node: figures(1), vms, gone: [] }, 60 * 1024)
    expect(parts.length).toBeGreaterThan(1)
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(60 * 1024)
    const decoded = parts.map((part) => decodeSample(part)!)
    expect(decoded.flatMap((part) => part.vms.map((each) => each.id))).toEqual(vms.map((each) => each.id))
    expect(decoded.map((part) => [part.part, part.last, part.node.length > 0])).toEqual(parts.map((_, at) => [at, at === parts.length - 1, at === 0]))
  })

  test('what is no sample is refused, whatever it is', () => {
    const [good] = encodeSample({ sequence: 1, atMs: 1, full: true, node: figures(1), vms: [vm(1, 1)], gone: [] }, 60_000)
    for (let length = 0; length < good!.length; length++) expect(decodeSample(good!.subarray(0, length))).toBeNull()
    for (const bytes of [[], [9], [1, 0, 0, 0, 0, 255, 255, 255, 255, 127], Array.from({ length: 40 }, () => 255)]) expect(decodeSample(Uint8Array.from(bytes))).toBeNull()
    const random = new SimRandom(7)
    for (let tries = 0; tries < 2000; tries++) decodeSample(random.bytes(random.integer(200)))
  })
})

describe('rings', () => {
  const read = (rings: Rings, untilMs: number, steps: number, stepSeconds = 5) => [...rings.read(0, { untilMs, steps, stepSeconds })]
  test('values stand at their time; a hole of one is filled, a longer one is a gap', () => {
    const rings = new Rings(1)
    rings.put(startMs, [1])
    rings.put(startMs + 5_000, [2])
    rings.put(startMs + 15_000, [4])
    rings.put(startMs + 40_000, [9])
    expect(read(rings, startMs + 40_000, 9)).toEqual([1, 2, 4, 4, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 9])
    expect(read(rings, startMs + 50_000, 3)).toEqual([9, Number.NaN, Number.NaN])
  })

  test('ten minutes finely, an hour in means of thirty seconds, and no more', () => {
    const rings = new Rings(1)
    for (let at = 0; at < 2 * 720; at++) rings.put(startMs + at * 5_000, [at])
    const endMs = startMs + (2 * 720 - 1) * 5_000
    expect(read(rings, endMs, 120)[0]).toBe(2 * 720 - 120)
    const hour = read(rings, endMs, 120, 30)
    expect(hour[0]).toBe((720 * 2 - 720) + 2.5)
    expect(hour.some((value) => Number.isNaN(value))).toBe(false)
    expect(read(rings, endMs, 30, 120).at(-1)).toBe(2 * 720 - 12.5)
    expect(read(rings, endMs + 3_600_000, 120, 30).every((value) => Number.isNaN(value))).toBe(true)
  })

  test('after hours of silence nothing old shows up as new', () => {
    const rings = new Rings(1)
    for (let at = 0; at < 720; at++) rings.put(startMs + at * 5_000, [5])
    rings.put(startMs + 20 * 3_600_000, [1])
    expect(read(rings, startMs + 20 * 3_600_000, 120, 30).filter((value) => !Number.isNaN(value))).toEqual([1])
    expect(read(rings, startMs + 20 * 3_600_000, 120).filter((value) => !Number.isNaN(value))).toEqual([1])
  })
})

describe('history', () => {
  const owner = new Map<string, string>()
  const open = () => new MetricsHistory({ ownerOf: (vmId) => owner.get(vmId) ?? null })
  const latest = (history: MetricsHistory, vmId: string, nowMs: number, series = 0) => history.vm(vmId)?.rings.read(series, { untilMs: nowMs, steps: 1, stepSeconds: 5 })[0]

  test('rates come from counters and the sender\'s clock; a counter that begins anew gives none', () => {
    owner.set(id(1), 'a')
    const history = open()
    history.note('a', message({ sequence: 1, atMs: 1_000, vms: [vm(1, 10)] }), startMs)
    history.note('a', message({ sequence: 2, atMs: 6_000, node: figures(5), vms: [vm(1, 12.5)] }), startMs + 5_000)
    expect(latest(history, id(1), startMs + 5_000)).toBeCloseTo(0.5)
    expect(latest(history, id(1), startMs + 5_000, 2)).toBeCloseTo(500)
    expect(history.node('a')?.rings.read(0, { untilMs: startMs + 5_000, steps: 1, stepSeconds: 5 })[0]).toBeCloseTo(0.5)
    history.note('a', message({ sequence: 3, atMs: 11_000, vms: [vm(1, 0.1)] }), startMs + 10_000)
    expect(latest(history, id(1), startMs + 10_000)).toBeNaN()
  })

  test('a VM that is not mentioned has not changed; after a lost message that is not known', () => {
    owner.set(id(1), 'a')
    const history = open()
    history.note('a', message({ sequence: 1, atMs: 0, vms: [vm(1, 10)] }), startMs)
    history.note('a', message({ sequence: 2, atMs: 5_000, full: false }), startMs + 5_000)
    expect(latest(history, id(1), startMs + 5_000)).toBe(0)
    history.note('a', message({ sequence: 4, atMs: 15_000, full: false }), startMs + 15_000)
    expect(latest(history, id(1), startMs + 15_000)).toBeNaN()
    expect(history.vm(id(1))?.heardMs).toBe(startMs + 5_000)
    history.note('a', message({ sequence: 5, atMs: 20_000, full: false, gone: [id(1)] }), startMs + 20_000)
    expect(history.vm(id(1))?.nodeId).toBe('')
  })

  test('a lost part is noticed', () => {
    owner.set(id(1), 'a')
    const history = open()
    history.note('a', message({ sequence: 1, atMs: 0, vms: [vm(1, 10)] }), startMs)
    history.note('a', message({ sequence: 2, atMs: 5_000, full: false, last: false }), startMs + 5_000)
    history.note('a', message({ sequence: 2, part: 2, atMs: 5_000, full: false, node: [] }), startMs + 5_000)
    expect(history.vm(id(1))?.heardMs).toBe(startMs)
  })

  test('only the owner\'s word counts, and VMs that are none are not kept', () => {
    owner.set(id(1), 'a')
    owner.delete(id(2))
    const history = open()
    history.note('b', message({ vms: [vm(1, 99), vm(2, 99)] }), startMs)
    expect(history.vm(id(1))).toBeNull()
    expect(history.vmIds()).toEqual([])
    history.note('a', message({ vms: [vm(1, 1)] }), startMs)
    owner.set(id(1), 'b')
    history.note('b', message({ sequence: 2, atMs: 5_000, vms: [vm(1, 50)] }), startMs + 5_000)
    expect(history.vm(id(1))?.nodeId).toBe('b')
    expect(latest(history, id(1), startMs + 5_000)).toBeNaN()
  })

  // 720,000 samples are seconds of work alone, and with coverage beside other work more than the 20 that others have.
  test('an hour of a thousand VMs: bounded, and how much', { timeout: 120_000 }, () => {
    for (let n = 0; n < 1000; n++) owner.set(id(n), 'a')
    const history = open()
    const collect = collector()
    collect()
    const before = process.memoryUsage()
    for (let sample = 0; sample < 720; sample++) {
      const vms = Array.from({ length: 1000 }, (_, n) => vm(n, sample * 0.5 + n))
      history.note('a', message({ sequence: sample + 1, atMs: sample * 5_000, node: figures(sample), vms }), startMs + sample * 5_000)
    }
    collect()
    const after = process.memoryUsage()
    expect(history.vmIds()).toHaveLength(1000)
    expect(latest(history, id(999), startMs + 719 * 5_000)).toBeCloseTo(0.1)
    // 6 series × 240 values × 4 bytes for a VM, 12 series for a node: 5.8 MB in all.
    expect(history.bytes).toBe(1000 * vmSeries.length * 240 * 4 + nodeSeries.length * 240 * 4)
    const grownMb = (after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed) / 1e6
    console.log(`an hour of 1,000 VMs: rings ${(history.bytes / 1e6).toFixed(2)} MB; process grew by ${grownMb.toFixed(1)} MB (arrays ${((after.arrayBuffers - before.arrayBuffers) / 1e6).toFixed(1)}, heap ${((after.heapUsed - before.heapUsed) / 1e6).toFixed(1)})`)
    expect(grownMb).toBeLessThan(12)
  })
})

describe('nodes', () => {
  const host = (seconds: number) => ({ ...Object.fromEntries(nodeFields.map(({ key }) => [key, 0])), cpus: 2, cpuSeconds: seconds * 2, cpuBusySeconds: seconds }) as unknown as HostFigures
  const domain = (seconds: number): DomainStats => ({ id: id(1), cpuSeconds: seconds / 4, memoryResidentBytes: 2 ** 27, memoryBalloonBytes: 2 ** 27, disks: [], nics: [] })
  const logged: string[] = []
  const log: Log = { debug: () => undefined, info: () => undefined, error: () => undefined, warn: (text) => void logged.push(text), child: () => log }

  test('each hears the other, says nothing while it cannot measure, and goes on without libvirt', async () => {
    const queue = new EventQueue()
    const network = new SimNetwork({ clock: new SimClock(queue), random: new SimRandom(1) })
    const pass = async (durationMs: number) => {
      const endMs = queue.nowMs + durationMs
      await new Promise((resolve) => setImmediate(resolve))
      for (let action = queue.next(endMs); action !== null; action = queue.next(endMs)) {
        action()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    let libvirt = true
    let proc = true
    const boot = async (nodeId: string) => {
      const clock = new SimClock(queue)
      const ports = network.endpoint(nodeId, clock)
      ports.transport.setMembers(['a', 'b'].map((each) => ({ nodeId: each, name: each, peerId: each, address: '' })))
      await ports.transport.start({ message: () => undefined, request: async (_from, _method, body) => body, connected: () => undefined, disconnected: () => undefined })
      const metrics = new Metrics({ nodeId, ownerOf: () => 'a', appliance: () => ({}) as ApplianceFigures }, {
        gossip: ports.gossip, clock, log,
        meter: { read: async () => { if (!proc) throw new Error('no /proc'); return host(clock.monotonicMs() / 1000) }, stop: () => undefined },
        hypervisor: { stats: async () => { if (!libvirt) throw new Error('away'); return nodeId === 'a' ? [domain(clock.monotonicMs() / 1000)] : [] } },
      })
      metrics.start()
      return { metrics, gossip: ports.gossip }
    }
    const a = await boot('a')
    const b = await boot('b')
    await pass(61_000)
    const nowMs = b.metrics.nowMs()
    const figuresOf = (node: NodeFigures | undefined) => node?.vmsRunning
    expect(figuresOf(b.metrics.node('a')?.figures)).toBe(1)
    expect(b.metrics.vm(id(1))?.rings.read(0, { untilMs: nowMs - 5_000, steps: 3, stepSeconds: 5 })).toEqual(Float64Array.of(0.25, 0.25, 0.25))
    expect(b.metrics.node('a')?.rings.read(0, { untilMs: nowMs - 5_000, steps: 1, stepSeconds: 5 })[0]).toBeCloseTo(0.5)
    libvirt = false
    await pass(20_000)
    expect(nowMs).toBeLessThan(b.metrics.node('a')!.heardMs)
    proc = false
    await pass(30_000)
    expect(logged.filter((line) => line === 'metrics not measured').length).toBe(2)
    expect(b.metrics.nowMs() - b.metrics.node('a')!.heardMs).toBeGreaterThan(25_000)
    a.gossip.publish('metrics', Uint8Array.of(1, 2, 3))
    await pass(100)
    expect(logged).toContain('metrics not understood')
    a.metrics.stop()
    b.metrics.stop()
  })
})

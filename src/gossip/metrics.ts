// Metrics: each node measures itself and its VMs every 5 seconds, tells it in one message where it fits, and keeps an hour of what all said.
import { diskFields, nicFields, nodeFields, samplePeriodMs, vmFields, type MetricField, type NodeFigures, type VmSample } from '../model/metrics.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { History, NodeHistory, VmHistory } from '../ports/history.ts'
import type { DomainStats, Hypervisor } from '../ports/hypervisor.ts'
import type { Log } from '../ports/log.ts'
import type { HostFigures, HostMeter } from '../ports/meter.ts'
import type { Gossip } from '../ports/transport.ts'
import { decodeSample, encodeSample, type SampleMessage } from './metrics-codec.ts'
import { MetricsHistory, type HistoryOptions } from './metrics-history.ts'

const topic = 'metrics'
/** Below what gossip carries. */
const messageBytesMax = 60 * 1024
/** Every twelfth sample tells all VMs, so that who came lately knows them within a minute. */
const samplesPerFull = 12

export type ApplianceFigures = Omit<NodeFigures, keyof HostFigures | 'vmsRunning'>

export type MetricsOptions = HistoryOptions & {
  readonly nodeId: string
  /** What the daemon knows of itself. */
  readonly appliance: () => ApplianceFigures
  /** A node's sample came in: it is there. */
  readonly onHeard?: (nodeId: string) => void
}
type MetricsPorts = { readonly gossip: Gossip; readonly clock: Clock; readonly meter: HostMeter; readonly hypervisor: Pick<Hypervisor, 'stats'>; readonly log: Log }

export class Metrics implements History {
  readonly #options: MetricsOptions
  readonly #ports: MetricsPorts
  readonly #history: MetricsHistory
  readonly #offsetMs: number
  /** As last told, by VM. */
  #told = new Map<string, VmSample>()
  #sequence: number
  #samples = 0
  #cancel: Cancel | null = null
  #measuring = false
  #failing = false

  constructor(options: MetricsOptions, ports: MetricsPorts) {
    const { clock } = ports
    this.#options = options
    this.#ports = ports
    this.#history = new MetricsHistory(options)
    this.#offsetMs = clock.nowMs() - clock.monotonicMs()
    // Rises from one start of the daemon to the next.
    this.#sequence = Math.max(0, Math.floor(clock.nowMs() / 1000))
  }

  /** `paced`: somebody else calls `measure` every 5 seconds. */
  start(options: { readonly paced?: boolean } = {}): void {
    if (this.#cancel !== null) throw new Error('assertion: metrics start once')
    this.#ports.gossip.subscribe(topic, (from, data) => {
      if (this.#cancel !== null && from !== this.#options.nodeId) this.#onMessage(from, data)
    })
    this.#cancel = options.paced === true ? () => undefined : this.#ports.clock.every(samplePeriodMs, () => void this.measure())
    void this.measure()
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
    this.#ports.meter.stop()
  }

  nowMs(): number {
    return this.#ports.clock.monotonicMs() + this.#offsetMs
  }

  node(id: string): NodeHistory | null {
    return this.#history.node(id)
  }

  vm(id: string): VmHistory | null {
    return this.#history.vm(id)
  }

  nodeIds(): readonly string[] {
    return this.#history.nodeIds()
  }

  vmIds(): readonly string[] {
    return this.#history.vmIds()
  }

  /** Takes a sample and publishes it; false where that could not be done. */
  async measure(): Promise<boolean> {
    // libvirt or a disk that hangs must not be asked again and again.
    if (this.#measuring || this.#cancel === null) return false
    this.#measuring = true
    const { meter, hypervisor, clock, gossip, log } = this.#ports
    try {
      // Without libvirt the host's own figures still count.
      const [host, domains] = await Promise.all([meter.read(), hypervisor.stats().catch(() => null)])
      if (this.#cancel === null) return false
      const sample = this.#sampleOf(host, domains, clock.monotonicMs())
      const nowMs = this.nowMs()
      this.#history.note(this.#options.nodeId, { ...sample, part: 0, last: true }, nowMs)
      for (const message of encodeSample(sample, messageBytesMax)) gossip.publish(topic, message)
      this.#failing = false
      return true
    } catch (error) {
      if (!this.#failing) log.warn('metrics not measured', { error: String(error) })
      this.#failing = true
      return false
    } finally {
      this.#measuring = false
    }
  }

  #sampleOf(host: HostFigures, domains: readonly DomainStats[] | null, atMs: number): Omit<SampleMessage, 'last' | 'part'> {
    const all = domains?.map(vmSampleOf) ?? [...this.#told.values()]
    const full = this.#samples++ % samplesPerFull === 0
    const now = new Map(all.map((vm) => [vm.id, vm]))
    const gone = [...this.#told.keys()].filter((id) => !now.has(id))
    const vms = full ? all : all.filter((vm) => !isSame(vm, this.#told.get(vm.id)))
    this.#told = now
    const figures: NodeFigures = { ...host, ...this.#options.appliance(), vmsRunning: all.length }
    return { sequence: ++this.#sequence, atMs, full, node: valuesOf(nodeFields, figures), vms, gone }
  }

  #onMessage(from: string, data: Uint8Array): void {
    const message = decodeSample(data)
    if (message === null) {
      this.#ports.log.warn('metrics not understood', { from, bytes: data.length })
      return
    }
    this.#history.note(from, message, this.nowMs())
    this.#options.onHeard?.(from)
  }
}

function vmSampleOf(stats: DomainStats): VmSample {
  return {
    id: stats.id,
    values: valuesOf(vmFields, stats),
    disks: stats.disks.map((disk) => ({ name: disk.name, values: valuesOf(diskFields, disk) })),
    nics: stats.nics.map((nic) => ({ name: nic.name, values: valuesOf(nicFields, nic) })),
  }
}

function valuesOf<Key extends string>(fields: readonly MetricField<Key>[], figures: Readonly<Record<Key, number>>): readonly number[] {
  return fields.map(({ key }) => figures[key])
}

function isSame(left: VmSample, right: VmSample | undefined): boolean {
  const same = (one: readonly number[], other: readonly number[] | undefined): boolean => one.every((value, at) => value === other?.[at])
  const devices = (one: VmSample['disks'], other: VmSample['disks']): boolean => one.length === other.length && one.every((device, at) => device.name === other[at]?.name && same(device.values, other[at]?.values))
  return right !== undefined && same(left.values, right.values) && devices(left.disks, right.disks) && devices(left.nics, right.nics)
}

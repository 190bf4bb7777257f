// The last sample and an hour of series of every node and every VM, in memory: what gossip said, nothing else.
import { historySeconds, nodeFields, nodeSeries, vmFields, vmSeries, type NodeFigures, type VmSample } from '../model/metrics.ts'
import type { NodeHistory, VmHistory } from '../ports/history.ts'
import type { SampleMessage } from './metrics-codec.ts'
import { Rings } from './metrics-rings.ts'

/** Above any cluster's counts; what is heard least long ago stays. */
const nodesMax = 1024
const vmsMax = 16_384
/** Counters further apart than this say nothing of a rate now. */
const rateMsMax = 120_000
const sweepMs = 60_000
const disorderMsMax = 15_000

type NodeEntry = NodeHistory & { heardMs: number; figures: NodeFigures; rings: Rings; sequence: number; part: number; complete: boolean; atMs: number; readonly vmIds: Set<string> }
type VmEntry = VmHistory & { nodeId: string; heardMs: number; sample: VmSample; rings: Rings; sequence: number; atMs: number }

export type HistoryOptions = {
  /** Whose word counts for a VM: the node that it is assigned to. Null: no such VM. */
  readonly ownerOf: (vmId: string) => string | null
}

export class MetricsHistory {
  readonly #options: HistoryOptions
  readonly #nodes = new Map<string, NodeEntry>()
  readonly #vms = new Map<string, VmEntry>()
  #sweptMs = 0

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  node(id: string): NodeHistory | null {
    return this.#nodes.get(id) ?? null
  }

  /** Null also for a VM that is none any more. */
  vm(id: string): VmHistory | null {
    const entry = this.#vms.get(id)
    return entry === undefined || this.#options.ownerOf(id) === null ? null : entry
  }

  nodeIds(): readonly string[] {
    return [...this.#nodes.keys()]
  }

  vmIds(): readonly string[] {
    return [...this.#vms.keys()]
  }

  /** Of the rings alone. */
  get bytes(): number {
    return [...this.#nodes.values(), ...this.#vms.values()].reduce((sum, entry) => sum + entry.rings.bytes, 0)
  }

  /** @param nowMs this node's own time, that never jumps */
  note(nodeId: string, message: SampleMessage, nowMs: number): void {
    const node = message.node.length > 0 ? this.#noteNode(nodeId, message, nowMs) : this.#nodes.get(nodeId)
    if (node === undefined || node.sequence !== message.sequence) return
    if (message.part > 0 && message.part !== node.part + 1) node.complete = false
    node.part = message.part
    for (const vm of message.vms) this.#noteVm(node, nodeId, vm, message, nowMs)
    for (const id of message.gone) this.#noteGone(node, nodeId, id)
    if (message.last) this.#noteUnchanged(node, nodeId, message, nowMs)
    if (nowMs - this.#sweptMs >= sweepMs) this.#sweep(nowMs)
  }

  #noteNode(nodeId: string, message: SampleMessage, nowMs: number): NodeEntry | undefined {
    const before = this.#nodes.get(nodeId)
    // Late or twice. Later it is a daemon that began anew with its clock set back.
    if (before !== undefined && message.sequence <= before.sequence && nowMs - before.heardMs < disorderMsMax) return undefined
    if (before === undefined && this.#nodes.size >= nodesMax) return undefined
    const figures = Object.fromEntries(nodeFields.map(({ key }, at) => [key, message.node[at] ?? 0])) as NodeFigures
    const entry: NodeEntry = before ?? { heardMs: nowMs, figures, rings: new Rings(nodeSeries.length), sequence: -1, part: 0, complete: false, atMs: message.atMs, vmIds: new Set() }
    entry.rings.put(nowMs, nodeRates(before?.figures ?? null, figures, message.atMs - (before?.atMs ?? message.atMs)))
    entry.part = 0
    entry.complete = message.full || (before !== undefined && message.sequence === before.sequence + 1)
    entry.heardMs = nowMs
    entry.figures = figures
    entry.sequence = message.sequence
    entry.atMs = message.atMs
    this.#nodes.set(nodeId, entry)
    return entry
  }

  #noteVm(node: NodeEntry, nodeId: string, sample: VmSample, message: SampleMessage, nowMs: number): void {
    if (this.#options.ownerOf(sample.id) !== nodeId) return
    const before = this.#vms.get(sample.id)
    if (before === undefined && this.#vms.size >= vmsMax) return
    const known = before !== undefined && before.nodeId === nodeId
    const entry: VmEntry = before ?? { nodeId, heardMs: nowMs, sample, rings: new Rings(vmSeries.length), sequence: message.sequence, atMs: message.atMs }
    entry.rings.put(nowMs, vmRates(known ? before.sample : null, sample, message.atMs - entry.atMs))
    entry.nodeId = nodeId
    entry.heardMs = nowMs
    entry.sample = sample
    entry.sequence = message.sequence
    entry.atMs = message.atMs
    this.#vms.set(sample.id, entry)
    node.vmIds.add(sample.id)
  }

  /** It is off now: its hour stays, its counters begin anew when it starts. */
  #noteGone(node: NodeEntry, nodeId: string, id: string): void {
    node.vmIds.delete(id)
    const entry = this.#vms.get(id)
    if (entry?.nodeId === nodeId) entry.nodeId = ''
  }

  /** Where no part was lost, a VM that was not mentioned has not changed; where all were listed, it is off. */
  #noteUnchanged(node: NodeEntry, nodeId: string, message: SampleMessage, nowMs: number): void {
    if (!node.complete) return
    for (const id of node.vmIds) {
      const entry = this.#vms.get(id)
      if (entry === undefined || entry.nodeId !== nodeId) {
        node.vmIds.delete(id)
      } else if (entry.sequence !== message.sequence) {
        if (message.full) this.#noteGone(node, nodeId, id)
        else this.#noteVm(node, nodeId, entry.sample, message, nowMs)
      }
    }
  }

  #sweep(nowMs: number): void {
    this.#sweptMs = nowMs
    for (const [id, entry] of this.#vms) if (this.#options.ownerOf(id) === null || nowMs - entry.heardMs > historySeconds * 1000) this.#vms.delete(id)
    for (const [id, entry] of this.#nodes) if (nowMs - entry.heardMs > historySeconds * 1000) this.#nodes.delete(id)
  }
}

/** Rise of a counter in a second; NaN where it began anew or nothing is known. */
function rateOf(before: number | undefined, after: number, elapsedMs: number): number {
  if (before === undefined || elapsedMs <= 0 || elapsedMs > rateMsMax || after < before) return Number.NaN
  return ((after - before) * 1000) / elapsedMs
}

/** In the order of `nodeSeries`. */
function nodeRates(before: NodeFigures | null, after: NodeFigures, elapsedMs: number): readonly number[] {
  const rate = (key: keyof NodeFigures): number => rateOf(before?.[key], after[key], elapsedMs)
  const rise = (key: keyof NodeFigures): number => (before === null || after[key] < before[key] ? Number.NaN : after[key] - before[key])
  const quotient = (part: number, whole: number): number => (whole > 0 ? part / whole : Number.NaN)
  const { memoryUsedBytes, storageUsedBytes, loopDelayP99Seconds, processResidentBytes } = after
  return [
    Math.min(1, quotient(rise('cpuBusySeconds'), rise('cpuSeconds'))), memoryUsedBytes, storageUsedBytes, rate('receiveBytes'), rate('transmitBytes'), rate('readBytes'), rate('writtenBytes'),
    rate('httpRequests'), quotient(rise('raftAppendSeconds'), rise('raftAppends')), loopDelayP99Seconds, rate('processCpuSeconds'), processResidentBytes,
  ]
}

const vmAt = Object.fromEntries(vmFields.map(({ key }, at) => [key, at])) as { readonly [Key in (typeof vmFields)[number]['key']]: number }

/** In the order of `vmSeries`. What the hypervisor does not count (a network in user mode) is unknown, not zero. */
function vmRates(before: VmSample | null, after: VmSample, elapsedMs: number): readonly number[] {
  const sum = (sample: VmSample | null, kind: 'disks' | 'nics', at: number): number | undefined =>
    sample === null || sample[kind].length === 0 ? undefined : sample[kind].reduce((total, device) => total + (device.values[at] ?? 0), 0)
  const devices = (kind: 'disks' | 'nics', at: number): number => {
    const now = sum(after, kind, at)
    return now === undefined ? Number.NaN : rateOf(sum(before, kind, at), now, elapsedMs)
  }
  return [
    rateOf(before?.values[vmAt.cpuSeconds], after.values[vmAt.cpuSeconds] ?? 0, elapsedMs), after.values[vmAt.memoryResidentBytes] ?? Number.NaN,
    devices('disks', 0), devices('disks', 1), devices('nics', 0), devices('nics', 1),
  ]
}

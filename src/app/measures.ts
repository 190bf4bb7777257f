// Use cases of what was measured: an hour of series of a node, a VM or the cluster, who uses how much now, and the small lines of lists.
import { OperationalError } from '../model/error.ts'
import { nodeSeries, sampleAgeMsMax, samplePeriodMs, vmSeries, type MetricsView, type SeriesWords, type Usage, type UsageSort } from '../model/metrics.ts'
import type { StoredNode } from '../model/node.ts'
import type { StoredVm } from '../model/vm.ts'
import type { NodeHistory, VmHistory } from '../ports/history.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, ListQuery, Measures, Page, SeriesQuery } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { findInProjects } from './reference.ts'

const fineRangeSeconds = 600
const fineStepSeconds = samplePeriodMs / 1000
const coarseStepSeconds = 30
const stepsMax = 720
const sparkPoints = 30
const sparkStepSeconds = 120
const mebibyte = 2 ** 20

type Window = { readonly untilMs: number; readonly steps: number; readonly stepSeconds: number }
type Rings = NodeHistory['rings']
type Row = { readonly id: string; readonly name: string; readonly nodeId: string | null; readonly history: NodeHistory | VmHistory | null; readonly cpus: number; readonly memoryBytes: number; readonly words: readonly SeriesWords[] }

export class MeasureUseCases implements Measures {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  node(caller: Caller, ref: string, query: SeriesQuery): MetricsView {
    authorize(caller, 'read', '', 'nodes')
    const node = findByRef(this.#context.state, 'node', ref, '')
    if (node === undefined) throw new OperationalError('NOT_FOUND', `There is no node ${ref.slice(0, 80)}.`)
    const row = this.#nodeRow(node)
    return this.#view('node', row, query, (window) => nodeSeries.map((_, at) => pointsOf(row.history?.rings ?? null, at, window, 1)))
  }

  vm(caller: Caller, ref: string, query: SeriesQuery): MetricsView {
    const vm = findInProjects(this.#context.state, 'vm', ref, (record) => may(caller, 'read', record.project))
    if (vm === undefined) throw new OperationalError('NOT_FOUND', `There is no VM ${ref.slice(0, 80)}.`)
    const row = this.#vmRow(vm)
    return this.#view('vm', row, query, (window) => vmSeries.map(({ name }, at) => pointsOf(row.history?.rings ?? null, at, window, name === 'cpu' ? row.cpus : 1)))
  }

  cluster(caller: Caller, query: SeriesQuery): MetricsView {
    authorize(caller, 'read', '', 'the cluster')
    const rows = [...this.#context.state.tables.node.values()].map((node) => this.#nodeRow(node))
    const heard = rows.map((row) => row.history).filter((history) => history !== null)
    const sum = (pick: (history: NodeHistory) => number) => heard.reduce((total, history) => total + pick(history as NodeHistory), 0)
    const cluster = this.#context.state.tables.cluster.get('cluster')
    const row: Row = { id: cluster?.id ?? 'cluster', name: cluster?.name ?? '', nodeId: null, history: null, cpus: sum((each) => each.figures.cpus), memoryBytes: sum((each) => each.figures.memoryTotalBytes), words: nodeSeries.slice(0, clusterSeries) }
    const view = this.#view('cluster', row, query, (window) => row.words.map(({ name }, at) => sumOf(rows, at, window, name === 'cpu')))
    const heardMs = heard.length === 0 ? null : Math.min(...heard.map((each) => each.heardMs))
    const latest = (at: number, isRatio: boolean) => sumOf(rows.filter((each) => !this.#isStale(each)), at, { untilMs: this.#nowMs() - samplePeriodMs, steps: 2, stepSeconds: fineStepSeconds }, isRatio).findLast((value) => value !== null) ?? null
    return {
      ...view,
      heardAt: heardMs === null ? null : isoTime(heardMs), stale: rows.some((each) => this.#isStale(each)),
      limits: { ...view.limits, storageBytes: sum((each) => each.figures.storageTotalBytes) },
      series: view.series.map((series, at) => ({ ...series, latest: latest(at, series.name === 'cpu') })),
    }
  }

  nodeUsage(caller: Caller, query: ListQuery): Page<Usage> {
    authorize(caller, 'read', '', 'nodes')
    const rows = new Map([...this.#context.state.tables.node.values()].map((node) => [node.id, this.#usageOf(this.#nodeRow(node))]))
    const shape: ListShape<StoredNode> = { id: (node) => node.id, name: (node) => node.name, labels: (node) => node.labels, fields: usageFields((node) => rows.get(node.id)), sortDefault: '-cpu' }
    return listPage(this.#context.state.tables.node.values(), shape, query, (node) => rows.get(node.id)!)
  }

  vmUsage(caller: Caller, query: ListQuery): Page<Usage> {
    const vms = [...this.#context.state.tables.vm.values()].filter((vm) => may(caller, 'read', vm.project))
    const rows = new Map(vms.map((vm) => [vm.id, this.#usageOf(this.#vmRow(vm))]))
    const shape: ListShape<StoredVm> = {
      id: (vm) => vm.id, name: (vm) => vm.name, labels: (vm) => vm.labels, sortDefault: '-cpu',
      fields: { ...usageFields<StoredVm>((vm) => rows.get(vm.id)), node: (vm) => rows.get(vm.id)?.node ?? '', project: (vm) => vm.project },
    }
    return listPage(vms, shape, query, (vm) => rows.get(vm.id)!)
  }

  sparks(caller: Caller, kind: 'node' | 'vm', ids: readonly string[]): ReadonlyMap<string, readonly (number | null)[]> {
    const { tables } = this.#context.state
    const window: Window = { untilMs: this.#nowMs(), steps: sparkPoints, stepSeconds: sparkStepSeconds }
    return new Map(ids.flatMap((id): [string, readonly (number | null)[]][] => {
      const vm = kind === 'vm' ? tables.vm.get(id) : undefined
      const node = kind === 'node' ? tables.node.get(id) : undefined
      if (vm !== undefined ? !may(caller, 'read', vm.project) : node === undefined || !may(caller, 'read', '')) return []
      const row = vm !== undefined ? this.#vmRow(vm) : this.#nodeRow(node!)
      return [[id, pointsOf(row.history?.rings ?? null, 0, window, kind === 'vm' ? row.cpus : 1)]]
    }))
  }

  usageOf(caller: Caller, kind: 'node' | 'vm', id: string): Usage | null {
    const { tables } = this.#context.state
    if (kind === 'node') {
      const node = tables.node.get(id)
      return node === undefined || !may(caller, 'read', '') ? null : this.#usageOf(this.#nodeRow(node))
    }
    const vm = tables.vm.get(id)
    return vm === undefined || !may(caller, 'read', vm.project) ? null : this.#usageOf(this.#vmRow(vm))
  }

  #nowMs(): number {
    return this.#context.ports.history?.nowMs() ?? this.#context.ports.clock.nowMs()
  }

  #nodeRow(node: StoredNode): Row {
    const history = this.#context.ports.history?.node(node.id) ?? null
    const capacity = node.announcement?.capacity
    return {
      id: node.id, name: node.name, nodeId: node.id, history, words: nodeSeries,
      cpus: history?.figures.cpus ?? capacity?.cpus ?? 1, memoryBytes: history?.figures.memoryTotalBytes ?? (capacity?.memoryMiB ?? 0) * mebibyte,
    }
  }

  #vmRow(vm: StoredVm): Row {
    return { id: vm.id, name: vm.name, nodeId: vm.assignment?.nodeId ?? null, history: this.#context.ports.history?.vm(vm.id) ?? null, cpus: vm.spec.cpus, memoryBytes: vm.spec.memoryMiB * mebibyte, words: vmSeries }
  }

  /** The node that measures it was not heard of lately. */
  #isStale(row: Row): boolean {
    const node = row.nodeId === null ? null : (this.#context.ports.history?.node(row.nodeId) ?? null)
    return row.nodeId !== null && (node === null || this.#nowMs() - node.heardMs > sampleAgeMsMax)
  }

  #latest(row: Row, at: number): number | null {
    const { history } = row
    if (history === null || this.#nowMs() - history.heardMs > sampleAgeMsMax || ('sample' in history && history.nodeId === '')) return null
    const share = at === 0 && 'sample' in history ? row.cpus : 1
    return pointsOf(history.rings, at, { untilMs: history.heardMs, steps: 1, stepSeconds: fineStepSeconds }, share)[0] ?? null
  }

  #view(kind: MetricsView['kind'], row: Row, query: SeriesQuery, read: (window: Window) => readonly (readonly (number | null)[])[]): MetricsView {
    const window = windowOf(query, this.#nowMs())
    const points = read(window)
    const stepMs = window.stepSeconds * 1000
    const storage = row.history !== null && 'figures' in row.history ? row.history.figures.storageTotalBytes : null
    return {
      kind, id: row.id, name: row.name,
      startAt: isoTime((Math.floor(window.untilMs / stepMs) - window.steps + 1) * stepMs), stepSeconds: window.stepSeconds,
      heardAt: row.history === null ? null : isoTime(row.history.heardMs), stale: this.#isStale(row),
      limits: { cpus: row.cpus, memoryBytes: row.memoryBytes, storageBytes: storage },
      series: row.words.map((words, at) => ({ ...words, latest: this.#latest(row, at), points: [...(points[at] ?? [])] })),
    }
  }

  #usageOf(row: Row): Usage {
    const latest = (name: string): number | null => {
      const at = row.words.findIndex((words) => words.name === name)
      return at < 0 ? null : this.#latest(row, at)
    }
    const memoryBytes = latest('memoryUsed') ?? latest('memoryResident')
    return {
      id: row.id, name: row.name, node: this.#context.nodeName(row.nodeId), heardAt: row.history === null ? null : isoTime(row.history.heardMs), stale: this.#isStale(row),
      cpuRatio: latest('cpu'), memoryBytes, memoryRatio: memoryBytes === null || row.memoryBytes === 0 ? null : memoryBytes / row.memoryBytes,
      readBytesPerSecond: latest('read'), writeBytesPerSecond: latest('write'), receiveBytesPerSecond: latest('receive'), transmitBytesPerSecond: latest('transmit'),
    }
  }
}

/** What makes sense added up: CPU, memory, storage, network, disks. */
const clusterSeries = 7

const usageValues = {
  cpu: 'cpuRatio', memory: 'memoryBytes', read: 'readBytesPerSecond', write: 'writeBytesPerSecond', receive: 'receiveBytesPerSecond', transmit: 'transmitBytesPerSecond',
} as const satisfies { readonly [Sort in Exclude<UsageSort, 'name'>]: keyof Usage }

/** What is not known comes last where the most comes first. */
function usageFields<Record extends { readonly name: string }>(usage: (record: Record) => Usage | undefined): ListShape<Record>['fields'] {
  const values = Object.entries(usageValues).map(([sort, key]) => [sort, (record: Record) => usage(record)?.[key] ?? -1] as const)
  return { ...Object.fromEntries(values), name: (record: Record) => record.name }
}

/** @throws INVALID */
function windowOf({ rangeSeconds, stepSeconds }: SeriesQuery, nowMs: number): Window {
  const grain = rangeSeconds <= fineRangeSeconds ? fineStepSeconds : coarseStepSeconds
  const step = stepSeconds ?? grain * Math.max(1, Math.ceil(rangeSeconds / grain / 120))
  const steps = Math.ceil(rangeSeconds / step)
  if (step % grain !== 0 || step > rangeSeconds || steps > stepsMax) {
    const message = `must be a multiple of ${grain} s, at most the range`
    throw new OperationalError('INVALID', `step ${message}.`, { data: { fields: [{ path: 'step', message }] } })
  }
  // The sample of the slot that has just begun may still be on its way.
  return { untilMs: nowMs - samplePeriodMs, steps, stepSeconds: step }
}

function pointsOf(rings: Rings | null, series: number, window: Window, share: number): (number | null)[] {
  if (rings === null) return Array.from({ length: window.steps }, () => null)
  return Array.from(rings.read(series, window), (value) => (Number.isNaN(value) ? null : value / share))
}

/** Nodes added up, as far as they were heard of; a ratio is weighed by their CPUs. */
function sumOf(rows: readonly Row[], series: number, window: Window, isRatio: boolean): (number | null)[] {
  const sums = Array.from({ length: window.steps }, () => ({ value: 0, weight: 0 }))
  for (const row of rows) {
    if (row.history === null) continue
    for (const [at, value] of row.history.rings.read(series, window).entries()) {
      const sum = sums[at]
      if (sum === undefined || Number.isNaN(value)) continue
      sum.value += value * (isRatio ? row.cpus : 1)
      sum.weight += isRatio ? row.cpus : 1
    }
  }
  return sums.map(({ value, weight }) => (weight === 0 ? null : isRatio ? value / weight : value))
}

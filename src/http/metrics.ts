// /metrics: the node's figures, the process's and the HTTP face's own, in Prometheus' text format.
import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { App, Caller } from '../app/face.ts'
import type { Clock } from '../ports/clock.ts'

export type Metrics = {
  /** @param route a path pattern, from a bounded set */
  observe(request: { readonly node: string; readonly method: string; readonly route: string; readonly status: number; readonly seconds: number }): void
  render(app: App, caller: Caller, scope: 'node' | 'cluster'): Promise<{ readonly contentType: string; readonly text: string }>
  stop(): void
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const loopDelayResolutionMs = 100
const nodesMax = 1000

export function createMetrics(options: { readonly clock: Clock; readonly version: string }): Metrics {
  const lasting = new Registry()
  const requests = new Histogram({
    name: 'novacron_http_request_duration_seconds', help: 'Time to answer HTTP requests; streams are not counted', labelNames: ['node', 'method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], registers: [lasting],
  })
  const delay = monitorEventLoopDelay({ resolution: loopDelayResolutionMs })
  delay.enable()
  const startedSeconds = options.clock.nowMs() / 1000 - process.uptime()
  return {
    observe({ node, method, route, status, seconds }) {
      requests.observe({ node, method: methods.has(method) ? method : 'other', route, status: String(status) }, seconds)
    },
    async render(app, caller, scope) {
      const node = app.freshness().node.name
      const passing = new Registry()
      addNode(passing, app, node)
      if (scope === 'cluster') addCluster(passing, app, caller)
      addProcess(passing, { node, startedSeconds, version: options.version, loopDelaySeconds: delay.count === 0 ? 0 : delay.percentile(99) / 1e9 })
      delay.reset()
      const all = Registry.merge([lasting, passing])
      return { contentType: all.contentType, text: await all.metrics() }
    },
    stop: () => delay.disable(),
  }
}

/** What the rooms declare as data. Several values of one name share its help and type. */
function addNode(registry: Registry, app: App, node: string): void {
  const byName = new Map<string, ReturnType<App['metrics']>[number][]>()
  for (const metric of app.metrics()) byName.set(metric.name, [...(byName.get(metric.name) ?? []), metric])
  for (const [name, metrics] of byName) {
    const [first] = metrics
    if (first === undefined) continue
    const labelNames = [...new Set(['node', ...metrics.flatMap((metric) => Object.keys(metric.labels ?? {}))])]
    const options = { name, help: first.help, labelNames, registers: [registry] }
    if (first.type === 'counter') {
      const counter = new Counter(options)
      for (const { labels, value } of metrics) counter.inc({ node, ...labels }, value)
    } else {
      const gauge = new Gauge(options)
      for (const { labels, value } of metrics) gauge.set({ node, ...labels }, value)
    }
  }
}

/** What every node gossips about itself, as this node last heard it. */
function addCluster(registry: Registry, app: App, caller: Caller): void {
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ['node'], registers: [registry] })
  const ready = gauge('novacron_cluster_node_ready', 'Whether the node is ready, as this node sees it')
  const load = {
    cpuRatio: gauge('novacron_cluster_node_cpu_ratio', 'Share of the CPUs in use'),
    memoryUsedBytes: gauge('novacron_cluster_node_memory_used_bytes', 'Memory in use'),
    memoryTotalBytes: gauge('novacron_cluster_node_memory_size_bytes', 'Memory of the node'),
    storageUsedBytes: gauge('novacron_cluster_node_storage_used_bytes', 'Storage in use in the pool local'),
    storageTotalBytes: gauge('novacron_cluster_node_storage_size_bytes', 'Storage of the pool local'),
    uptimeSeconds: gauge('novacron_cluster_node_uptime_seconds', 'Time since the daemon started'),
  } as const
  const vms = gauge('novacron_cluster_node_vms_running', 'VMs running on the node')
  for (const { name, status } of app.nodes.list(caller, { limit: nodesMax, after: null, sort: null, filter: null }).items) {
    ready.set({ node: name }, status.ready ? 1 : 0)
    vms.set({ node: name }, status.allocated.vmsRunning)
    if (status.load === null) continue
    for (const key of Object.keys(load) as (keyof typeof load)[]) load[key].set({ node: name }, status.load[key])
  }
}

/** Our own in place of prom-client's, three of whose names `promtool check metrics` refuses. */
function addProcess(registry: Registry, known: { readonly node: string; readonly startedSeconds: number; readonly version: string; readonly loopDelaySeconds: number }): void {
  const { node } = known
  const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, labelNames: ['node'], registers: [registry] }).set({ node }, value)
  const usage = process.resourceUsage()
  const memory = process.memoryUsage()
  new Counter({ name: 'novacron_process_cpu_seconds_total', help: 'CPU time of the daemon', labelNames: ['node'], registers: [registry] }).inc({ node }, (usage.userCPUTime + usage.systemCPUTime) / 1e6)
  gauge('novacron_process_resident_memory_bytes', 'Resident memory of the daemon', memory.rss)
  gauge('novacron_process_heap_used_bytes', 'JavaScript heap in use', memory.heapUsed)
  gauge('novacron_process_external_memory_bytes', 'Memory of buffers outside of the heap', memory.external)
  gauge('novacron_process_start_time_seconds', 'When the daemon started, in seconds since the epoch', known.startedSeconds)
  gauge('novacron_process_open_fds', 'Open file descriptors', openFileDescriptors())
  gauge('novacron_process_event_loop_delay_p99_seconds', 'Delay of the event loop since the last scrape, 99th percentile', known.loopDelaySeconds)
  new Gauge({ name: 'novacron_build_info', help: 'Version of the daemon and of its runtime; always 1', labelNames: ['node', 'version', 'runtime'], registers: [registry] })
    .set({ node, version: known.version, runtime: process.version }, 1)
}

function openFileDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

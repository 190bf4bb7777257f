// /metrics: what the rooms declare as data, written in Prometheus' text format, with the figures of this process and of HTTP.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Histogram as PromHistogram, Registry as PromRegistry } from 'prom-client'
import type { App, Caller, Metric, MetricScope } from '../app/face.ts'
import type { Clock } from '../ports/clock.ts'

export type Metrics = {
  /** @param route a path pattern, from a bounded set */
  observe(request: { readonly node: string; readonly method: string; readonly route: string; readonly status: number; readonly seconds: number }): void
  render(app: App, caller: Caller, scope: MetricScope): Promise<{ readonly contentType: string; readonly text: string }>
}

// The package's own entry loads its figures of the process and OpenTelemetry with them, a tenth of all that a start loads.
const require = createRequire(import.meta.url)
const Histogram = require('prom-client/lib/histogram.js') as typeof PromHistogram
const Registry = require('prom-client/lib/registry.js') as typeof PromRegistry

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

export function createMetrics(options: { readonly clock: Clock; readonly version: string }): Metrics {
  const registry = new Registry()
  const requests = new Histogram({
    name: 'novacron_http_request_duration_seconds', help: 'Time to answer HTTP requests; streams are not counted', labelNames: ['node', 'method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], registers: [registry],
  })
  const startedSeconds = options.clock.nowMs() / 1000 - process.uptime()
  return {
    observe({ node, method, route, status, seconds }) {
      requests.observe({ node, method: methods.has(method) ? method : 'other', route, status: String(status) }, seconds)
    },
    async render(app, caller, scope) {
      const node = app.freshness().node.name
      const own = processMetrics({ startedSeconds, version: options.version })
      const families = renderFamilies([...app.metrics(caller, scope), ...own], node)
      return { contentType: registry.contentType, text: `${await registry.metrics()}\n${families}` }
    },
  }
}

/**
 * Several values of one name share its help and type. Where no node is named it is the one that answers. prom-client's own way of formatting costs
 * some 10 µs a value, which is too long for thousands of VMs; here the values of one VM share their labels' text.
 */
function renderFamilies(metrics: readonly Metric[], node: string): string {
  const families = new Map<string, string[]>()
  const texts = new Map<Metric['labels'], string>()
  for (const { name, help, type, labels, value } of metrics) {
    let lines = families.get(name)
    if (lines === undefined) families.set(name, (lines = [`# HELP ${name} ${escaped(help, /[\\\n]/g)}`, `# TYPE ${name} ${type}`]))
    let text = texts.get(labels)
    if (text === undefined) texts.set(labels, (text = renderLabels(labels === undefined ? { node } : 'node' in labels ? labels : { node, ...labels })))
    lines.push(`${name}{${text}} ${Number.isFinite(value) ? value : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'}`)
  }
  return `${[...families.values()].map((lines) => lines.join('\n')).join('\n\n')}\n`
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels).map(([name, value]) => `${name}="${escaped(value, /[\\\n"]/g)}"`).join(',')
}

function escaped(text: string, special: RegExp): string {
  return text.replaceAll(special, (character) => (character === '\n' ? String.raw`\n` : `\\${character}`))
}

/** Our own in place of prom-client's, three of whose names `promtool check metrics` refuses. */
function processMetrics(known: { readonly startedSeconds: number; readonly version: string }): readonly Metric[] {
  const gauge = (name: string, help: string, value: number): Metric => ({ name: `novacron_${name}`, help, type: 'gauge', value })
  const usage = process.resourceUsage()
  const memory = process.memoryUsage()
  return [
    { name: 'novacron_process_cpu_seconds_total', help: 'CPU time of the daemon', type: 'counter', value: (usage.userCPUTime + usage.systemCPUTime) / 1e6 },
    gauge('process_resident_memory_bytes', 'Resident memory of the daemon', memory.rss),
    gauge('process_heap_used_bytes', 'JavaScript heap in use', memory.heapUsed),
    gauge('process_external_memory_bytes', 'Memory of buffers outside of the heap', memory.external),
    gauge('process_start_time_seconds', 'When the daemon started, in seconds since the epoch', known.startedSeconds),
    gauge('process_open_fds', 'Open file descriptors', openFileDescriptors()),
    { ...gauge('build_info', 'Version of the daemon and of its runtime; always 1', 1), labels: { version: known.version, runtime: process.version } },
  ]
}

function openFileDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

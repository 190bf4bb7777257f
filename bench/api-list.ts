// Measures GET /api/v1/vms?limit=100 with 1,000 simulated VMs at 200 requests a second: p99 has to stay under 100 ms.
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release } from 'node:os'
import { Worker } from 'node:worker_threads'
import { parseArgs } from 'node:util'
import { serve } from '../test/unit/http/harness.ts'
import { startRealNode } from '../test/unit/http/real-node.ts'
import type { Load, LoadResult } from './api-list-load.ts'

const { values } = parseArgs({ options: { vms: { type: 'string', default: '1000' }, rate: { type: 'string', default: '200' }, seconds: { type: 'string', default: '30' }, raw: { type: 'boolean', default: true } }, allowNegative: true })
const limits = { p99Ms: 100 } as const
const creatorsMax = 16
const warmUpSeconds = 3

const vms = Number(values.vms)
const perSecond = Number(values.rate)
const real = await startRealNode({ cpus: vms * 2, memoryMiB: vms * 256 })
const served = await serve({ app: real.node.app })

async function createAll(): Promise<void> {
  const names = Array.from({ length: vms }, (_, number) => `vm-${String(number).padStart(5, '0')}`)
  const creators = Array.from({ length: creatorsMax }, async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const spec = { cpus: 1, memoryMiB: 128, runState: 'running', disks: [{ name: 'root', sizeGiB: 1 }], nics: [{ network: 'nat' }] }
      const answer = await served.ask('/api/v1/vms', { method: 'POST', token: real.token, json: { name, labels: { tier: 'front', owner: 'bench' }, spec } })
      if (answer.status !== 201) throw new Error(`creating ${name}: ${answer.text}`)
    }
  })
  await Promise.all(creators)
  for (;;) {
    const { total } = (await served.ask('/api/v1/vms?limit=1&filter=phase:running', { token: real.token })).json as { total: number }
    if (total === vms) return
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

function measure(seconds: number): Promise<LoadResult> {
  const load: Load = { port: served.http.port, ca: served.certPem, token: real.token, path: '/api/v1/vms?limit=100', perSecond, count: perSecond * seconds, connectionsMax: 128 }
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./api-list-load.ts', import.meta.url), { workerData: load })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

await createAll()
await measure(warmUpSeconds)
const cpuBefore = process.cpuUsage()
const result = await measure(Number(values.seconds))
const cpu = process.cpuUsage(cpuBefore)
const sorted = result.samplesMs.toSorted((left, right) => left - right)
const failed = Object.keys(result.failures).length > 0 || sorted.length !== perSecond * Number(values.seconds) || result.items !== Math.min(100, vms)
const p99Ms = quantile(sorted, 0.99)
console.log(JSON.stringify({
  bench: 'api-list', commit: execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim(), runtime: process.version,
  host: { kernel: release(), cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg() },
  configuration: { vms, perSecond, seconds: Number(values.seconds), path: '/api/v1/vms?limit=100', tls: 'TLS 1.3, keep-alive', node: 'one whole node on simulated disk, network and hypervisor; the load runs in another thread of the same process' },
  p50Ms: quantile(sorted, 0.5), p90Ms: quantile(sorted, 0.9), p99Ms, maxMs: sorted.at(-1), samples: sorted.length, answerBytes: result.bytes, failures: result.failures,
  cpuSecondsBothThreads: (cpu.user + cpu.system) / 1e6, residentBytes: process.memoryUsage().rss, limits, passed: !failed && p99Ms < limits.p99Ms,
}, null, 1))
if (values.raw) console.log(JSON.stringify({ rawMs: result.samplesMs.map((sample) => Math.round(sample * 100) / 100) }))
await served.http.stop()
await real.stop()
process.exit(!failed && p99Ms < limits.p99Ms ? 0 : 1)

// Measures GET /metrics?scope=cluster with 1,000 simulated VMs, as Prometheus asks (gzip, keep-alive): the 99th percentile has to stay under 200 ms.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild } from './child.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx } from './https-client.ts'
import { usageOf } from './process-usage.ts'
import { judge, printRaw, printSamples, quantile } from './samples.ts'
import type { Serving } from './scrape-server.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, vms: { type: 'string', default: '1000' } } })
const limits = { p99Ms: 200 } as const
const vms = Number(values.vms)
const scrapes = values.short ? 20 : 100
const warmUps = 20
const pauseMs = values.short ? 100 : 250
const creatorsMax = 16
const startMs = 60_000
const path = '/metrics?scope=cluster'

await withCleanup(async (defer) => {
  const directory = await mkdtemp(join(tmpdir(), 'nc-bench-'))
  defer(() => rm(directory, { recursive: true }))
  const child = startChild({ file: 'scrape-server.ts', args: [directory, String(vms)], logPath: join(directory, 'server.log') })
  defer(() => child.stop())
  const { url, ca, token } = await child.next<Serving>(startMs)
  const client = createClient({ url, ca, token })
  defer(() => client.close())
  const names = Array.from({ length: vms }, (_, number) => `vm-${String(number).padStart(5, '0')}`)
  await Promise.all(Array.from({ length: creatorsMax }, async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const spec = { cpus: 1, memoryMiB: 128, runState: 'running', disks: [{ name: 'root', sizeGiB: 1 }], nics: [{ network: 'nat' }] }
      await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name, spec } }), `creating ${name}`)
    }
  }))
  const scrape = () => require2xx(client.ask(path, { headers: { accept: 'text/plain', 'accept-encoding': 'gzip' } }), 'scraping')
  // Every VM has to be measured once.
  for (;;) {
    const { total } = (await require2xx(client.ask('/api/v1/cluster/usage/vms?limit=1&filter=-cpu:-1'), 'counting')).body as { total: number }
    if (total === vms) break
    await delay(500)
  }
  printHead('scrape', [
    `one node with ${vms} running simulated VMs, each with a disk and a network card, measured every 5 s; ${path} over HTTPS with keep-alive and gzip`,
    `${scrapes} scrapes, ${pauseMs} ms apart, after ${warmUps} to warm up; the server is a process of its own`,
  ])
  for (let warm = 0; warm < warmUps; warm++) await scrape()
  const before = usageOf(child.pid)
  const samplesMs: number[] = []
  let bytes = 0
  for (let count = 0; count < scrapes; count++) {
    const answer = await scrape()
    samplesMs.push(answer.ms)
    bytes = answer.bytes
    await delay(pauseMs)
  }
  const after = usageOf(child.pid)
  console.log(`load at the end: ${load()}`)
  printSamples('scrape', samplesMs, `${(bytes / 1024).toFixed(0)} KiB compressed`)
  printRaw('scrape', samplesMs)
  console.log(`server: RSS ${after.rssMb.toFixed(0)} MB; CPU ${(((after.cpuSeconds - before.cpuSeconds) / scrapes) * 1000).toFixed(0)} ms a scrape, everything else in it`)
  judge(`scrape of ${vms} VMs, p99`, quantile(samplesMs, 0.99), limits.p99Ms, 'ms')
})

// Measures GET /api/v1/vms?limit=100 with 1,000 simulated VMs at 200 requests a second: p99 has to stay under 100 ms.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import type { Load, LoadResult } from './api-list-load.ts'
import type { Serving } from './api-list-server.ts'
import { startChild, type Child } from './child.ts'
import { requireEtcd, startEtcd, type Etcd } from './etcd.ts'
import { load as machineLoad, printHead } from './facts.ts'
import { createClient, require2xx, type Client } from './https-client.ts'
import { usageOf } from './process-usage.ts'
import { judge, printRaw, printSamples, quantile } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, vms: { type: 'string', default: '1000' }, rate: { type: 'string', default: '200' } } })
const limits = { p99Ms: 100 } as const
const vms = Number(values.vms)
const perSecond = Number(values.rate)
/** Nobody's list of pages is asked for as often as an API. */
const pagesPerSecond = Math.ceil(perSecond / 10)
const rounds = values.short ? 1 : 4
const turnSeconds = 5
const warmUpSeconds = 2
const creatorsMax = 16
const listPath = '/api/v1/vms?limit=100'

type Question = Pick<Load, 'url' | 'method' | 'headers' | 'body' | 'perSecond'> & { readonly name: string; readonly ca: string; readonly process: 'node' | 'etcd' }
type Kept = { readonly samplesMs: number[]; failed: number; bytes: number; cpuSeconds: number; firstBody: string }

async function createVms(client: Client): Promise<void> {
  const names = Array.from({ length: vms }, (_, number) => `vm-${String(number).padStart(5, '0')}`)
  await Promise.all(Array.from({ length: creatorsMax }, async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const spec = { cpus: 1, memoryMiB: 128, runState: 'running', disks: [{ name: 'root', sizeGiB: 1 }], nics: [{ network: 'nat' }] }
      await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name, labels: { tier: name.endsWith('7') ? 'front' : 'back', owner: 'bench' }, spec } }), `creating ${name}`)
    }
  }))
  for (;;) {
    const { total } = (await require2xx(client.ask('/api/v1/vms?limit=1&filter=phase:running'), 'counting')).body as { total: number }
    if (total === vms) return
    await delay(250)
  }
}

/** The VMs' own JSON under one key each. */
async function fillEtcd(etcd: Etcd, ca: string, client: Client): Promise<void> {
  const { items } = (await require2xx(client.ask('/api/v1/vms?limit=1000'), 'listing')).body as { items: { name: string }[] }
  const rival = createClient({ url: etcd.urls[0] ?? '', ca, token: '' })
  for (const item of items) await require2xx(rival.ask('/v3/kv/put', { method: 'POST', json: { key: base64(`vm/${item.name}`), value: base64(JSON.stringify(item)) } }), 'writing to etcd')
  rival.close()
}

function questionsOf(serving: Serving, etcd: Etcd): readonly Question[] {
  const get = (name: string, path: string, accept = 'application/json', rate = perSecond): Question =>
    ({ name, url: `${serving.url}${path}`, ca: serving.ca, method: 'GET', headers: { authorization: `Bearer ${serving.token}`, accept }, body: null, perSecond: rate, process: 'node' })
  return [
    get('list', listPath),
    { name: 'etcd range', url: `${etcd.urls[0]}/v3/kv/range`, ca: serving.ca, method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key: base64('vm/'), range_end: base64('vm0'), limit: 100 }), perSecond, process: 'etcd' },
    get('list, sort=-created', `${listPath}&sort=-created`),
    get('list, filter of a phase and a label', `${listPath}&filter=${encodeURIComponent('phase:running label:tier=front')}`),
    get('/healthz of the same server', '/healthz'),
    get(`page /vms, ${pagesPerSecond} a second`, '/vms', 'text/html', pagesPerSecond),
  ]
}

async function measure(generator: Child, question: Question, seconds: number): Promise<LoadResult> {
  const { url, ca, method, headers, body } = question
  const load: Load = { url, ca, method, headers, body, perSecond: question.perSecond, count: question.perSecond * seconds }
  return await generator.ask<LoadResult>(load, (seconds + 60) * 1000)
}

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(tmpdir(), 'nc-bench-'))
  defer(() => rm(directory, { recursive: true }))
  const server = startChild({ file: 'api-list-server.ts', args: [directory, String(vms)], logPath: join(directory, 'server.log') })
  defer(() => server.stop())
  const serving = await server.next<Serving>(60_000)
  const generator = startChild({ file: 'api-list-load.ts', args: [], logPath: join(directory, 'load.log') })
  defer(() => generator.stop())
  const etcd = await startEtcd({ directory, members: 3, tls: { certFile: serving.certFile, keyFile: serving.keyFile, ca: await readFile(serving.certFile, 'utf8') } })
  defer(() => etcd.stop())
  const client = createClient({ url: serving.url, ca: serving.ca, token: serving.token, socketsMax: creatorsMax })
  const createdMs = performance.now()
  await createVms(client)
  const tookSeconds = (performance.now() - createdMs) / 1000
  await fillEtcd(etcd, serving.ca, client)
  client.close()
  printHead('api-list', [
    `NovaCron: one whole node (use cases, Raft, state, controllers) on simulated disk, network and hypervisor, behind the real HTTPS server with its pages; a process of its own with the launcher's flags; ${vms} running VMs with disk, NIC and two labels, created through the API by ${creatorsMax} at once in ${tookSeconds.toFixed(1)} s; caller: API token`,
    `etcd ${etcdVersion}, for orientation: three members, range of 100 among as many keys (each VM's own JSON) by its JSON gateway at the leader, linearizable; clients by the same TLS`,
    'the list is that node\'s own state; /healthz is the floor: the same TLS, server and middleware with nothing to do',
    `load: ${perSecond} requests/s at fixed times from another process, keep-alive, answered uncompressed; latency counts from the time a request was due; ${rounds} turns of ${turnSeconds} s each after ${warmUpSeconds} s to warm up`,
  ])
  const questions = questionsOf(serving, etcd)
  const kept = new Map<Question, Kept>(questions.map((question) => [question, { samplesMs: [], failed: 0, bytes: 0, cpuSeconds: 0, firstBody: '' }]))
  for (const question of questions) await measure(generator, question, warmUpSeconds)
  for (let round = 0; round < rounds; round += 1) {
    for (const question of questions) {
      const into = kept.get(question)!
      const pid = question.process === 'node' ? server.pid : (etcd.pids[0] ?? 0)
      const before = usageOf(pid).cpuSeconds
      const result = await measure(generator, question, turnSeconds)
      into.cpuSeconds += usageOf(pid).cpuSeconds - before
      into.samplesMs.push(...result.samplesMs)
      Object.assign(into, { bytes: result.bytes, firstBody: result.firstBody, failed: into.failed + result.samplesMs.filter((each) => Number.isNaN(each)).length })
      if (Object.keys(result.failures).length > 0) console.log(`${question.name}: failures ${JSON.stringify(result.failures)}`)
    }
    console.log(`turn ${round + 1}: load ${machineLoad()}`)
  }
  report(questions, kept)
  console.log(`the node's resident memory at the end: ${usageOf(server.pid).rssMb.toFixed(1)} MB`)
})

function report(questions: readonly Question[], kept: ReadonlyMap<Question, Kept>): void {
  for (const question of questions) {
    const { samplesMs, bytes, cpuSeconds } = kept.get(question)!
    const good = samplesMs.filter((each) => !Number.isNaN(each))
    const cpuMs = question.process === 'node' ? `, ${((cpuSeconds * 1000) / samplesMs.length).toFixed(2)} ms CPU a request` : ''
    printSamples(question.name, good, `${bytes} B${cpuMs}`)
  }
  for (const question of questions) printRaw(question.name, kept.get(question)!.samplesMs)
  const [list] = questions
  const { samplesMs, failed, firstBody } = kept.get(list!)!
  const { items } = JSON.parse(firstBody) as { items: unknown[] }
  if (items.length !== Math.min(100, vms)) throw new Error(`the list had ${items.length} items`)
  if (failed > 0) throw new Error(`${failed} requests failed`)
  judge(`list of 100 among ${vms} VMs at ${perSecond} requests/s, p99`, quantile(samplesMs, 0.99), limits.p99Ms, 'ms')
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

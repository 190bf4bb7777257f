// Measures how soon a cluster that lost power everywhere reads again: all three members with 100,000 entries behind them, beside etcd, in turns.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { askNode, formRivals, startNode, vmsMade } from './commit-cluster.ts'
import { drive, type Written } from './commit-load.ts'
import { gatewayOf } from './etcd-gateway.ts'
import { requireEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx } from './https-client.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const entries = values.short ? 2_000 : 100_000
const rounds = values.short ? 1 : 5
const writers = 128
const askEveryMs = 10
const limitMs = 60_000
const labels = { a: randomBytes(64).toString('hex'), b: randomBytes(64).toString('hex') }

type Side = { readonly name: string; readonly samplesMs: number[]; kill(): Promise<void>; start(): Promise<unknown>; readonly reads: readonly (() => Promise<unknown>)[] }

/** From the start of the processes until one of the members has answered a linearizable read. */
async function measure(side: Side): Promise<number> {
  await side.kill()
  const beganMs = performance.now()
  const started = side.start()
  const read = Promise.withResolvers<number>()
  const timers = side.reads.map((ask) => {
    let asking = false
    return setInterval(() => {
      if (performance.now() - beganMs > limitMs) read.reject(new Error(`${side.name}: nothing was read within ${limitMs} ms`))
      if (asking) return
      asking = true
      ask().then(() => read.resolve(performance.now() - beganMs), () => (asking = false))
    }, askEveryMs)
  })
  try {
    return await read.promise
  } finally {
    for (const timer of timers) clearInterval(timer)
    await started
  }
}

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-restart-'))
  defer(() => rm(directory, { recursive: true }))
  const { tls, etcd, cluster, nodes } = await formRivals(directory, defer)
  printHead('restart', [
    'NovaCron: three processes with the launcher\'s flags on loopback, mutual TLS between them; production values of compaction; an entry is vm.patch of two labels, 256 bytes',
    `etcd ${etcdVersion}: three processes on loopback, mutual TLS between them, its defaults; an entry is a put of 256 bytes`,
    `SIGKILL of all three members that have ${entries} entries behind them, then all are started; until the first linearizable read at any of them, asked every ${askEveryMs} ms; ${rounds} rounds in turns`,
  ])
  const clients = etcd.urls.map((url) => createClient({ url, ca: tls.ca, token: '', socketsMax: writers }))
  defer(() => clients.forEach((client) => client.close()))
  const gateways = clients.map(gatewayOf)
  for (let written = 0; written < entries;) {
    const { samplesMs } = await askNode<Written>(nodes[0]!, { kind: 'write', vmIds: cluster.vmIds, labels, writers, seconds: 5 })
    written += samplesMs.length
    console.log(`NovaCron: ${written} entries`)
  }
  let put = 0
  while (put < entries) put += (await drive({ writers, seconds: 5 }, async (number) => gateways[0]!.put(`vm/${number % vmsMade}`, labels.a + labels.b))).samplesMs.length
  console.log(`etcd: ${put} entries`)
  const sides: readonly Side[] = [
    {
      name: 'NovaCron', samplesMs: [],
      kill: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
      start: () => Promise.all(cluster.starts.map(async (start, at) => void (nodes[at] = await startNode(start)))),
      reads: cluster.clients.map((client) => () => require2xx(client.ask(`/api/v1/vms/${cluster.vmIds[0]}?consistent=true`), 'reading')),
    },
    {
      name: 'etcd', samplesMs: [],
      kill: async () => void (await Promise.all(etcd.urls.map((url) => etcd.kill(url)))),
      start: () => Promise.all(etcd.urls.map((url) => etcd.revive(url))),
      reads: gateways.map((gateway) => () => gateway.range('vm/0')),
    },
  ]
  for (let round = 1; round <= rounds; round += 1) {
    for (const side of sides) {
      const ms = await measure(side)
      side.samplesMs.push(ms)
      console.log(`round ${round}, ${side.name}: ${ms.toFixed(0)} ms; load ${load()}`)
      await delay(3000)
    }
  }
  for (const { name, samplesMs } of sides) printSamples(`${name}: start of all to a linearizable read`, samplesMs)
  for (const { name, samplesMs } of sides) printRaw(name, samplesMs)
  const [ours, theirs] = sides.map(({ samplesMs }) => samplesMs) as [number[], number[]]
  judge('restart with 100,000 entries, median against etcd', median(ours) / median(theirs), 1, 'times')
})

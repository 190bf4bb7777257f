// Measures what a cluster bears: 128 clients at once that write, read linearizably and read locally over HTTPS, beside etcd's JSON gateway and bare Node, in turns.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { formCluster, vmsMade } from './commit-cluster.ts'
import { drive } from './commit-load.ts'
import { gatewayOf } from './etcd-gateway.ts'
import { makeTls } from './etcd-tls.ts'
import { requireEtcd, startEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { floorText, startFloor } from './floor.ts'
import { createClient, require2xx } from './https-client.ts'
import { usageOf } from './process-usage.ts'
import { judge, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const rounds = values.short ? 1 : 4
const turnSeconds = values.short ? 1 : 3
const clientsAtOnce = 128
/** 256 bytes in two labels, as one may have 255 at most. */
const labels = { a: randomBytes(64).toString('hex'), b: randomBytes(64).toString('hex') }

type Way = {
  readonly name: string
  readonly pids: readonly number[]
  /** Which way it is measured against, and how many times as many answers a second were promised. */
  readonly rival: { readonly name: string; readonly timesMin: number } | null
  readonly samplesMs: number[]
  readonly spent: { seconds: number; cpuSeconds: number }
  run(number: number): Promise<unknown>
}

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-api-load-'))
  defer(() => rm(directory, { recursive: true }))
  const tls = await makeTls(directory)
  const etcd = await startEtcd({ directory, members: 3, tls })
  defer(() => etcd.stop())
  const floor = await startFloor({ directory, tls, socketsMax: clientsAtOnce }, defer)
  const { clients, nodes, vmIds } = await formCluster(directory, defer)
  printHead('api-load', [
    'NovaCron: three processes with the launcher\'s flags on loopback, mutual TLS between them; a write is PATCH of two labels, 256 bytes, of one of 128 stopped VMs; a read is GET of one',
    `etcd ${etcdVersion}: three processes on loopback, mutual TLS between them; a write is a put of 256 bytes, a read a range of one key, both by its JSON gateway; read locally: serializable`,
    floorText,
    `${clientsAtOnce} clients at once, at the three members in turn, HTTPS with keep-alive on both sides, from one measuring process on the same cores; ${rounds} turns of ${turnSeconds} s for each way`,
  ])
  const gateways = etcd.urls.map((url) => {
    const client = createClient({ url, ca: tls.ca, token: '', socketsMax: clientsAtOnce })
    defer(() => client.close())
    return gatewayOf(client)
  })
  const at = <T>(members: readonly T[], number: number): T => members[number % members.length]!
  const path = (number: number) => `/api/v1/vms/${at(vmIds, number)}`
  const key = (number: number) => `vm/${number % vmsMade}`
  const pids = nodes.map((node) => node.pid)
  const way = (name: string, rival: Way['rival'], run: Way['run'], of = rival === null ? etcd.pids : pids): Way => ({ name, rival, pids: of, samplesMs: [], spent: { seconds: 0, cpuSeconds: 0 }, run })
  const ways = [
    way('etcd: put', null, (number) => at(gateways, number).put(key(number), labels.a + labels.b)),
    way('NovaCron: PATCH', { name: 'etcd: put', timesMin: 1 }, (number) => require2xx(at(clients, number).ask(path(number), { method: 'PATCH', json: { labels: { ...labels, number: String(number) } } }), 'patching')),
    way('etcd: range', null, (number) => at(gateways, number).range(key(number))),
    way('NovaCron: GET consistent', { name: 'etcd: range', timesMin: 1 }, (number) => require2xx(at(clients, number).ask(`${path(number)}?consistent=true`), 'reading')),
    way('etcd: range serializable', null, (number) => at(gateways, number).range(key(number), true)),
    way('NovaCron: GET', { name: 'etcd: range serializable', timesMin: 3 }, (number) => require2xx(at(clients, number).ask(path(number)), 'reading')),
    way('bare Node: put', null, (number) => floor.put(number, labels.a + labels.b), floor.pids),
    way('bare Node: confirmed read', null, (number) => floor.confirmed(number), floor.pids),
    way('bare Node: local read', null, (number) => floor.local(number), floor.pids),
  ]
  const cpuOf = (one: Way): number => one.pids.reduce((sum, pid) => sum + usageOf(pid).cpuSeconds, 0)
  for (const one of ways) await drive({ writers: clientsAtOnce, seconds: 1 }, async (number) => void (await one.run(number)))
  for (let round = 1; round <= rounds; round += 1) {
    for (const one of ways) {
      const before = cpuOf(one)
      const { samplesMs, seconds } = await drive({ writers: clientsAtOnce, seconds: turnSeconds }, async (number) => void (await one.run(number)))
      one.samplesMs.push(...samplesMs)
      one.spent.seconds += seconds
      one.spent.cpuSeconds += cpuOf(one) - before
    }
    console.log(`round ${round}: load ${load()}`)
  }
  const perSecond = (one: Way) => one.samplesMs.length / one.spent.seconds
  for (const one of ways) printSamples(one.name, one.samplesMs, `${perSecond(one).toFixed(0)}/s, ${((one.spent.cpuSeconds * 1000) / one.samplesMs.length).toFixed(2)} ms CPU of the members each`)
  for (const one of ways) printRaw(one.name, one.samplesMs)
  for (const one of ways) {
    const rival = ways.find(({ name }) => name === one.rival?.name)
    if (one.rival !== null && rival !== undefined) judge(`time of "${rival.name}" that "${one.name}" takes for as many answers`, perSecond(rival) / perSecond(one), 1 / one.rival.timesMin, 'times')
  }
})

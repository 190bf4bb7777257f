// Measures one client's durable writes and linearizable reads through the HTTP API, beside etcd's JSON gateway with the same TLS and beside bare Node, in turns.
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
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const rounds = values.short ? 1 : 4
const turnSeconds = 2
/** Promised: the median no more than so many times etcd's. */
const ratioMax = 2
/** 256 bytes in two labels, as one may have 255 at most. */
const labels = { a: randomBytes(64).toString('hex'), b: randomBytes(64).toString('hex') }

type Way = { readonly name: string; readonly rival: string | null; readonly samplesMs: number[]; run(number: number): Promise<unknown> }

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-api-write-'))
  defer(() => rm(directory, { recursive: true }))
  const tls = await makeTls(directory)
  const etcd = await startEtcd({ directory, members: 3, tls })
  defer(() => etcd.stop())
  const floor = await startFloor({ directory, tls, socketsMax: 1 }, defer)
  const { clients, vmIds } = await formCluster(directory, defer)
  printHead('api-write', [
    'NovaCron: three processes with the launcher\'s flags on loopback, mutual TLS between them; a write is PATCH of two labels, 256 bytes, of one of 128 stopped VMs; a read is GET ?consistent=true of one',
    `etcd ${etcdVersion}: three processes on loopback, mutual TLS between them; a write is a put of 256 bytes, a read a linearizable range of one key, both by its JSON gateway`,
    floorText,
    `one client at a time, HTTPS with keep-alive on both sides, from one measuring process; ${rounds} turns of ${turnSeconds} s for each way`,
  ])
  const etcdClients = etcd.urls.map((url) => createClient({ url, ca: tls.ca, token: '', socketsMax: 1 }))
  defer(() => etcdClients.forEach((client) => client.close()))
  const ways = ['leader', 'follower'].flatMap((place, at): Way[] => {
    const [client, rival] = [clients[at]!, gatewayOf(etcdClients[at]!)]
    const key = (number: number) => `vm/${number % vmsMade}`
    const path = (number: number) => `/api/v1/vms/${vmIds[number % vmsMade]}`
    return [
      { name: `etcd: put, ${place}`, rival: null, samplesMs: [], run: (number) => rival.put(key(number), labels.a + labels.b) },
      { name: `NovaCron: PATCH, ${place}`, rival: `etcd: put, ${place}`, samplesMs: [], run: (number) => require2xx(client.ask(path(number), { method: 'PATCH', json: { labels: { ...labels, number: String(number) } } }), 'patching') },
      { name: `etcd: range, ${place}`, rival: null, samplesMs: [], run: (number) => rival.range(key(number)) },
      { name: `NovaCron: GET consistent, ${place}`, rival: `etcd: range, ${place}`, samplesMs: [], run: (number) => require2xx(client.ask(`${path(number)}?consistent=true`), 'reading') },
    ]
  })
  ways.push(
    { name: 'bare Node: put', rival: null, samplesMs: [], run: () => floor.put(0, labels.a + labels.b) },
    { name: 'bare Node: confirmed read', rival: null, samplesMs: [], run: () => floor.confirmed(0) },
  )
  for (const way of ways) await drive({ writers: 1, seconds: 1 }, async (number) => void (await way.run(number)))
  for (let round = 1; round <= rounds; round += 1) {
    for (const way of ways) way.samplesMs.push(...(await drive({ writers: 1, seconds: turnSeconds }, async (number) => void (await way.run(number)))).samplesMs)
    console.log(`round ${round}: load ${load()}`)
  }
  for (const way of ways) printSamples(way.name, way.samplesMs)
  for (const way of ways) printRaw(way.name, way.samplesMs)
  const medianOf = (name: string) => median(ways.find((way) => way.name === name)!.samplesMs)
  for (const [bare, rival, ours] of [['bare Node: put', 'etcd: put, leader', 'NovaCron: PATCH, leader'], ['bare Node: confirmed read', 'etcd: range, leader', 'NovaCron: GET consistent, leader']] as const) {
    console.log(`${bare}: ${(medianOf(bare) / medianOf(rival)).toFixed(2)} times "${rival}"; "${ours}" ${(medianOf(ours) / medianOf(bare)).toFixed(2)} times that (medians)`)
  }
  for (const { name, rival, samplesMs } of ways) {
    if (rival !== null) judge(`${name}, median against "${rival}"`, median(samplesMs) / medianOf(rival), ratioMax, 'times')
  }
})

// Measures replicated writes: three members with real disk and network on loopback, beside three members of etcd on the same disk, in turns.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Child } from './child.ts'
import { askNode, formCluster, vmsMade, type ClusterUnderLoad } from './commit-cluster.ts'
import { drive, type Written } from './commit-load.ts'
import { openEtcdWriter } from './etcd-put.ts'
import { requireEtcd, startEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { require2xx, type Client } from './https-client.ts'
import { usageOf } from './process-usage.ts'
import { printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const rounds = values.short ? 1 : 2
const turnSeconds = 2
const warmUpSeconds = 1
const writersOf = [1, 32, 128]
/** 256 bytes in two labels, as one may have 255 at most. */
const labels = { a: randomBytes(64).toString('hex'), b: randomBytes(64).toString('hex') }

type Way = { readonly name: string; readonly pids: readonly number[]; run(writers: number, seconds: number): Promise<Written> }
type Kept = { readonly samplesMs: number[]; seconds: number; cpuSeconds: number }
function waysOf({ nodes, clients, vmIds }: ClusterUnderLoad, etcd: { readonly urls: readonly string[]; readonly pids: readonly number[] }, defer: (undo: () => void) => void): readonly Way[] {
  const pids = nodes.map((node) => node.pid)
  const value = labels.a + labels.b
  const etcdWay = (name: string, url: string): Way => {
    const writer = openEtcdWriter(url)
    defer(() => writer.close())
    return { name, pids: etcd.pids, run: (writers, seconds) => drive({ writers, seconds }, (number) => writer.put(`vm/${number % vmsMade}`, value)) }
  }
  const httpsWay = (name: string, client: Client): Way => ({
    name, pids,
    run: (writers, seconds) => drive({ writers, seconds }, async (number) => {
      await require2xx(client.ask(`/api/v1/vms/${vmIds[number % vmsMade]}`, { method: 'PATCH', json: { labels: { ...labels, number: String(number) } } }), 'patching')
    }),
  })
  const proposeWay = (name: string, node: Child): Way => ({ name, pids, run: (writers, seconds) => askNode<Written>(node, { kind: 'write', vmIds, labels, writers, seconds }) })
  return [
    proposeWay('NovaCron: command, at the leader', nodes[0]!),
    etcdWay('etcd: gRPC Put, to the leader', etcd.urls[0] ?? ''),
    proposeWay('NovaCron: command, at a follower', nodes[1]!),
    etcdWay('etcd: gRPC Put, to a follower', etcd.urls[1] ?? ''),
    httpsWay('NovaCron: PATCH over HTTPS, to the leader', clients[0]!),
    httpsWay('NovaCron: PATCH over HTTPS, to a follower', clients[1]!),
  ]
}

async function turn(way: Way, writers: number, into: Kept): Promise<void> {
  const cpuOf = (): number => way.pids.reduce((sum, pid) => sum + usageOf(pid).cpuSeconds, 0)
  const before = cpuOf()
  const { samplesMs, seconds } = await way.run(writers, turnSeconds)
  into.samplesMs.push(...samplesMs)
  into.seconds += seconds
  into.cpuSeconds += cpuOf() - before
}

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-commit-'))
  defer(() => rm(directory, { recursive: true }))
  const etcd = await startEtcd({ directory, members: 3 })
  defer(() => etcd.stop())
  const cluster = await formCluster(directory, defer)
  printHead('commit', [
    'NovaCron: three processes with the launcher\'s flags on loopback: segment log with proof, LevelDB, libp2p over mutual TLS, HTTPS; hypervisor and pool simulated. A write is vm.patch of two labels, 256 bytes, on one of 128 stopped VMs: checked, logged, synced by two of three, applied with its audit record and event on the asked node, and looked at by the VM\'s controller',
    `etcd ${etcdVersion}: three processes on loopback, the distribution's defaults, no TLS anywhere. A write is Put of 256 bytes on one of 128 keys by gRPC`,
    '"command": proposed inside the node\'s own process, so the leader\'s has no client\'s way in it, and a follower\'s has the way to the leader; "PATCH" comes from the measuring process, as etcd\'s writes do',
    `both on file system type 0x${(await statfs(directory)).type.toString(16)} of one disk; ${rounds} turns of ${turnSeconds} s for each way and number of writers; CPU is that of all three members`,
  ])
  const ways = waysOf(cluster, etcd, defer)
  const kept = new Map(ways.flatMap((way) => writersOf.map((writers): [string, Kept] => [`${way.name} ${writers}`, { samplesMs: [], seconds: 0, cpuSeconds: 0 }])))
  for (const way of ways) await way.run(32, warmUpSeconds)
  for (let round = 0; round < rounds; round += 1) {
    for (const writers of writersOf) for (const way of ways) await turn(way, writers, kept.get(`${way.name} ${writers}`)!)
    console.log(`round ${round + 1}: load ${load()}`)
  }
  for (const writers of writersOf) {
    console.log(`\n${writers} ${writers === 1 ? 'writer' : 'writers'}`)
    for (const way of ways) {
      const { samplesMs, seconds, cpuSeconds } = kept.get(`${way.name} ${writers}`)!
      printSamples(way.name, samplesMs, `${(samplesMs.length / seconds).toFixed(0)} writes/s, ${((cpuSeconds * 1000) / samplesMs.length).toFixed(2)} ms CPU a write`)
    }
  }
  for (const [name, { samplesMs }] of kept) printRaw(name, samplesMs)
})

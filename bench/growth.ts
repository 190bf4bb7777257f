// Shows how writing grows with the number of members and of VMs, beside etcd; what VMs take of memory; and how soon a new member has them.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { formCluster, joinNode, makeVms, startNode, vmsMade, type ClusterUnderLoad } from './commit-cluster.ts'
import { drive, type Written } from './commit-load.ts'
import { gatewayOf } from './etcd-gateway.ts'
import { makeTls } from './etcd-tls.ts'
import { freePorts, requireEtcd, startEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx } from './https-client.ts'
import { usageOf } from './process-usage.ts'
import { median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const sizes = values.short ? [3] : [3, 5, 7]
const vmSteps = values.short ? [200, 400] : [1_000, 10_000]
const seconds = values.short ? 1 : 4
const catchUpLimitMs = 60_000
/** 256 bytes in two labels, as one may have 255 at most. */
const labels = { a: randomBytes(64).toString('hex'), b: randomBytes(64).toString('hex') }

type Members = { readonly members: readonly { readonly name: string; readonly reachable: boolean; readonly matchLag: number | null }[] }

async function show(name: string, write: (number: number) => Promise<unknown>): Promise<Written> {
  await drive({ writers: 8, seconds: 1 }, async (number) => void (await write(number)))
  const written = await drive({ writers: 1, seconds }, async (number) => void (await write(number)))
  printSamples(name, written.samplesMs)
  printRaw(name, written.samplesMs)
  return written
}

function patch({ clients, vmIds }: ClusterUnderLoad): (number: number) => Promise<unknown> {
  return (number) => require2xx(clients[0]!.ask(`/api/v1/vms/${vmIds[number % vmsMade]}`, { method: 'PATCH', json: { labels: { ...labels, number: String(number) } } }), 'patching')
}

/** Milliseconds from the start of a fourth process until the leader knows that it has everything. */
async function catchUp(cluster: ClusterUnderLoad, directory: string, defer: (undo: () => Promise<void>) => void): Promise<number> {
  const [httpPort, peerPort] = await freePorts(2)
  const node = await startNode({ name: 'n4', dataDir: join(directory, 'n4'), httpPort: httpPort!, peerPort: peerPort! })
  defer(() => node.stop())
  const beganMs = performance.now()
  await joinNode(cluster.clients[0]!, node)
  while (performance.now() - beganMs < catchUpLimitMs) {
    const { members } = (await require2xx(cluster.clients[0]!.ask('/api/v1/cluster/members'), 'looking at the members')).body as Members
    const fourth = members.find(({ name }) => name === 'n4')
    if (fourth?.reachable === true && fourth.matchLag !== null && fourth.matchLag < 10) return performance.now() - beganMs
    await delay(20)
  }
  throw new Error(`the new member did not catch up within ${catchUpLimitMs} ms`)
}

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-growth-'))
  defer(() => rm(directory, { recursive: true }))
  const tls = await makeTls(directory)
  printHead('growth', [
    'NovaCron: processes with the launcher\'s flags on loopback, mutual TLS between them; all of them vote; a write is PATCH of two labels, 256 bytes, at the leader',
    `etcd ${etcdVersion}: processes on loopback, mutual TLS between them; a write is a put of 256 bytes by its JSON gateway, at the leader`,
    `one client at a time, HTTPS with keep-alive on both sides; ${seconds} s for each; nothing here was promised: it shows what grows`,
  ])
  for (const members of sizes) {
    await withCleanup(async (deferHere) => {
      const here = await mkdtemp(join(directory, `of-${members}-`))
      const etcd = await startEtcd({ directory: here, members, tls })
      deferHere(() => etcd.stop())
      const client = createClient({ url: etcd.urls[0] ?? '', ca: tls.ca, token: '', socketsMax: 8 })
      deferHere(() => client.close())
      const gateway = gatewayOf(client)
      const cluster = await formCluster(here, deferHere, members)
      const theirs = await show(`etcd: put, ${members} members`, (number) => gateway.put(`vm/${number % vmsMade}`, labels.a + labels.b))
      const ours = await show(`NovaCron: PATCH, ${members} members`, patch(cluster))
      console.log(`${members} members: ${(median(ours.samplesMs) / median(theirs.samplesMs)).toFixed(2)} times etcd's median; load ${load()}`)
    })
  }
  const cluster = await formCluster(directory, defer)
  let vms = vmsMade
  const rss = () => cluster.nodes.map(({ pid }) => usageOf(pid).rssMb)
  const steps: { readonly vms: number; readonly rssMb: readonly number[] }[] = []
  for (const step of vmSteps) {
    await makeVms(cluster.clients[0]!, { from: vms, count: step - vms })
    vms = step
    // What making them left behind is collected within a look or two of the footprint's keeper.
    await delay(values.short ? 1000 : 70_000)
    steps.push({ vms, rssMb: rss() })
    console.log(`${vms} VMs: resident ${rss().map((each) => each.toFixed(0)).join(' / ')} MB; load ${load()}`)
    await show(`NovaCron: PATCH, ${vms} VMs`, patch(cluster))
  }
  const [few, many] = [steps[0]!, steps.at(-1)!]
  console.log(`memory for each 1,000 VMs more: ${few.rssMb.map((each, at) => (((many.rssMb[at]! - each) / (many.vms - few.vms)) * 1000).toFixed(1)).join(' / ')} MB`)
  console.log(`a new member of a cluster with ${vms} VMs has them ${(await catchUp(cluster, directory, defer)).toFixed(0)} ms after it asked to join`)
})

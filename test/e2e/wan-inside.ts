// Runs in the first namespace of a long line: forms a cluster of real engines over it, writes once a second, and tells what became of terms and writes.
import { parseArgs } from 'node:util'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askNode, startNode } from '../../bench/commit-cluster.ts'
import type { Founded } from '../../bench/commit-node.ts'
import { createClient, require2xx, type Client } from '../../bench/https-client.ts'
import { withCleanup } from '../../bench/stop.ts'
import type { ClusterMembers } from '../../src/model/member.ts'

export type Found = { readonly terms: readonly number[]; readonly leaders: readonly string[]; readonly writes: number; readonly refused: readonly string[]; readonly fastestMs: number; readonly slowestMs: number; readonly notes: readonly string[] }
export type Asked = { readonly ends: readonly { readonly address: string; readonly through: readonly string[] }[]; readonly seconds: number; readonly timing: { readonly heartbeatMs?: number; readonly electionMs?: number } }

const [httpPort, peerPort] = [8443, 7400]
const formSeconds = 120

async function formOver({ ends, timing }: Asked, directory: string, defer: (undo: () => Promise<void> | void) => void): Promise<readonly Client[]> {
  const starts = ends.map(({ address }, at) => ({ name: `n${at + 1}`, dataDir: join(directory, `n${at + 1}`), httpPort, peerPort, host: address, consensus: timing }))
  const nodes = await Promise.all(starts.map((start, at) => startNode(start, ends[at]!.through)))
  defer(async () => void (await Promise.all(nodes.map((node) => node.stop()))))
  const { ca, token } = await askNode<Founded>(nodes[0]!, { kind: 'init' })
  const clients = starts.map(({ host }) => createClient({ url: `https://${host}:${httpPort}`, ca, token }))
  defer(() => clients.forEach((client) => client.close()))
  for (const node of nodes.slice(1)) {
    const made = (await require2xx(clients[0]!.ask('/api/v1/cluster/join-tokens', { method: 'POST' }), 'making a join token')).body as { token: string }
    await askNode(node, { kind: 'join', token: made.token })
  }
  await require2xx(clients[0]!.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 128 } } }), 'creating a VM')
  for (let turn = 0; (await look(clients[0]!)).voters !== ends.length; turn += 1) {
    if (turn > formSeconds) throw new Error('the cluster did not form')
    await delay(1000)
  }
  return clients
}

async function look(client: Client): Promise<ClusterMembers> {
  return (await require2xx(client.ask('/api/v1/cluster/members'), 'looking at the members')).body as ClusterMembers
}

async function watch(clients: readonly Client[], seconds: number): Promise<Found> {
  const [terms, leaders, refused, notes] = [new Set<number>(), new Set<string>(), [] as string[], new Set<string>()]
  let [writes, fastestMs, slowestMs] = [0, Infinity, 0]
  const endMs = performance.now() + seconds * 1000
  while (performance.now() < endMs) {
    const client = clients[writes % clients.length]!
    const answer = await client.ask('/api/v1/vms/web', { method: 'PATCH', json: { labels: { number: String(writes) } } })
    writes += 1
    fastestMs = Math.min(fastestMs, answer.ms)
    slowestMs = Math.max(slowestMs, answer.ms)
    if (answer.status >= 300) refused.push(`${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`)
    const view = await look(clients[0]!)
    terms.add(view.term)
    leaders.add(view.leader ?? 'none')
    for (const note of view.notes) notes.add(note)
    await delay(1000)
  }
  return { terms: [...terms], leaders: [...leaders], writes, refused, fastestMs, slowestMs, notes: [...notes] }
}

const { positionals } = parseArgs({ allowPositionals: true })
const asked = JSON.parse(positionals[0] ?? '') as Asked
await withCleanup(async (defer) => {
  const directory = await mkdtemp(join(tmpdir(), 'nc-wan-'))
  defer(() => rm(directory, { recursive: true }))
  const clients = await formOver(asked, directory, defer)
  console.log(JSON.stringify(await watch(clients, asked.seconds)))
})

// The cluster under load of the benches of consensus: members with real disk and network on loopback, hypervisor and pool simulated.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild, type Child } from './child.ts'
import type { Founded, Question, Start } from './commit-node.ts'
import { makeTls } from './etcd-tls.ts'
import { freePorts, startEtcd } from './etcd.ts'
import { createClient, require2xx, type Client } from './https-client.ts'

export const vmsMade = 128
const answerLimitMs = 60_000

/** Clients and nodes in the same order; the first leads. `ca` verifies all of them. */
export type ClusterUnderLoad = { readonly nodes: readonly Child[]; readonly clients: readonly Client[]; readonly vmIds: readonly string[]; readonly ca: string; readonly token: string; readonly urls: readonly string[]; readonly starts: readonly Start[] }

/** @throws what went wrong over there */
export async function askNode<T>(node: Child, question: Question): Promise<T> {
  const { value, error } = await node.ask<{ value?: T; error?: string }>(question, answerLimitMs)
  if (error !== undefined) throw new Error(error)
  return value as T
}

/** The process of a member, up; one that was a member already is one again. */
export async function startNode(start: Start, through: readonly string[] = []): Promise<Child> {
  const node = startChild({ file: 'commit-node.ts', args: [JSON.stringify(start)], logPath: `${start.dataDir}.log`, through })
  await node.next(answerLimitMs)
  return node
}

/** Members that vote, three unless told otherwise, n1 leading, with stopped VMs to write on. */
export async function formCluster(directory: string, defer: (undo: () => Promise<void> | void) => void, members = 3): Promise<ClusterUnderLoad> {
  const ports = await freePorts(members * 2)
  const starts = Array.from({ length: members }, (_, at) => at + 1).map((number): Start => ({ name: `n${number}`, dataDir: join(directory, `n${number}`), httpPort: ports[number * 2 - 2]!, peerPort: ports[number * 2 - 1]! }))
  const nodes: Child[] = []
  for (const start of starts) {
    const node = await startNode(start)
    defer(() => node.stop())
    nodes.push(node)
  }
  const { ca, token } = await askNode<Founded>(nodes[0]!, { kind: 'init' })
  const clients = starts.map((start) => createClient({ url: `https://127.0.0.1:${start.httpPort}`, ca, token, socketsMax: 128 }))
  defer(() => clients.forEach((client) => client.close()))
  const [leader] = clients
  for (const node of nodes.slice(1)) await joinNode(leader!, node)
  for (let turn = 0; ; turn += 1) {
    const view = (await require2xx(leader!.ask('/api/v1/cluster'), 'looking at the cluster')).body as { voters: string[]; leader: string }
    if (view.voters.length === members && view.leader === 'n1') break
    if (turn > 900) throw new Error(`the cluster did not form: ${JSON.stringify(view)}`)
    await delay(100)
  }
  const vmIds = await makeVms(leader!, { from: 0, count: vmsMade })
  return { nodes, clients, vmIds, ca, token, urls: starts.map((start) => `https://127.0.0.1:${start.httpPort}`), starts }
}

export async function joinNode(leader: Client, node: Child): Promise<void> {
  const made = (await require2xx(leader.ask('/api/v1/cluster/join-tokens', { method: 'POST' }), 'making a join token')).body as { token: string }
  await askNode(node, { kind: 'join', token: made.token })
}

/** Stopped VMs vm-FROM and on; their ids. */
export async function makeVms(leader: Client, { from, count }: { readonly from: number; readonly count: number }): Promise<readonly string[]> {
  const ids: string[] = []
  let next = 0
  await Promise.all(Array.from({ length: Math.min(count, 32) }, async () => {
    while (next < count) {
      const at = next++
      const made = await require2xx(leader.ask('/api/v1/vms', { method: 'POST', json: { name: `vm-${from + at}`, spec: { cpus: 1, memoryMiB: 128 } } }), 'creating a VM')
      ids[at] = (made.body as { id: string }).id
    }
  }))
  return ids
}

/** Our cluster beside etcd's of as many members; `nodes` are those that run now, whoever was killed and started again meanwhile. */
export async function formRivals(directory: string, defer: (undo: () => Promise<void> | void) => void) {
  const tls = await makeTls(directory)
  const etcd = await startEtcd({ directory, members: 3, tls })
  defer(() => etcd.stop())
  const cluster = await formCluster(directory, defer)
  const nodes = [...cluster.nodes]
  defer(async () => void (await Promise.all(nodes.map((node) => node.stop()))))
  return { tls, etcd, cluster, nodes }
}

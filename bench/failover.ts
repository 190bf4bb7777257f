// Measures how long nobody can write when the leader's process is killed, beside etcd, in turns.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { formRivals, startNode, vmsMade } from './commit-cluster.ts'
import { requireEtcd } from './etcd.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx, type Answer, type Client } from './https-client.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const rounds = values.short ? 3 : 16
/** A write begins so often, at the survivors in turn, whether those before were answered or not: no time-out of a server or client counts. */
const everyMs = 20
const limitMs = 30_000
const steadyMs = 60_000
/** Promised. */
const [medianMsMax, worstMsMax] = [1500, 3000]
const value = randomBytes(128).toString('hex')

type Side = {
  readonly name: string
  readonly samplesMs: number[]
  /** Kills whoever leads; the ways to write at the others. */
  kill(): Promise<readonly ((number: number) => Promise<Answer>)[]>
  /** All are members again and have caught up. */
  mend(): Promise<void>
}

/** From the kill until one of the writes begun after it is acknowledged. */
async function measure(side: Side): Promise<number> {
  const ways = await side.kill()
  const beganMs = performance.now()
  const acknowledged = Promise.withResolvers<number>()
  let number = 0
  const timer = setInterval(() => {
    if (performance.now() - beganMs > limitMs) acknowledged.reject(new Error(`${side.name}: nothing was acknowledged within ${limitMs} ms`))
    const write = ways[number % ways.length]!(number++)
    write.then((answer) => answer.status < 300 && acknowledged.resolve(performance.now() - beganMs), () => undefined)
  }, everyMs)
  try {
    return await acknowledged.promise
  } finally {
    clearInterval(timer)
  }
}

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + steadyMs
  while (!(await holds().catch(() => false))) {
    if (performance.now() > endMs) throw new Error(`it did not come to be: ${what}`)
    await delay(100)
  }
}

type Members = { readonly leader: string | null; readonly members: readonly { readonly reachable: boolean; readonly matchLag: number | null; readonly role: string }[] }

await withCleanup(async (defer) => {
  const etcdVersion = requireEtcd()
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-failover-'))
  defer(() => rm(directory, { recursive: true }))
  const { tls, etcd, cluster, nodes } = await formRivals(directory, defer)
  printHead('failover', [
    'NovaCron: three processes with the launcher\'s flags on loopback, mutual TLS between them, production values: heartbeat 250 ms, election 1000-2000 ms; a write is PATCH of two labels, 256 bytes',
    `etcd ${etcdVersion}: three processes on loopback, mutual TLS between them, its defaults: heartbeat 100 ms, election 1000-2000 ms; a write is a put of 256 bytes by its JSON gateway`,
    `SIGKILL of the leader; from then a write every ${everyMs} ms at the two survivors in turn, HTTPS with keep-alive; until the first that is acknowledged; ${rounds} rounds in turns`,
  ])
  const etcdClients = new Map(etcd.urls.map((url) => [url, createClient({ url, ca: tls.ca, token: '', socketsMax: 512 })]))
  defer(() => etcdClients.forEach((client) => client.close()))
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const dead = { node: -1, url: '' }
  const members = async (client: Client) => (await require2xx(client.ask('/api/v1/cluster/members'), 'looking at the members')).body as Members
  const sides: readonly Side[] = [
    {
      name: 'NovaCron', samplesMs: [],
      async kill() {
        const { leader } = await members(cluster.clients[0]!)
        dead.node = cluster.starts.findIndex(({ name }) => name === leader)
        const survivors = cluster.clients.filter((_client, at) => at !== dead.node)
        await nodes[dead.node]!.stop()
        return survivors.map((client) => (number: number) => client.ask(`/api/v1/vms/${cluster.vmIds[number % vmsMade]}`, { method: 'PATCH', json: { labels: { a: value.slice(0, 128), b: value.slice(128), number: String(number) } } }))
      },
      async mend() {
        nodes[dead.node] = await startNode(cluster.starts[dead.node]!)
        await eventually('three members that have caught up', async () => {
          const view = await members(cluster.clients[dead.node]!)
          return view.leader !== null && view.members.every((member) => member.reachable && member.matchLag !== null && member.matchLag < 10 && (member.role === 'leader' || member.role === 'voter'))
        })
      },
    },
    {
      name: 'etcd', samplesMs: [],
      async kill() {
        dead.url = await etcd.leader()
        const survivors = etcd.urls.filter((url) => url !== dead.url).map((url) => etcdClients.get(url)!)
        await etcd.kill(dead.url)
        return survivors.map((client) => (number: number) => client.ask('/v3/kv/put', { method: 'POST', json: { key: base64(`vm/${number % vmsMade}`), value: base64(value) } }))
      },
      async mend() {
        await etcd.revive(dead.url)
        await eventually('etcd leads', async () => (await etcd.leader()) !== '')
      },
    },
  ]
  for (let round = 1; round <= rounds; round += 1) {
    for (const side of sides) {
      const ms = await measure(side)
      side.samplesMs.push(ms)
      await side.mend()
      // Nothing of the last election is left in any timer.
      await delay(2500)
      console.log(`round ${round}, ${side.name}: ${ms.toFixed(0)} ms; load ${load()}`)
    }
  }
  for (const { name, samplesMs } of sides) printSamples(`${name}: SIGKILL of the leader to a write`, samplesMs)
  for (const { name, samplesMs } of sides) printRaw(name, samplesMs)
  const [ours, theirs] = sides.map(({ samplesMs }) => samplesMs) as [number[], number[]]
  judge('failover, median', median(ours), medianMsMax, 'ms')
  judge('failover, worst', Math.max(...ours), worstMsMax, 'ms')
  judge('failover, median against etcd', median(ours) / median(theirs), 1, 'times')
  judge('failover, worst against etcd', Math.max(...ours) / Math.max(...theirs), 1, 'times')
})

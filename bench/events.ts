// Measures how soon a write through one node is seen in the event stream of another, as a browser there sees it: p99 under 250 ms.
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { formCluster, vmsMade } from './commit-cluster.ts'
import { load, printHead } from './facts.ts'
import { require2xx } from './https-client.ts'
import { judge, printRaw, printSamples, quantile } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, directory: { type: 'string', default: 'build' } } })
const writes = values.short ? 100 : 600
const pauseMs = 20
const p99MsMax = 250
const patienceMs = 10_000

/** Opens the event stream and calls back for each resource id that an event speaks of. */
async function watch(url: string, ca: string, token: string, onEvent: (resourceId: string) => void): Promise<() => void> {
  const { promise, resolve: opened, reject } = Promise.withResolvers<IncomingMessage>()
  const call = request(`${url}/api/v1/events`, { ca, agent: false, headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } }, opened)
  call.on('error', reject)
  call.end()
  const response = await promise
  if (response.statusCode !== 200) throw new Error(`the event stream answered ${response.statusCode}`)
  let rest = ''
  response.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const id = line.startsWith('data: {') ? (JSON.parse(line.slice(6)) as { resourceId?: string }).resourceId : undefined
      if (id !== undefined) onEvent(id)
    }
  })
  response.on('error', () => undefined)
  return () => call.destroy()
}

await withCleanup(async (defer) => {
  const directory = await mkdtemp(join(resolve(values.directory), 'bench-events-'))
  defer(() => rm(directory, { recursive: true }))
  const { clients, vmIds, ca, token, urls } = await formCluster(directory, defer)
  printHead('events', [
    'NovaCron: three processes with the launcher\'s flags on loopback; a PATCH of a stopped VM through one node, its event in the stream of server-sent events of another',
    `${writes} writes one after the other, ${pauseMs} ms apart, for each way; a sample runs from sending the request to the event's arrival in the measuring process`,
  ])
  for (const [name, from, to] of [['leader → follower', 0, 1], ['follower → leader', 1, 0], ['follower → other follower', 1, 2]] as const) {
    const seen = new Map<string, () => void>()
    defer(await watch(urls[to]!, ca, token, (id) => seen.get(id)?.()))
    await delay(300)
    const samplesMs: number[] = []
    for (let number = 0; number < writes; number += 1) {
      const id = vmIds[number % vmsMade]!
      const arrived = new Promise<void>((done) => seen.set(id, done))
      const beganMs = performance.now()
      await require2xx(clients[from]!.ask(`/api/v1/vms/${id}`, { method: 'PATCH', json: { labels: { number: `${name.length}-${number}` } } }), 'patching')
      const late = delay(patienceMs, 'late', { ref: false })
      if ((await Promise.race([arrived, late])) === 'late') throw new Error(`no event within ${patienceMs} ms`)
      samplesMs.push(performance.now() - beganMs)
      seen.delete(id)
      await delay(pauseMs)
    }
    printSamples(name, samplesMs, `load ${load()}`)
    printRaw(name, samplesMs)
    judge(`${name}, p99`, quantile(samplesMs, 0.99), p99MsMax, 'ms')
  }
})

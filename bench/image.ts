// How fast an image gets from one node to another, verified, beside nc and sha256sum between the same two hosts.
//
//   node bench/image.ts [--short]
//
// Promise: at most 25 % over. As root; needs nc (Debian: netcat-openbsd).
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, createReadStream, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { hostNamespace } from '../src/cli/lab/lab-network.ts'
import { readLab } from '../src/cli/lab/lab-state.ts'
import { labDirectory, labUp } from './bench-lab.ts'
import { load, printHead } from './facts.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false } } })
const sizeBytes = (values.short ? 128 : 512) * 2 ** 20
const rounds = values.short ? 3 : 7
const overMax = 0.25
const port = 5099
const waitMsMax = 120_000

type Node = { readonly name: string; readonly url: string; readonly address: string; readonly dataDir: string }
type Lab = { readonly token: string; readonly ca: string; readonly nodes: readonly Node[]; readonly namespace: (name: string) => string }

/** Random bytes: nothing on the way can make them less. */
function makeDisk(path: string): void {
  const file = openSync(path, 'w')
  const block = Buffer.alloc(4 * 2 ** 20)
  for (let at = 0; at < sizeBytes; at += block.length) {
    randomFillSync(block)
    if (at === 0) block.set([0x55, 0xaa], 510)
    writeSync(file, block)
  }
  ftruncateSync(file, sizeBytes)
  closeSync(file)
}

async function call(lab: Lab, node: Node, method: string, path: string, body?: string | { readonly file: string }): Promise<Record<string, unknown>> {
  const type = body === undefined ? undefined : typeof body === 'string' ? 'application/json' : 'application/octet-stream'
  const outgoing = request(`${node.url}${path}`, { method, ca: lab.ca, agent: false, headers: { authorization: `Bearer ${lab.token}`, ...(type === undefined ? {} : { 'content-type': type }), ...(typeof body === 'string' ? { 'content-length': Buffer.byteLength(body) } : {}) } })
  if (typeof body === 'object') createReadStream(body.file, { highWaterMark: 2 ** 20 }).pipe(outgoing)
  else outgoing.end(body)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
  if ((response.statusCode ?? 0) >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 300)}`)
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
}

async function holdersSeen(lab: Lab, node: Node, ref: string): Promise<readonly string[]> {
  return ((await call(lab, node, 'GET', `/api/v1/images/${ref}`))['status'] as { nodes: string[] }).nodes
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + waitMsMax
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`${what} did not come true within ${waitMsMax / 1000} s`)
    await delay(25)
  }
}

/** From the wish for a second copy to the target saying that it holds it, whole, verified and synced. */
async function distribute(lab: Lab): Promise<number> {
  const [first] = lab.nodes
  const holder = (await holdersSeen(lab, first!, 'bench'))[0]!
  const target = lab.nodes.find((node) => node.name !== holder)!
  const startedMs = performance.now()
  await call(lab, target, 'PATCH', '/api/v1/images/bench', '{"spec":{"copies":2}}')
  await until('the second copy', async () => (await holdersSeen(lab, target, 'bench')).length === 2)
  const ms = performance.now() - startedMs
  await call(lab, target, 'PATCH', '/api/v1/images/bench', '{"spec":{"copies":1}}')
  await until('one copy too many', async () => (await holdersSeen(lab, target, 'bench')).length === 1)
  await delay(1000)
  return ms
}

/** What an operator would type: nc on both sides, then sha256sum of what came; `synced` asks for durability too, as the product does. */
async function byNc(lab: Lab, disk: string): Promise<{ readonly ms: number; readonly syncedMs: number }> {
  const [from, to] = lab.nodes as readonly [Node, Node]
  const target = join(to.dataDir, 'bench-nc')
  const startedMs = performance.now()
  const listener = spawn('ip', ['netns', 'exec', lab.namespace(to.name), 'sh', '-c', `nc -l ${port} > ${target} && sha256sum ${target}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(listener, 'exit')
  let sum = ''
  listener.stdout.on('data', (text: Buffer) => (sum += text.toString()))
  for (let tries = 0; ; tries++) {
    const sender = spawn('ip', ['netns', 'exec', lab.namespace(from.name), 'sh', '-c', `nc -N ${to.address} ${port} < ${disk}`], { stdio: 'ignore' })
    const [code] = (await once(sender, 'exit')) as [number]
    if (code === 0) break
    if (tries > 200) throw new Error('nc does not connect')
    await delay(5)
  }
  await ended
  if (!/^[0-9a-f]{64}/.test(sum)) throw new Error('sha256sum said nothing')
  const ms = performance.now() - startedMs
  execFileSync('sync', [target])
  const syncedMs = performance.now() - startedMs
  rmSync(target)
  return { ms, syncedMs }
}

try {
  execFileSync('sh', ['-c', 'command -v nc'])
} catch {
  console.error('The rival nc is not on this machine: nothing is measured without it. On Debian and Ubuntu: apt-get install netcat-openbsd')
  process.exit(1)
}
await withCleanup(async (defer) => {
  const place = labDirectory()
  defer(() => place.remove())
  const report = await labUp(place.dir, 2)
  const state = readLab(place.dir)!
  const lab: Lab = { token: report.token, ca: readFileSync(report.caFile, 'utf8'), nodes: report.nodes, namespace: (name) => hostNamespace(state, name) }
  printHead('image distribution', [
    `${sizeBytes / 2 ** 20} MiB of random bytes, 2 hosts of one lab, ${rounds} rounds in pairs`,
    'product: PATCH copies 1 → 2 until the target says that it holds it: TLS, SHA-256, synced',
    'rival: nc -l > file, nc -N < file, then sha256sum file; in clear, not synced (with sync: told beside it)',
  ])
  const disk = join(place.dir, 'bench.raw')
  makeDisk(disk)
  await call(lab, lab.nodes[0]!, 'POST', '/api/v1/images?name=bench&copies=1', { file: disk })
  await byNc(lab, disk)
  const [ours, theirs, theirsSynced]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < rounds; round++) {
    const oursMs = await distribute(lab)
    const nc = await byNc(lab, disk)
    ours.push(oursMs)
    console.log(`round ${round + 1}: image ${oursMs.toFixed(0)} ms, nc + sha256sum ${nc.ms.toFixed(0)} ms, synced ${nc.syncedMs.toFixed(0)} ms, load ${load()}`)
    theirs.push(nc.ms)
    theirsSynced.push(nc.syncedMs)
  }
  const rate = (ms: number) => `${(sizeBytes / 2 ** 20 / (ms / 1000)).toFixed(0)} MiB/s`
  printSamples('image, node to node', ours, rate(median(ours)))
  printSamples('nc + sha256sum', theirs, rate(median(theirs)))
  printSamples('nc + sha256sum + sync', theirsSynced, rate(median(theirsSynced)))
  printRaw('image, node to node', ours)
  printRaw('nc + sha256sum', theirs)
  console.log(`load ${load()}`)
  judge('an image gets from node to node in so many times nc + sha256sum', median(ours) / median(theirs), 1 + overMax, '×')
})

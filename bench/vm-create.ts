// Measures a VM from the request to running beside virsh: at most 10 % and 150 ms over `virsh define` and `virsh start` of the same domain.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { hostPaths } from '../src/cli/lab/host-files.ts'
import { requireLab } from '../src/cli/lab/lab-state.ts'
import type { LabReport } from '../src/cli/lab/lab-up.ts'
import { openBare, requireVirsh, type Bare, type Image, type Timing } from './bare-virsh.ts'
import { labDirectory, labUp } from './bench-lab.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx, type Client } from './https-client.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false } } })
const limits = { ratio: 1.1, moreMs: 150 } as const
const pairs = values.short ? 5 : 16
const warmUps = 2
const pauseMs = 400
/** Nothing of the guests' own work is to fall into the next sample. */
const spec = { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], nics: [{ network: 'nat' }], runState: 'running' }

type Way = { readonly name: string; run(): Promise<{ readonly ms: number; readonly timing?: Timing }> }
type VmAnswer = { readonly id: string; readonly name: string; readonly status: { readonly phase: string; readonly message: string } }

/** Creates by the API of one node, on one node, and deletes again outside of the time. */
function createOnce(client: Client, home: string): () => Promise<{ readonly ms: number }> {
  return async () => {
    const name = `bench-${Math.random().toString(36).slice(2, 10)}`
    const answer = await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name, spec: { ...spec, placement: { node: home } } }, headers: { prefer: 'wait=60' } }), 'creating a VM')
    const vm = answer.body as VmAnswer
    if (vm.status.phase !== 'running') throw new Error(`the VM is ${vm.status.phase}: ${vm.status.message}`)
    await require2xx(client.ask(`/api/v1/vms/${vm.id}`, { method: 'DELETE', json: { force: true }, headers: { prefer: 'wait=60' } }), 'deleting a VM')
    return { ms: answer.ms }
  }
}

function bareOnce(bare: Bare, way: 'byVirsh' | 'byRpc', template: string, image: Image): () => Promise<{ readonly ms: number; readonly timing: Timing }> {
  return async () => {
    const copy = bare.copy(template)
    const timing = await bare[way](copy, image)
    await bare.remove(copy)
    return { ms: timing.defineMs + timing.startMs, timing }
  }
}

async function templateOf(client: Client, home: string, bare: Bare): Promise<{ readonly template: string; readonly image: Image }> {
  const made = await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name: 'template', spec: { ...spec, placement: { node: home } } }, headers: { prefer: 'wait=60' } }), 'creating the template')
  const { id } = made.body as VmAnswer
  const template = await bare.template(id)
  const image = await bare.imageOf(template)
  await require2xx(client.ask(`/api/v1/vms/${id}`, { method: 'DELETE', json: { force: true }, headers: { prefer: 'wait=60' } }), 'deleting the template')
  return { template, image }
}

async function leaderOf(client: Client): Promise<string> {
  return ((await require2xx(client.ask('/api/v1/cluster'), 'asking for the leader')).body as { leader: string }).leader
}

async function measure(ways: readonly Way[]): Promise<ReadonlyMap<string, { readonly samples: number[]; readonly timings: Timing[] }>> {
  const results = new Map(ways.map((way) => [way.name, { samples: [] as number[], timings: [] as Timing[] }]))
  for (let pair = -warmUps; pair < pairs; pair += 1) {
    // Another one begins each time, so that none has the quiet or the busy place.
    for (let at = 0; at < ways.length; at += 1) {
      const way = ways[(at + pair + warmUps) % ways.length]!
      const { ms, timing } = await way.run()
      if (pair >= 0) results.get(way.name)!.samples.push(ms)
      if (pair >= 0 && timing !== undefined) results.get(way.name)!.timings.push(timing)
      await delay(pauseMs)
    }
  }
  return results
}

function clientOf(report: LabReport, name: string): Client {
  const node = report.nodes.find((each) => each.name === name)
  if (node === undefined) throw new Error(`the lab has no ${name}`)
  return createClient({ url: node.url, ca: readFileSync(report.caFile, 'utf8'), token: report.token })
}

await withCleanup(async (defer) => {
  const virshVersion = requireVirsh()
  const place = labDirectory()
  const { dir } = place
  defer(() => place.remove())
  const report = await labUp(dir, 3)
  const leader = await leaderOf(clientOf(report, 'node1'))
  const [home = '', other = ''] = report.nodes.map((node) => node.name).filter((name) => name !== leader)
  const clients = { leader: clientOf(report, leader), owner: clientOf(report, home), follower: clientOf(report, other) }
  defer(() => Object.values(clients).forEach((client) => client.close()))
  const lab = requireLab(dir)
  const bare = await openBare({ socketPath: hostPaths(lab, home).libvirtSocket, directory: join(hostPaths(lab, home).data, 'bare') })
  defer(() => bare.close())
  const { template, image } = await templateOf(clients.leader, home, bare)
  printHead('vm-create', [
    `NovaCron: three lab hosts, POST /api/v1/vms with Prefer: wait over kept-alive TLS, from sending the request to the answer that says running; asked of the leader (${leader}), of the owner (${home}) and of the other follower (${other}); makes the disk too`,
    `virsh ${virshVersion}: \`virsh define\` and \`virsh start\` of the same domain on the same host (${home}), from the product's own dumpxml without its metadata; other name, uuid, MAC and disk; each command is a new process, as people use it; qemu-img create of the same overlay is timed by itself`,
    'bare RPC: the same define and start on one connection to libvirtd that stays open: what libvirt and QEMU take, without virsh',
    `the domain: 1 vCPU, 128 MiB, TCG, overlay of tiny, user-mode network; ${pairs} rounds in turns after ${warmUps} to warm up, everything deleted after each`,
  ])
  const results = await measure([
    { name: 'API, through the leader', run: createOnce(clients.leader, home) },
    { name: 'virsh', run: bareOnce(bare, 'byVirsh', template, image) },
    { name: 'API, through the owner', run: createOnce(clients.owner, home) },
    { name: 'API, through a follower', run: createOnce(clients.follower, home) },
    { name: 'bare RPC', run: bareOnce(bare, 'byRpc', template, image) },
  ])
  console.log(`load at the end: ${load()}`)
  for (const [name, { samples, timings }] of results) {
    printSamples(name === 'virsh' ? 'virsh define + start' : name === 'bare RPC' ? 'bare RPC define + start' : name, samples)
    if (timings.length > 0) printSamples(`  the same with qemu-img create before`, timings.map((each) => each.diskMs + each.defineMs + each.startMs), `median: disk ${median(timings.map((each) => each.diskMs)).toFixed(1)}, define ${median(timings.map((each) => each.defineMs)).toFixed(1)}, start ${median(timings.map((each) => each.startMs)).toFixed(1)}`)
  }
  for (const [name, { samples }] of results) printRaw(name, samples)
  const virshMs = median(results.get('virsh')!.samples)
  for (const [name, { samples }] of results) if (name.startsWith('API')) judge(`${name}: median against virsh define + start ${virshMs.toFixed(0)} ms`, median(samples), virshMs * limits.ratio + limits.moreMs, 'ms')
})

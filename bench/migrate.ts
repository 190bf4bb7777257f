// Measures live migration beside bare `virsh migrate`: at most 15 % and 300 ms over; and how soon the source runs when the link is cut: within a second of giving up.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { hostPaths } from '../src/cli/lab/host-files.ts'
import { applyPartition } from '../src/cli/lab/lab-network.ts'
import { requireLab, type LabState } from '../src/cli/lab/lab-state.ts'
import type { LabReport } from '../src/cli/lab/lab-up.ts'
import { getState, domainRef } from '../src/drivers/libvirt/calls.ts'
import { isCode, isLibvirtError, libvirtErrors } from '../src/drivers/libvirt/errors.ts'
import { openSession } from '../src/drivers/libvirt/link.ts'
import { getJobStats, jobNone } from '../src/drivers/libvirt/migration-calls.ts'
import type { RpcConnection } from '../src/drivers/libvirt/rpc.ts'
import { systemClock } from '../src/drivers/host/clock.ts'
import { BareGuest, virshOptions } from './bare-migrate.ts'
import { requireVirsh } from './bare-virsh.ts'
import { labDirectory, labUp } from './bench-lab.ts'
import { load, printHead } from './facts.ts'
import { createClient, require2xx, type Client } from './https-client.ts'
import { judge, median, printRaw, printSamples } from './samples.ts'
import { withCleanup } from './stop.ts'

const { values } = parseArgs({ options: { short: { type: 'boolean', default: false } } })
const limits = { ratio: 1.15, moreMs: 300, resumeMs: 1_000 } as const
const pairs = values.short ? 2 : 8
const cuts = values.short ? 3 : 20
const dataMiB = values.short ? 64 : 384
/** Of the migrations that are cut, so that they last long enough to be cut in every phase. */
const cutMiBps = 64
const [home, away] = ['node1', 'node2'] as const
const stateRunning = 1
const stateOff = 5

type Vm = { readonly id: string; readonly status: { readonly phase: string; readonly node: string; readonly message: string } }
type Step = { readonly name: string; readonly startedAt: string | null; readonly endedAt: string | null }
type Operation = { readonly id: string; readonly status: { readonly state: string; readonly error: unknown; readonly steps: readonly Step[]; readonly downtimeMs?: number | null } }

async function createVm(client: Client, lab: LabState): Promise<Vm> {
  const spec = { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }, { name: 'data', sizeGiB: 1 }], nics: [{ network: 'nat' }], placement: { node: home } }
  const { id } = (await require2xx(client.ask('/api/v1/vms', { method: 'POST', json: { name: 'moving', spec: { ...spec, runState: 'running' } }, headers: { prefer: 'wait=60' } }), 'creating the VM')).body as Vm
  await act(client, id, 'stop', { force: true })
  const path = join(hostPaths(lab, home).data, 'storage', 'volumes', id, 'data.qcow2')
  // What a guest would have written, without the hours that TCG would take for it.
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P 0x5a 0 ${dataMiB}M`, path], { stdio: 'ignore' })
  return { ...(await vmOf(client, id)) }
}

async function vmOf(client: Client, id: string): Promise<Vm> {
  return (await require2xx(client.ask(`/api/v1/vms/${id}`), 'asking for the VM')).body as Vm
}

async function act(client: Client, id: string, action: string, json: object, wait = true): Promise<{ readonly operation: Operation; readonly ms: number }> {
  const answer = await require2xx(client.ask(`/api/v1/vms/${id}/${action}`, { method: 'POST', json, ...(wait ? { headers: { prefer: 'wait=60' } } : {}) }), action)
  const operation = answer.body as Operation
  if (wait && operation.status.state !== 'done') throw new Error(`${action} is ${operation.status.state}: ${JSON.stringify(operation.status.error)}`)
  return { operation, ms: answer.ms }
}

/** To and fro in turns; another one begins each time. */
async function measurePairs(client: Client, vm: Vm, bare: BareGuest): Promise<{ readonly ours: number[]; readonly bare: number[]; readonly operations: Operation[] }> {
  const samples = { ours: [] as number[], bare: [] as number[], operations: [] as Operation[] }
  for (let pair = -1; pair < pairs; pair += 1) {
    const [source, target] = pair % 2 === 0 ? [away, home] : [home, away]
    const ours = async (): Promise<number> => {
      const { ms, operation } = await act(client, vm.id, 'migrate', { node: target })
      if (pair >= 0) samples.operations.push(operation)
      return ms
    }
    const theirs = (): Promise<number> => bare.migrate(source, target)
    const took = { ours: 0, bare: 0 }
    if (pair % 2 === 0) took.ours = await ours()
    took.bare = await theirs()
    if (pair % 2 !== 0) took.ours = await ours()
    if (pair < 0) continue
    samples.ours.push(took.ours)
    samples.bare.push(took.bare)
    await delay(500)
  }
  return samples
}

/** What each step took, and how long the guest stood still by libvirt's account. */
function stepTimes(operations: readonly Operation[]): string {
  const names = operations[0]?.status.steps.map(({ name }) => name) ?? []
  const tookMs = (operation: Operation, at: number): number => Date.parse(operation.status.steps[at]?.endedAt ?? '') - Date.parse(operation.status.steps[at]?.startedAt ?? '')
  const steps = names.map((name, at) => `${name} ${median(operations.map((operation) => tookMs(operation, at))).toFixed(0)}`)
  return [...steps, `downtime ${median(operations.map(({ status }) => status.downtimeMs ?? Number.NaN)).toFixed(0)}`].join(', ')
}

/** @returns milliseconds from giving up to a source whose vCPUs run and whose domain is nobody's job any more; null where it came through */
async function cutOnce(lab: LabState, client: Client, vm: Vm): Promise<number | null> {
  const source = (await vmOf(client, vm.id)).status.node
  const target = source === home ? away : home
  const connection = await openLibvirt(hostPaths(lab, source).libvirtSocket)
  const cut = { ...lab, partition: [[target], lab.hosts.map((host) => host.name).filter((name) => name !== target)] }
  try {
    const { operation } = await act(client, vm.id, 'migrate', { node: target, bandwidthMiBps: cutMiBps }, false)
    await transferBegun(client, operation.id)
    await delay((Math.random() * dataMiB * 1000) / cutMiBps)
    await applyPartition(cut)
    const gaveUpMs = await givenUp(lab, source, operation.id, client)
    if (gaveUpMs === null) return null
    for (;;) {
      const [{ state }, job] = await look(connection, vm.id)
      // It was cut when all had been brought over.
      if (state === stateOff) return null
      if (state === stateRunning && job.type === jobNone) return Math.max(0, Date.now() - gaveUpMs)
      if (Date.now() - gaveUpMs > 20_000) throw new Error(`20 s after giving up the source is in state ${state}, job ${job.type}`)
      await delay(5)
    }
  } finally {
    await applyPartition(lab)
    connection.close('measured')
    await settled(client, vm.id)
  }
}

async function transferBegun(client: Client, operationId: string): Promise<void> {
  const deadlineMs = performance.now() + 30_000
  while (performance.now() < deadlineMs) {
    const { steps } = ((await require2xx(client.ask(`/api/v1/operations/${operationId}`), 'asking for the operation')).body as Operation).status
    if (steps.some(({ name, startedAt }) => name === 'transfer' && startedAt !== null)) return
    await delay(20)
  }
  throw new Error('the transfer did not begin within 30 s')
}

async function look(connection: RpcConnection, id: string): Promise<readonly [{ readonly state: number }, { readonly type: number }]> {
  const domain = domainRef(id)
  try {
    return await Promise.all([connection.call(getState, { domain, flags: 0 }), connection.call(getJobStats, { domain, flags: 0 })])
  } catch (error) {
    if (isLibvirtError(error, libvirtErrors.operationInvalid) || isCode(error, 'DOMAIN_MISSING')) return [{ state: stateOff }, { type: jobNone }]
    throw error
  }
}

/** When the source's daemon says in its log that the link was cut; null where the migration had come through. */
async function givenUp(lab: LabState, source: string, operationId: string, client: Client): Promise<number | null> {
  const deadlineMs = performance.now() + 30_000
  while (performance.now() < deadlineMs) {
    const line = logLines(hostPaths(lab, source).daemonLog).find((each) => each['operationId'] === operationId && each['message'] === 'relay of a migration was cut')
    if (line !== undefined) return Date.parse(String(line['time']))
    const { body } = await client.ask(`/api/v1/operations/${operationId}`)
    if ((body as Operation).status.state === 'done') return null
    await delay(10)
  }
  throw new Error('the source did not give up within 30 s')
}

function logLines(path: string): readonly Readonly<Record<string, unknown>>[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8').split('\n').filter((line) => line.includes('relay of a migration was cut')).map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function openLibvirt(socketPath: string): Promise<RpcConnection> {
  const endpoint = { uri: 'qemu:///system', socketPaths: [socketPath], clock: systemClock, keepaliveMs: 5_000, callTimeoutMsMax: 60_000 }
  return (await openSession(endpoint, { keepalive: false, onEvent: () => {} }, new AbortController().signal)).connection
}

/** Nothing goes on any more: the VM runs somewhere, and the other host has cleaned up. */
async function settled(client: Client, id: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  while (performance.now() < deadlineMs) {
    const running = (await client.ask('/api/v1/operations?filter=state:running')).body as { readonly items: readonly unknown[] }
    if (running.items.length === 0 && (await vmOf(client, id)).status.phase === 'running') return
    await delay(100)
  }
  throw new Error('the migration did not settle within 60 s')
}

function clientOf(report: LabReport, name: string): Client {
  const node = report.nodes.find((each) => each.name === name)
  if (node === undefined) throw new Error(`the lab has no ${name}`)
  return createClient({ url: node.url, ca: readFileSync(report.caFile, 'utf8'), token: report.token })
}

await withCleanup(async (defer) => {
  const virshVersion = requireVirsh()
  const place = labDirectory()
  defer(() => place.remove())
  const report = await labUp(place.dir, 3)
  const lab = requireLab(place.dir)
  const client = clientOf(report, 'node3')
  defer(() => client.close())
  const vm = await createVm(client, lab)
  const bare = await BareGuest.after(lab, home, vm.id)
  defer(() => bare.remove([home, away]))
  await act(client, vm.id, 'start', {})
  printHead('migrate', [
    `NovaCron: three lab hosts, POST /api/v1/vms/x/migrate with Prefer: wait, asked of node3, from ${home} to ${away} and back; until the operation is over: disks made, moved, source cleaned up`,
    `virsh ${virshVersion}: \`virsh migrate ${virshOptions.join(' ')}\` of a domain made after the same XML and disks between the same two hosts, memory and disks over plain TCP; its target's disks are made before, untimed`,
    `the domain: 1 vCPU, 128 MiB, TCG, an overlay of tiny and a disk with ${dataMiB} MiB of data; ${pairs} pairs in turns after one to warm up; ${cuts} cuts`,
  ])
  const { ours, bare: theirs, operations } = await measurePairs(client, vm, bare)
  printSamples('migrate through the API', ours, `median: ${stepTimes(operations)}`)
  printSamples('virsh migrate', theirs)
  await bare.remove([home, away])
  const resumed: number[] = []
  let cameThrough = 0
  while (resumed.length < cuts && cameThrough < cuts) {
    const ms = await cutOnce(lab, client, vm)
    if (ms === null) cameThrough += 1
    else resumed.push(ms)
  }
  printSamples('link cut: giving up → the source runs', resumed, `${cameThrough} more had come through before they were cut`)
  console.log(`load at the end: ${load()}`)
  printRaw('migrate through the API', ours)
  printRaw('virsh migrate', theirs)
  printRaw('link cut', resumed)
  console.log(`ratio of the medians: ${(median(ours) / median(theirs)).toFixed(2)}`)
  judge(`migrate: median against virsh ${median(theirs).toFixed(0)} ms`, median(ours), median(theirs) * limits.ratio + limits.moreMs, 'ms')
  judge('link cut: the source runs, worst', Math.max(0, ...resumed), limits.resumeMs, 'ms')
})

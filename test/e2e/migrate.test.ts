// VMs move between hosts: the console ticks on, a cut link and killed daemons leave exactly one running VM and nothing behind, a host is drained.
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { z } from 'zod'
import { migrationSchema, type Migration } from '../../src/model/migration.ts'
import { operationSchema, type Operation } from '../../src/model/operation.ts'
import { Api, problemOf } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'
import { ConsoleReader, Truth } from './lab-truth.ts'

t.setTimeout(420_000)
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const names = ['node1', 'node2', 'node3'] as const
let web = ''

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

const others = (name: string): string[] => names.filter((each) => each !== name)

/** Begins a migration; `slow` makes it last long enough to be broken. */
async function begin(asked: string, vm: string, to: string, slow = false): Promise<Operation> {
  const body = { node: to, ...(slow ? { bandwidthMiBps: 2 } : {}) }
  return operationSchema.parse((await api.expect(202, asked, 'POST', `/api/v1/vms/${vm}/migrate`, { body })).body)
}

async function operation(asked: string, id: string): Promise<Operation> {
  return operationSchema.parse((await api.expect(200, asked, 'GET', `/api/v1/operations/${id}`)).body)
}

/** Waits for the operation's end, as any of the nodes tells it that answers. */
async function ended(asked: string, id: string, timeoutMs = 60_000): Promise<Operation> {
  let last: Operation | null = null
  await eventually(`operation ${id} ends`, timeoutMs, async () => {
    const answer = await api.call(asked, 'GET', `/api/v1/operations/${id}`)
    if (answer.status !== 200) return false
    last = operationSchema.parse(answer.body)
    return ['done', 'failed', 'cancelled'].includes(last.status.state)
  })
  return last!
}

async function inStep(asked: string, id: string, step: string): Promise<void> {
  await eventually(`step ${step}`, 30_000, async () => (await operation(asked, id)).status.steps.some(({ name, state }) => name === step && state === 'running'))
}

async function history(asked: string, id: string): Promise<Migration> {
  const { items } = z.object({ items: z.array(migrationSchema) }).parse((await api.expect(200, asked, 'GET', '/api/v1/migrations?limit=1000')).body)
  const found = items.find((migration) => migration.status.operation === id)
  if (found === undefined) throw new Error(`the history does not have ${id}`)
  return found
}

/** Hosts on which libvirt says that its vCPUs run. */
async function runningOn(vmId: string): Promise<readonly string[]> {
  const states = await Promise.all(names.map(async (name) => (await truth.domain(name, vmId).catch(() => undefined))?.state))
  return names.filter((_, at) => states[at] === 'running')
}

/** Exactly one host runs it, and no other has anything of it. */
async function onlyOn(vmId: string): Promise<string> {
  let home = ''
  await eventually('exactly one host has the VM', 60_000, async () => {
    const running = await runningOn(vmId)
    if (running.length !== 1) return false
    home = running[0] ?? ''
    const left = await Promise.all(others(home).map(async (name) => (await truth.domain(name, vmId)) !== undefined || truth.files(name, 'volumes').some((file) => file.includes(vmId))))
    return !left.includes(true)
  })
  return home
}

/** Reads a console until it ticks beyond `after`. @returns the tick */
async function tickBeyond(asked: string, vmId: string, after: number): Promise<number> {
  const reader = new ConsoleReader(lab, asked, vmId)
  try {
    // Emulated guests beside other work take their time to boot.
    await eventually(`a tick beyond ${after}`, 90_000, () => reader.tick > after)
    return reader.tick
  } finally {
    reader.close()
  }
}

await t.test('web runs on node1', async (t) => {
  await lab.up(3)
  const vm = await api.createVm('node1', 'web', { on: 'node1', spec: { disks: [{ name: 'root', image: 'tiny' }, { name: 'data', sizeGiB: 1 }], cloudInit: { userData: '#cloud-config\n{}\n' } } })
  web = vm.id
  t.equal(await onlyOn(web), 'node1')
})

await t.test('asked of node2 it moves live to node3; the console ticks on, and the history tells what it took', async (t) => {
  const before = await tickBeyond('node2', web, 1)
  const pid = (await truth.domain('node1', web))?.pid
  const { id } = await begin('node2', web, 'node3')
  const seen: (readonly string[])[] = []
  let done = false
  const watching = (async () => {
    while (!done) seen.push(await runningOn(web))
  })()
  const end = await ended('node2', id)
  done = true
  await watching
  t.equal(end.status.state, 'done', JSON.stringify(end.status.error))
  t.ok(seen.every((hosts) => hosts.length <= 1), 'vCPUs ran on one host at a time')
  t.equal(await onlyOn(web), 'node3')
  t.match(await api.vm('node1', web), { status: { phase: 'running', node: 'node3' } })
  t.notMatch((await truth.domain('node3', web))?.pid, pid)
  t.ok((await tickBeyond('node2', web, before)) > before, 'the same guest ticks on')
  const entry = await history('node1', id)
  t.match(entry, { spec: { vm: { name: 'web' }, from: { name: 'node1' }, to: { name: 'node3' }, live: true }, status: { outcome: 'done', actor: 'admin' } })
  t.ok((entry.status.bytes ?? 0) > 2 ** 20, `${entry.status.bytes} bytes`)
  t.type(entry.status.downtimeMs, 'number')
  t.ok((entry.status.downtimeMs ?? 0) < 5_000, `${entry.status.downtimeMs} ms of standstill`)
})

await t.test('what makes no sense is refused, and nothing begins', async (t) => {
  for (const [body, status, code] of [
    [{ node: 'node3' }, 409, 'STATE_CONFLICT'], [{ node: 'node9' }, 422, 'REFERENCE_MISSING'], [{ node: 'node1', bandwidthMiBps: 0 }, 422, 'INVALID'], [{ host: 'node1' }, 422, 'INVALID'],
  ] as const) {
    const answer = await api.call('node1', 'POST', `/api/v1/vms/${web}/migrate`, { body })
    t.match(problemOf(answer), { status, code }, JSON.stringify(body))
  }
  t.match((await api.call('node1', 'POST', `/api/v1/vms/${web}/migrate`, { body: { node: 'node1' }, token: null })).status, 401)
})

await t.test('cancelled, it goes on at the source at once, and the target has nothing', async (t) => {
  const { id } = await begin('node1', web, 'node2', true)
  await inStep('node1', id, 'transfer')
  await eventually('the target has begun', 20_000, async () => (await truth.domain('node2', web)) !== undefined)
  const answer = await api.expect(202, 'node2', 'POST', `/api/v1/operations/${id}/cancel`)
  t.ok(answer.ms < 2_000)
  const end = await ended('node1', id, 15_000)
  t.equal(end.status.state, 'cancelled')
  t.equal(await onlyOn(web), 'node3')
  t.match(await history('node3', id), { status: { outcome: 'cancelled' } })
})

await t.test('the link cut in the midst: the source runs, and once it is back the target has nothing', async (t) => {
  const before = await tickBeyond('node2', web, 1)
  const { id } = await begin('node2', web, 'node1', true)
  await inStep('node2', id, 'transfer')
  await eventually('the target has begun', 20_000, async () => (await truth.domain('node1', web)) !== undefined)
  const pid = (await truth.domain('node3', web))?.pid
  await lab.run('partition', 'node1|node2,node3')
  try {
    await eventually('the VM is free again', 15_000, async () => (await api.vm('node2', web)).status.phase === 'running')
    t.match(await truth.domain('node3', web), { state: 'running', pid })
    t.ok((await tickBeyond('node2', web, before)) > before)
  } finally {
    await lab.run('heal')
  }
  const end = await ended('node2', id)
  t.equal(end.status.state, 'failed')
  t.equal(await onlyOn(web), 'node3')
  t.match(await history('node1', id), { status: { outcome: 'failed' } })
})

type Scene = { readonly source: string; readonly target: string; readonly leader: string }
const daemonOf = (name: string) => lab.status().then(({ nodes }) => nodes.find((node) => node.name === name)?.pid)
const libvirtOf = (name: string) => lab.status().then(({ nodes }) => nodes.find((node) => node.name === name)?.libvirtPid)
/** What is killed in the midst: one process, or a whole host, which comes back. */
const victims: readonly { readonly name: string; readonly pid?: (scene: Scene) => Promise<number | null | undefined>; readonly host?: (scene: Scene) => string }[] = [
  { name: 'the source’s daemon', pid: ({ source }) => daemonOf(source) },
  { name: 'the target’s daemon', pid: ({ target }) => daemonOf(target) },
  { name: 'the leader’s daemon', pid: ({ leader }) => daemonOf(leader) },
  { name: 'the source’s libvirtd', pid: ({ source }) => libvirtOf(source) },
  { name: 'the target’s libvirtd', pid: ({ target }) => libvirtOf(target) },
  { name: 'the target’s QEMU', pid: async ({ target }) => (await truth.domain(target, web))?.pid },
  { name: 'the target’s whole host', host: ({ target }) => target },
  { name: 'the source’s whole host', host: ({ source }) => source },
]
for (const victim of victims) {
  await t.test(`${victim.name} killed in the midst: one VM runs, nothing is left`, async (t) => {
    const source = await onlyOn(web)
    const leader = await api.leader(source)
    const target = victim.name.includes('leader') && leader !== source ? leader : others(source)[0]!
    const before = await tickBeyond(source, web, 1)
    const asked = others(target).find((name) => name !== source)!
    const { id } = await begin(asked, web, target, true)
    await inStep(asked, id, 'transfer')
    await eventually('the target has begun', 20_000, async () => (await truth.domain(target, web)) !== undefined)
    const scene = { source, target, leader }
    if (victim.pid !== undefined) {
      const pid = await victim.pid(scene)
      if (typeof pid !== 'number') throw new Error(`there is no ${victim.name}`)
      process.kill(pid, 'SIGKILL')
    }
    const host = victim.host?.(scene)
    if (host !== undefined) await lab.run('kill', host)
    if (host === target) {
      t.match(await truth.domain(source, web), { state: 'running' }, 'the source runs on without the target')
      await eventually('the VM is free', 10_000, async () => {
        const { phase, node } = (await api.vm(asked, web)).status
        return phase === 'running' && node === source
      })
      // Where nothing of it was hit it may go on: that is not waited for.
    } else await delay(3_000)
    if (host !== undefined) await lab.run('start', host)
    const state = (await api.call(asked, 'GET', `/api/v1/operations/${id}`)).body as Operation | undefined
    if (state?.status.state === 'running') await api.call(asked, 'POST', `/api/v1/operations/${id}/cancel`)
    const end = await ended(asked, id)
    t.match(end.status.state, /^(failed|cancelled|done)$/)
    t.equal(await onlyOn(web), end.status.state === 'done' ? target : source)
    t.match(await history(asked, id), { status: { outcome: end.status.state } })
    t.ok((await tickBeyond(asked, web, host === source ? 0 : before)) > 0, host === source ? 'the guest was started again' : 'the same guest ticks on')
    await eventually('all nodes are ready', 30_000, async () => (await lab.status()).nodes.every((node) => node.ready))
  })
}

await t.test('a host is drained: what runs moves live, what is off moves with its disks', async (t) => {
  const home = await onlyOn(web)
  const off = await api.createVm(home, 'off', { on: home, spec: { runState: 'stopped' }, wait: 10 })
  await api.act(home, off.id, 'start')
  await tickBeyond(home, off.id, 1)
  await api.act(home, off.id, 'stop', { force: true })
  const before = await tickBeyond(home, web, 1)
  const asked = others(home)[0]!
  const drained = await novacron(['node', 'drain', home, '--wait', '--json'], { env: lab.env(asked), timeoutMs: 120_000 })
  t.equal(drained.code, 0, drained.stderr)
  t.same(await truth.domains(home), [], 'libvirt there has no domain')
  t.same(truth.files(home, 'volumes'), [], 'nor the storage a volume')
  t.not(await onlyOn(web), home)
  t.ok((await tickBeyond(asked, web, before)) > before)
  t.match(await api.vm(asked, 'off'), { status: { phase: 'stopped' } })
  const started = await api.act(asked, 'off', 'start')
  t.equal(started.status.state, 'done')
  t.ok((await tickBeyond(asked, off.id, 0)) > 0, 'what was moved while off boots at its new host')
  const uncordoned = await novacron(['node', 'uncordon', home, '--json'], { env: lab.env(asked) })
  t.equal(uncordoned.code, 0, uncordoned.stderr)
})

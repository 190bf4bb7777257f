// The life of VMs by the API on a real cluster: every verb, every way a domain can be changed behind our back, events, and crashes of what looks after them.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { vmSchema, type Vm } from '../../src/model/vm.ts'
import { operationSchema } from '../../src/model/operation.ts'
import { eventSchema, type Event } from '../../src/model/event.ts'
import { Api, problemOf, tinySpec } from './lab-api.ts'
import { eventually, Lab } from './lab-runner.ts'
import { ConsoleReader, Truth } from './lab-truth.ts'

t.setTimeout(600_000)
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const names = ['node1', 'node2', 'node3'] as const

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

await lab.up(3)

const phaseIs = async (vm: string, phase: string, timeoutMs = 40_000) => {
  await eventually(`${vm} is ${phase}`, timeoutMs, async () => (await api.vm('node1', vm)).status.phase === phase)
}
/** libvirt's state with its reason, as `shut off (destroyed)`. */
async function stateOf(node: string, id: string): Promise<string> {
  return (await truth.virsh(node, 'domstate', '--reason', id)).stdout.trim()
}
async function pidOf(node: string, id: string): Promise<number | null> {
  return (await truth.domain(node, id))?.pid ?? null
}

/** A domain that is not ours; nobody may touch it. */
async function foreignState(): Promise<string> {
  return `${(await truth.virsh('node2', 'domstate', 'foreign')).stdout.trim()} ${(await truth.virsh('node2', 'dumpxml', 'foreign')).stdout}`
}
const foreignXml = `<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os></domain>`
writeFileSync(join(lab.dir, 'foreign.xml'), foreignXml)
await truth.virsh('node2', 'define', join(lab.dir, 'foreign.xml'))
await truth.virsh('node2', 'start', 'foreign')
const foreignBefore = await foreignState()

await t.test('create, with what the answers promise', async (t) => {
  const made = await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'life', labels: { tier: 'a' }, spec: { ...tinySpec, placement: { node: 'node2' } } } })
  const { id, revision } = made.body as { id: string; revision: number }
  t.match(made.headers, { location: `/api/v1/vms/${id}`, etag: `"${revision}"` })
  t.ok(Number(made.headers['novacron-index']) >= revision)
  await phaseIs('life', 'stopped')
  t.match(await truth.domain('node2', id), { name: `life.${id.slice(-8)}`, state: 'shut off', pid: null })
  t.same(truth.files('node2', 'volumes'), [id, `${id}/root.qcow2`])
  t.match((await api.vm('node3', id)).spec, { cpus: 1, runState: 'stopped', nics: [{ network: 'nat', mac: /^52:54:00:/ }] }, 'by its id too, with defaults and its allotted address')
  const read = await api.expect(200, 'node3', 'GET', `/api/v1/vms/life?minIndex=${String(made.headers['novacron-index'])}`)
  t.ok(Number(read.headers['novacron-index']) >= Number(made.headers['novacron-index']))
  t.equal((await api.expect(200, 'node3', 'GET', '/api/v1/vms/life?consistent=true')).status, 200)
})

await t.test('start, stop by the power button, restart, pause, resume, reset', async (t) => {
  const { id } = await api.vm('node1', 'life')
  const begun = await api.expect(202, 'node3', 'POST', '/api/v1/vms/life/start', { headers: { 'content-type': 'application/json' } })
  const operation = operationSchema.parse(begun.body)
  t.equal(begun.headers.location, `/api/v1/operations/${operation.id}`)
  t.match(operation, { spec: { operation: 'vm-start', target: { id, name: 'life' } }, status: { state: 'running', actor: 'admin/initial' } })
  await eventually('the operation ends', 30_000, async () => operationSchema.parse((await api.expect(200, 'node1', 'GET', begun.headers.location ?? '')).body).status.state === 'done')
  const pid = await pidOf('node2', id)
  t.not(pid, null)

  const [reader, beside] = [new ConsoleReader(lab, 'node1', id), new ConsoleReader(lab, 'node2', id)]
  t.teardown(() => [reader, beside].forEach((each) => each.close()))
  await eventually('it ticks for two who look from two nodes', 60_000, () => reader.tick >= 2 && beside.tick >= 2)
  t.ok(reader.isOpen && beside.isOpen)
  beside.close()
  await api.act('node1', 'life', 'pause')
  t.match(await stateOf('node2', id), 'paused')
  await api.act('node2', 'life', 'resume')
  t.match(await stateOf('node2', id), 'running')
  t.equal(await pidOf('node2', id), pid)

  await eventually('it ticks on', 30_000, () => reader.tick >= 5)
  await api.act('node3', 'life', 'reset')
  reader.text = ''
  await eventually('it counts anew', 60_000, () => reader.tick >= 1)
  t.ok(reader.tick < 5, `tick ${reader.tick}`)
  t.equal(await pidOf('node2', id), pid, 'a reset keeps QEMU')

  const stopped = await api.act('node3', 'life', 'stop')
  t.match(await stateOf('node2', id), 'shut off (shutdown)', 'the guest shut down by itself')
  t.match(reader.text, 'power button')
  const tookMs = Date.parse(stopped.status.endedAt ?? '') - Date.parse(stopped.status.startedAt)
  t.ok(tookMs < 30_000, `stop by ACPI took ${tookMs} ms`)
  t.match(await api.vm('node1', 'life'), { spec: { runState: 'stopped' }, status: { phase: 'stopped', addresses: [] } })

  await api.act('node1', 'life', 'start')
  const second = await pidOf('node2', id)
  await eventually('its guest can hear the button', 60_000, async () => (await api.vm('node1', 'life')).status.addresses.length > 0)
  await api.act('node1', 'life', 'restart')
  t.not(await pidOf('node2', id), second, 'a restart is another QEMU')
  t.match(await stateOf('node2', id), 'running')
})

await t.test('its agent tells its addresses', async (t) => {
  await eventually('10.0.2.15 is there', 60_000, async () => (await api.vm('node3', 'life')).status.addresses.includes('10.0.2.15'))
  t.pass()
})

await t.test('a guest that ignores the button is forced after the time-out; force waits for nothing', async (t) => {
  const deaf = await api.createVm('node1', 'deaf', { on: 'node1', spec: { disks: [{ name: 'root', sizeGiB: 1 }] } })
  t.equal(deaf.status.phase, 'running')
  const operation = await api.act('node2', 'deaf', 'stop', { timeoutSeconds: 4 })
  const tookMs = Date.parse(operation.status.endedAt ?? '') - Date.parse(operation.status.startedAt)
  t.ok(tookMs >= 3900 && tookMs < 20_000, `forced after ${tookMs} ms`)
  t.match(await stateOf('node1', deaf.id), 'shut off (destroyed)')
  await api.act('node2', 'deaf', 'start')
  const forced = await api.act('node2', 'deaf', 'stop', { force: true })
  t.ok(Date.parse(forced.status.endedAt ?? '') - Date.parse(forced.status.startedAt) < 4000)
})

await t.test('lists: pages, filters, order, the same at each node', async (t) => {
  for (const [at, name] of ['alpha', 'beta', 'gamma'].entries()) {
    await api.createVm('node1', name, { on: names[at] ?? '', spec: { disks: [], nics: [], runState: 'stopped', memoryMiB: 64 * (at + 1) } })
    await api.expect(200, 'node2', 'PATCH', `/api/v1/vms/${name}`, { body: { labels: { tier: at === 0 ? 'a' : 'b' } } })
  }
  const list = async (query: string, node = 'node1') => (await api.expect(200, node, 'GET', `/api/v1/vms?${query}`)).body as { items: { name: string }[]; next: string | null; total: number }
  const listed = async (query: string, node?: string) => (await list(query, node)).items.map((vm) => vm.name).join(' ')
  for (const node of names) t.equal(await listed('', node), 'alpha beta deaf gamma life')
  const first = await list('limit=2')
  t.match(first, { items: [{ name: 'alpha' }, { name: 'beta' }], next: String, total: 5 })
  const second = await list(`limit=2&after=${encodeURIComponent(first.next ?? '')}`, 'node3')
  t.match(second, { items: [{ name: 'deaf' }, { name: 'gamma' }], next: String }, 'a cursor of one node is good at another')
  t.match(await list(`limit=2&after=${encodeURIComponent(second.next ?? '')}`), { items: [{ name: 'life' }], next: null })
  t.equal(await listed('sort=-name'), 'life gamma deaf beta alpha')
  t.equal(await listed('sort=-memory&filter=-life'), 'gamma beta deaf alpha')
  t.equal(await listed('filter=phase:running'), 'life')
  t.equal(await listed('filter=label:tier%3Da'), 'alpha life')
  t.equal(await listed('filter=node:node2'), 'beta life')
  t.equal(await listed('filter=a%20-phase:running%20label:tier%3Db'), 'beta gamma')
  t.equal(problemOf(await api.call('node1', 'GET', '/api/v1/vms?sort=colour')).code, 'INVALID')
  t.equal(problemOf(await api.call('node1', 'GET', '/api/v1/vms?limit=1001')).code, 'INVALID')
})

await t.test('PUT, PATCH, If-Match, Idempotency-Key, dry runs', async (t) => {
  const before = await api.expect(200, 'node1', 'GET', '/api/v1/vms/beta')
  const put = await api.expect(200, 'node2', 'PUT', '/api/v1/vms/beta', { body: before.body, headers: { 'if-match': before.headers.etag ?? '' } })
  const lasting = ({ name, labels, generation, spec }: Vm) => ({ name, labels, generation, spec })
  t.same(lasting(vmSchema.parse(put.body)), lasting(vmSchema.parse(before.body)), 'what GET gave is taken back and changes nothing')
  const stale = { ...(before.body as Record<string, unknown>), revision: 1 }
  t.equal(problemOf(await api.call('node2', 'PUT', '/api/v1/vms/beta', { body: stale })).code, 'REVISION_STALE')
  t.equal(problemOf(await api.call('node2', 'PUT', '/api/v1/vms/beta', { body: before.body, headers: { 'if-match': '"1"' } })).code, 'PRECONDITION_FAILED')

  const { id } = await api.vm('node1', 'beta')
  const dry = await api.expect(200, 'node3', 'PATCH', '/api/v1/vms/beta?dryRun=true', { body: { spec: { memoryMiB: 256 } } })
  t.same(dry.body, { dryRun: true, differences: [{ path: 'spec.memoryMiB', before: 128, after: 256 }] })
  t.equal((await api.vm('node1', 'beta')).spec.memoryMiB, 128)
  t.match((await api.expect(200, 'node3', 'POST', '/api/v1/vms?dryRun=true', { body: { name: 'dry', spec: tinySpec } })).body, { dryRun: true })
  t.match((await api.expect(200, 'node3', 'DELETE', '/api/v1/vms/beta?dryRun=true')).body, { dryRun: true })
  t.equal((await api.call('node1', 'GET', '/api/v1/vms/dry')).status, 404)
  await api.expect(200, 'node3', 'PATCH', '/api/v1/vms/beta', { body: { name: 'bravo', spec: { memoryMiB: 256 } }, headers: { 'content-type': 'application/merge-patch+json' } })
  await eventually('libvirt has the new memory', 20_000, async () => (await truth.virsh('node2', 'dominfo', id)).stdout.includes('262144 KiB'))
  t.match((await truth.domain('node2', id))?.name, /^beta\./, 'the domain keeps its name through a rename')

  const key = { headers: { 'idempotency-key': 'twice' }, body: { name: 'once', spec: { ...tinySpec, disks: [] } } }
  const first = await api.expect(201, 'node1', 'POST', '/api/v1/vms', key)
  const again = await api.expect(201, 'node3', 'POST', '/api/v1/vms', key)
  t.equal((again.body as { id: string }).id, (first.body as { id: string }).id, 'the second try, at another node, answers with the first one\'s VM')
  t.equal((await api.all('node2', 'vms')).filter((vm) => vm['name'] === 'once').length, 1)

  await api.expect(200, 'node1', 'PATCH', '/api/v1/vms/life', { body: { spec: { memoryMiB: 160 } } })
  await eventually('it says that it needs a restart', 20_000, async () => (await api.vm('node1', 'life')).status.conditions.some((condition) => condition.type === 'RestartNeeded'))
  t.equal((await api.vm('node1', 'life')).status.phase, 'running')
  await api.act('node1', 'life', 'restart', { force: true })
  t.match((await truth.virsh('node2', 'dominfo', (await api.vm('node1', 'life')).id)).stdout, '163840 KiB')
  await eventually('it needs none any more', 20_000, async () => (await api.vm('node1', 'life')).status.conditions.every((condition) => condition.type !== 'RestartNeeded'))
})

await t.test('what is done behind our back is put right', async (t) => {
  const { id } = await api.vm('node1', 'life')
  const disk = () => readFileSync(join(lab.node('node2').dataDir, 'storage', 'volumes', id, 'root.qcow2')).length > 0
  for (const [what, commands] of [
    ['destroyed', [['destroy', id]]],
    ['paused', [['suspend', id]]],
    ['undefined while it runs', [['undefine', id]]],
    ['destroyed and undefined', [['destroy', id], ['undefine', id]]],
  ] as const) {
    for (const command of commands) t.equal((await truth.virsh('node2', ...command)).code, 0, `virsh ${command.join(' ')}`)
    await eventually(`it runs again after it was ${what}`, 60_000, async () => {
      const domain = await truth.domain('node2', id)
      return domain?.state === 'running' && domain.pid !== null && (await truth.virsh('node2', 'dominfo', id)).stdout.match(/Persistent:\s+yes/) !== null
    })
    await phaseIs('life', 'running')
    t.ok(disk(), `${what}: its disk is kept`)
  }
  const stopped = await api.vm('node1', 'alpha')
  // Its power may be cut while it still starts, so what virsh answers is not told.
  await truth.virsh('node1', 'start', stopped.id)
  await eventually('one that shall be off is stopped again', 90_000, async () => (await stateOf('node1', stopped.id)).startsWith('shut off'))
  t.equal((await api.vm('node1', 'alpha')).spec.runState, 'stopped')
})

await t.test('a guest that powers itself off stays off, by actor guest', async (t) => {
  const { id } = await api.vm('node1', 'life')
  for (const way of ['its console', 'its agent']) {
    const reader = new ConsoleReader(lab, 'node3', id)
    t.teardown(() => reader.close())
    await eventually('it ticks', 60_000, () => reader.tick >= 1)
    if (way === 'its console') {
      reader.send('sh\n')
      await delay(1500)
      reader.send('poweroff -f\n')
    } else {
      // virsh fails where the guest was gone before libvirt had heard of its end.
      await eventually('its agent hears', 60_000, async () => {
        const asked = await truth.virsh('node2', 'shutdown', id, '--mode', 'agent')
        return asked.code === 0 || (await stateOf('node2', id)).startsWith('shut off')
      })
    }
    await phaseIs('life', 'stopped')
    t.equal((await api.vm('node1', 'life')).spec.runState, 'stopped', `off by ${way}: the wish followed`)
    const event = (await api.all('node1', 'events')).find((each) => each['resourceId'] === id && String(each['actor']).includes('guest'))
    t.match(event, { kind: 'vm', actor: /guest/ })
    await delay(2000)
    t.equal(await pidOf('node2', id), null, 'it stays off')
    await api.act('node1', 'life', 'start')
  }
})

/** Events of a stream's text. */
function eventsIn(text: string): readonly Event[] {
  return text.split('\n\n').slice(0, -1).flatMap((message) => {
    const data = /^data: (\{.*\})$/m.exec(message)?.[1]
    const parsed = data === undefined ? undefined : eventSchema.safeParse(JSON.parse(data))
    return parsed?.success === true ? [parsed.data] : []
  })
}

await t.test('events go on at another node where they were left', async (t) => {
  const ends: AbortController[] = []
  t.teardown(() => ends.forEach((end) => end.abort()))
  const watch = async (node: string, after?: string) => {
    const end = new AbortController()
    ends.push(end)
    const seen = { text: '', end }
    const { status } = await api.stream(node, '/api/v1/events', { headers: after === undefined ? {} : { 'last-event-id': after }, signal: end.signal, onText: (text) => (seen.text += text) })
    t.equal(status, 200)
    return seen
  }
  const change = async (label: string) => await api.expect(200, 'node2', 'PATCH', '/api/v1/vms/gamma', { body: { labels: { step: label } } })
  const whole = await watch('node1')
  const first = await watch('node1')
  await change('one')
  await eventually('the first watcher hears', 10_000, () => eventsIn(first.text).length > 0)
  first.end.abort()
  const last = eventsIn(first.text).at(-1)?.id ?? ''
  await change('two')
  await change('three')
  const second = await watch('node3', last)
  await change('four')
  await eventually('the second watcher has caught up', 10_000, () => eventsIn(second.text).length >= 3 && eventsIn(whole.text).length >= eventsIn(first.text).length + 3)
  const joined = [...eventsIn(first.text), ...eventsIn(second.text)].map((event) => event.id)
  t.same(joined, eventsIn(whole.text).slice(0, joined.length).map((event) => event.id), 'two streams at two nodes are one stream: none twice, none missing')
})

await t.test('a killed daemon comes back and finds its VMs running', async (t) => {
  const { id } = await api.vm('node1', 'life')
  const pid = await pidOf('node2', id)
  const daemon = (await lab.status()).nodes.find((node) => node.name === 'node2')?.pid ?? 0
  process.kill(daemon, 'SIGKILL')
  await eventually('it was started again and is ready', 40_000, async () => {
    const now = (await lab.status()).nodes.find((node) => node.name === 'node2')
    return now?.ready === true && now.pid !== daemon
  })
  await phaseIs('life', 'running')
  t.equal(await pidOf('node2', id), pid, 'the same QEMU')
  await api.act('node2', 'life', 'pause')
  await api.act('node2', 'life', 'resume')
  t.equal(await pidOf('node2', id), pid, 'and it obeys')
})

await t.test('a killed libvirtd: what was asked for meanwhile is done when it is back', async (t) => {
  const { id } = await api.vm('node1', 'life')
  const pid = await pidOf('node2', id)
  process.kill((await lab.status()).nodes.find((node) => node.name === 'node2')?.libvirtPid ?? 0, 'SIGKILL')
  const operation = await api.act('node1', 'life', 'pause')
  t.equal(operation.status.error, null)
  t.match(await stateOf('node2', id), 'paused')
  t.equal(await pidOf('node2', id), pid, 'the VM went on')
  await api.act('node1', 'life', 'resume')
})

await t.test('delete takes domain and disks, and nothing else', async (t) => {
  const { id } = await api.vm('node1', 'life')
  const pid = await pidOf('node2', id)
  const answer = await api.expect(202, 'node3', 'DELETE', '/api/v1/vms/life', { headers: { prefer: 'wait=60' }, body: { force: true }, timeoutMs: 70_000 })
  t.match(operationSchema.parse(answer.body), { spec: { operation: 'vm-delete' }, status: { state: 'done', error: null } })
  t.equal((await api.call('node1', 'GET', `/api/v1/vms/${id}`)).status, 404)
  t.equal(await truth.domain('node2', id), undefined)
  t.same(truth.files('node2', 'volumes').filter((file) => file.startsWith(id)), [])
  t.throws(() => process.kill(pid ?? 0, 0), 'its QEMU has ended')
  for (const vm of await api.all('node1', 'vms')) await api.deleteVm('node2', String(vm['id']))
  for (const name of names) {
    t.same(truth.files(name, 'volumes'), [], `no volume is left on ${name}`)
    t.same((await truth.domains(name)).map((domain) => domain.name), name === 'node2' ? ['foreign'] : [])
  }
  t.equal(await foreignState(), foreignBefore, 'the domain that is not ours was never touched')
})

// Disks of real daemons are damaged between runs: the node comes up by itself, gives no vote until it has re-synced, and votes again; nothing acknowledged is lost.
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { Api, problemOf } from './lab-api.ts'
import { eventually, Lab, run } from './lab-runner.ts'

t.setTimeout(900_000)
const lab = new Lab()
const api = new Api(lab)
const victim = 'node3'
const acknowledged: string[] = []
let turn = 0

t.teardown(async () => {
  // Where the test broke off in between.
  await run(['umount', directory('raft')])
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

type NodeView = { readonly name: string; readonly status: { readonly role: string; readonly ready: boolean; readonly reason: string; readonly conditions: readonly { readonly type: string }[] } }

const directory = (name: string): string => join(lab.node(victim).dataDir, name)
const nodeAt = async (at: string, name: string): Promise<NodeView | null> => {
  const { status, body } = await lab.get(at, `/api/v1/nodes/${name}`)
  return status === 200 ? (body as NodeView) : null
}

async function write(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    const name = `vm-${(turn += 1)}`
    await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name, spec: { cpus: 1, memoryMiB: 64 } }, headers: { 'Content-Type': 'application/json' } })
    acknowledged.push(name)
  }
}

function filesOf(name: string, suits: RegExp): readonly string[] {
  return readdirSync(directory(name)).filter((file) => suits.test(file)).map((file) => join(directory(name), file)).filter((path) => statSync(path).size > 0)
}

/** In the middle of what was written, so that it is no torn tail. */
function flip(path: string): void {
  const bytes = readFileSync(path)
  const end = bytes.findLastIndex((byte) => byte !== 0)
  const at = Math.floor(end / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 0x10
  writeFileSync(path, bytes)
}

const segments = () => filesOf('raft', /\d+/)
const tables = () => filesOf('state', /\.(ldb|log)$/)

/** `told`: it is a loss of something acknowledged, which has to be shown. */
const damages: readonly { readonly name: string; readonly told: boolean; readonly make: () => void }[] = [
  { name: 'the Raft log is wiped', told: true, make: () => rmSync(directory('raft'), { recursive: true }) },
  // A young log's few records are in its proof too, and made good from there.
  { name: 'a bit of the Raft log is flipped', told: false, make: () => segments().slice(0, 1).forEach(flip) },
  { name: 'the Raft log is cut to half', told: true, make: () => segments().slice(0, 1).forEach((path) => truncateSync(path, 4096)) },
  { name: 'the state tables are wiped', told: true, make: () => rmSync(directory('state'), { recursive: true }) },
  { name: 'the state tables are filled with nothing', told: true, make: () => tables().forEach((path) => writeFileSync(path, Buffer.alloc(statSync(path).size))) },
  { name: 'log, state and local store are wiped', told: true, make: () => ['raft', 'state', 'local'].forEach((name) => rmSync(directory(name), { recursive: true })) },
  { name: 'the local store is cut short', told: false, make: () => filesOf('local/level', /^MANIFEST|\.log$/).forEach((path) => truncateSync(path, Math.floor(statSync(path).size / 2))) },
]

await t.test('42, 43: a damaged disk, whatever the damage', async (t) => {
  await lab.up(3)
  for (const { name, told, make } of damages) {
    await t.test(name, async (t) => {
      await write(5)
      await lab.run('kill', victim)
      make()
      await write(3)
      const reasonsBefore = await reasons()
      await lab.run('start', victim)
      await eventually('it votes again, with all there is', 90_000, async () => {
        const [seen, own] = [await nodeAt('node1', victim), await nodeAt(victim, victim)]
        return [seen, own].every((node) => node !== null && node.status.ready && node.status.role !== 'learner' && node.status.role !== 'none' && node.status.conditions.length === 0)
      })
      // It has just started: what it has not applied yet is in nobody's way, but for a reader who asks for all there is.
      await api.expect(200, victim, 'GET', '/api/v1/vms?limit=1&consistent=true')
      const names = (await api.all(victim, 'vms')).map((vm) => vm.name)
      for (const vm of acknowledged) t.ok(names.includes(vm), `${vm} is there`)
      if (!told) return
      await eventually('it is in the events', 30_000, async () => (await reasons()).filter((reason) => reason === 'node.trouble').length > reasonsBefore.filter((reason) => reason === 'node.trouble').length)
    })
  }
})

const keyed = { body: { name: 'once', spec: { cpus: 1, memoryMiB: 64 } }, headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'damage-once' } }
let keyedId = ''

await t.test('44: a disk that is really full: writes go on at the others, the node says so, and goes on when there is space', async (t) => {
  const raft = directory('raft')
  await lab.run('kill', victim)
  const copy = `${raft}.copy`
  renameSync(raft, copy)
  mkdirSync(raft)
  t.equal((await run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'full', raft])).code, 0)
  t.equal((await run(['cp', '-a', `${copy}/.`, raft])).code, 0)
  await lab.run('start', victim)
  await eventually('it is back', 60_000, async () => (await nodeAt(victim, victim))?.status.ready === true)
  const pid = (await lab.status()).nodes.find((node) => node.name === victim)?.pid
  await run(['dd', 'if=/dev/zero', `of=${join(raft, 'ballast')}`, 'bs=1M'])
  // What the log has taken of the disk beforehand is used up first.
  const userData = `#cloud-config\n# ${'x'.repeat(30_000)}`
  let count = 0
  await eventually('it finds no space', 60_000, async () => {
    await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: `big-${(count += 1)}`, spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData } } }, headers: { 'Content-Type': 'application/json' } })
    return (await nodeAt(victim, victim))?.status.conditions.some(({ type }) => type === 'DiskFull') === true
  })
  const refused = await api.call(victim, 'POST', '/api/v1/vms', { body: { name: 'refused', spec: { cpus: 1, memoryMiB: 64 } }, headers: { 'Content-Type': 'application/json' } })
  t.equal(refused.status, 503)
  t.equal(problemOf(refused).code, 'OVERLOADED')
  t.equal(refused.headers['retry-after'], '2')
  await write(3)
  await eventually('the others know', 30_000, async () => (await nodeAt('node1', victim))?.status.conditions.some(({ type }) => type === 'DiskFull') === true)
  rmSync(join(raft, 'ballast'))
  await eventually('it goes on', 30_000, async () => {
    const node = await nodeAt(victim, victim)
    return node?.status.ready === true && node.status.conditions.length === 0 && (await api.call(victim, 'GET', `/api/v1/vms/${acknowledged.at(-1)}`)).status === 200
  })
  t.equal((await lab.status()).nodes.find((node) => node.name === victim)?.pid, pid, 'the daemon never ended')
  keyedId = ((await api.expect(201, 'node2', 'POST', '/api/v1/vms', keyed)).body as { id: string }).id
  await lab.run('kill', victim)
  await run(['cp', '-a', `${raft}/.`, copy])
  t.equal((await run(['umount', raft])).code, 0)
  rmSync(raft, { recursive: true })
  renameSync(copy, raft)
  await lab.run('start', victim)
  await eventually('it votes', 60_000, async () => (await nodeAt(victim, victim))?.status.ready === true)
})

await t.test('42: its vote is worth something again: it and one other go on without the third', async (t) => {
  await lab.run('kill', 'node2')
  await eventually('there is a leader', 30_000, async () => (await api.call('node1', 'GET', '/api/v1/vms?consistent=true&limit=1')).status === 200)
  await eventually('writes are taken', 30_000, async () => (await api.call('node1', 'POST', '/api/v1/vms', { body: { name: 'last', spec: { cpus: 1, memoryMiB: 64 } }, headers: { 'Content-Type': 'application/json' } })).status === 201)
  // A request whose answer was lost with a node is sent again where the damaged one has the answer from its peers.
  const again = await api.expect(201, victim, 'POST', '/api/v1/vms', keyed)
  t.equal((again.body as { id: string }).id, keyedId, '25: it gets its first answer')
  await eventually('it has it', 10_000, async () => (await api.call(victim, 'GET', '/api/v1/vms/last')).status === 200)
  t.pass('both took part')
})

async function reasons(): Promise<readonly string[]> {
  return (await api.all('node1', 'events')).map((event) => String(event['reason']))
}

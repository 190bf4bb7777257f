// Bad input of every kind, on a real cluster: a clear error with a code, and nothing in the cluster, in libvirt or on the disks is another than before.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Vm } from '../../src/model/vm.ts'
import { Api, problemOf, tinySpec, type Answer, type CallOptions } from './lab-api.ts'
import { eventually, Lab, novacron, run } from './lab-runner.ts'
import { ConsoleReader, Truth } from './lab-truth.ts'
import { lookAtWorld, type World } from './world.ts'

t.setTimeout(600_000)
const lab = new Lab()
const stranger = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const names = ['node1', 'node2'] as const

t.teardown(async () => {
  for (const each of [lab, stranger]) {
    await each.run('down', '--purge')
    rmSync(dirname(each.dir), { recursive: true, force: true })
  }
})

await lab.up(2)
// Without a NIC: addresses that its guest tells later would be changes that nobody made.
const web = await api.createVm('node1', 'web', { on: 'node1', spec: { nics: [] } })

type Case = {
  readonly method?: string
  readonly path?: string
  readonly node?: string
  readonly options: CallOptions
  readonly status: number
  readonly code: string
  /** Paths of wrong fields that the answer must name. */
  readonly fields?: readonly string[]
}

/** What the last refused request left; undefined where something was changed on purpose since. */
let lately: World | undefined

/** Sends, and asserts the error, that nothing changed, and that nothing went into the log. */
async function refused(t: Tap, what: string, each: Case): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    const before = lately ?? (await settledWorld())
    const node = each.node ?? 'node1'
    const answer = await api.call(node, each.method ?? 'POST', each.path ?? '/api/v1/vms', { timeoutMs: 30_000, ...each.options })
    const after = await lookAtWorld(api, truth, names)
    lately = after
    // A node may have reported something meanwhile, which is an entry too: then once more.
    if (after.index !== before.index && tries < 3) continue
    const problem = problemOf(answer)
    t.match(problem, { status: each.status, code: each.code }, `${what}: ${problem.code}, ${problem.detail.slice(0, 120)}`)
    if (each.fields !== undefined) t.same(problem.fields?.map((field) => field.path).toSorted(), [...each.fields].toSorted(), `${what}: names the fields`)
    t.same(after.things, before.things, `${what}: nothing is another`)
    t.equal(after.index, before.index, `${what}: the state's index is the same`)
    return answer
  }
}

type Tap = Pick<typeof t, 'match' | 'same' | 'equal'>

/** The world once it stands still: reports of what was done before have come in. */
async function settledWorld(): Promise<World> {
  let before = await lookAtWorld(api, truth, names)
  for (let tries = 0; tries < 20; tries++) {
    const now = await lookAtWorld(api, truth, names)
    if (JSON.stringify(now) === JSON.stringify(before)) return now
    before = now
    await delay(200)
  }
  throw new Error('the cluster does not come to rest')
}

const good = { name: 'bad', spec: { ...tinySpec, placement: { node: 'node1' } } }
const withSpec = (spec: object) => ({ body: { ...good, spec: { ...good.spec, ...spec } } })

await t.test('fields: unknown, missing, of the wrong type, out of range', async (t) => {
  await refused(t, 'an unknown field', { options: { body: { ...good, colour: 'red' } }, status: 422, code: 'INVALID', fields: ['colour'] })
  await refused(t, 'an unknown field deep inside', { options: withSpec({ disks: [{ name: 'root', image: 'tiny', size: 3 }] }), status: 422, code: 'INVALID', fields: ['spec.disks.0.size'] })
  await refused(t, 'wrong types', { options: withSpec({ cpus: '1', memoryMiB: null }), status: 422, code: 'INVALID', fields: ['spec.cpus', 'spec.memoryMiB'] })
  await refused(t, 'missing fields', { options: { body: { name: 'bad', spec: {} } }, status: 422, code: 'INVALID', fields: ['spec.cpus', 'spec.memoryMiB'] })
  await refused(t, 'figures out of range', { options: withSpec({ cpus: 0, memoryMiB: 1.5 }), status: 422, code: 'INVALID', fields: ['spec.cpus', 'spec.memoryMiB'] })
  await refused(t, 'no object', { options: { body: ['web'] }, status: 422, code: 'INVALID' })
  await refused(t, 'an unknown parameter', { path: '/api/v1/vms?dryrun=true', options: { body: good }, status: 422, code: 'INVALID', fields: ['dryrun'] })
  await refused(t, 'a patch with an unknown field', { method: 'PATCH', path: '/api/v1/vms/web', options: { body: { spec: { colour: 'red' } } }, status: 422, code: 'INVALID', fields: ['spec.colour'] })
  await refused(t, 'an action that takes no input', { path: '/api/v1/vms/web/pause', options: { body: { force: true } }, status: 422, code: 'INVALID' })
})

await t.test('names: markup, other alphabets, ids, paths, and what is taken', async (t) => {
  for (const name of ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', 'Web', 'wéb', '../../etc/passwd', '-web', 'a'.repeat(64), '', 'web\n', '01a1f8a9-e531-73f3-bed6-c8a403025a57']) {
    const answer = await refused(t, `the name ${JSON.stringify(name.slice(0, 30))}`, { options: { body: { ...good, name } }, status: 422, code: 'INVALID', fields: ['name'] })
    t.notOk(answer.text.includes('<script') || answer.text.includes('<img'), 'markup is not sent back')
  }
  await refused(t, 'a label with control characters', { options: { body: { ...good, labels: { a: 'b\u0000' } } }, status: 422, code: 'INVALID' })
  await refused(t, 'a name that is taken', { options: { body: { ...good, name: 'web' } }, status: 409, code: 'NAME_TAKEN' })
  await refused(t, 'a path with markup', { method: 'GET', path: '/api/v1/vms/%3Cscript%3E', options: {}, status: 404, code: 'NOT_FOUND' })
})

await t.test('bodies: too large, too deep, no JSON, no UTF-8, of another type', async (t) => {
  const json = { 'content-type': 'application/json' }
  const memoryBefore = memoryMibOf('node1')
  await refused(t, 'a 20 MB body', { options: { body: Buffer.from(`{"name":"${'x'.repeat(20_000_000)}"}`), headers: json }, status: 413, code: 'BODY_TOO_LARGE' })
  await refused(t, 'a 20 MB body without a length', { options: { body: Buffer.alloc(20_000_000, 0x20), headers: { ...json, 'transfer-encoding': 'chunked' } }, status: 413, code: 'BODY_TOO_LARGE' })
  await refused(t, 'JSON nested 200,000 deep', { options: { body: Buffer.from('['.repeat(200_000) + ']'.repeat(200_000)), headers: json }, status: 400, code: 'MALFORMED' })
  await refused(t, 'objects nested 100,000 deep', { options: { body: Buffer.from('{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)), headers: json }, status: 400, code: 'MALFORMED' })
  await refused(t, 'no JSON', { options: { body: Buffer.from('{"name": web}'), headers: json }, status: 400, code: 'MALFORMED' })
  await refused(t, 'no UTF-8', { options: { body: Buffer.from([0x22, 0xff, 0xfe, 0x22]), headers: json }, status: 400, code: 'MALFORMED' })
  await refused(t, 'nothing', { options: { body: Buffer.alloc(0), headers: json }, status: 400, code: 'MALFORMED' })
  await refused(t, 'another type', { options: { body: Buffer.from('<vm/>'), headers: { 'content-type': 'application/xml' } }, status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' })
  await refused(t, 'another method', { method: 'PUT', options: { body: good }, status: 405, code: 'METHOD_NOT_ALLOWED' })
  t.ok(memoryMibOf('node1') - memoryBefore < 100, `the daemon did not keep them: ${memoryBefore} → ${memoryMibOf('node1')} MiB`)
})

function memoryMibOf(node: string): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.node(node).pid}/status`, 'utf8'))?.[1]) / 1024)
}

await t.test('images that are none', async (t) => {
  const upload = (body: Uint8Array, query = ''): Pick<Case, 'path' | 'options'> => ({ path: `/api/v1/images?name=bad${query}`, options: { body, headers: { 'content-type': 'application/octet-stream' } } })
  await refused(t, 'a text', { ...upload(Buffer.from('This is no image.\n'.repeat(100))), status: 422, code: 'IMAGE_UNREADABLE' })
  await refused(t, 'noise of whole sectors', { ...upload(Buffer.alloc(1024 * 1024, 7)), status: 422, code: 'IMAGE_UNREADABLE' })
  await refused(t, 'nothing', { ...upload(Buffer.alloc(0)), status: 422, code: 'IMAGE_UNREADABLE' })
  const qcow2 = readFileSync(join(lab.dir, 'tiny.qcow2'))
  await refused(t, 'half of a qcow2', { ...upload(qcow2.subarray(0, qcow2.length >> 1)), status: 422, code: 'IMAGE_UNREADABLE' })
  const damaged = Buffer.from(qcow2)
  damaged.fill(0xff, 65_536, 196_608)
  await refused(t, 'a damaged qcow2', { ...upload(damaged), status: 422, code: 'IMAGE_UNREADABLE' })
  const overlay = join(lab.dir, 'overlay.qcow2')
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/shadow', '-u', overlay, '1G'])
  await refused(t, 'an overlay on a file of the host', { ...upload(readFileSync(overlay)), status: 422, code: 'IMAGE_UNREADABLE' })
  await refused(t, 'another checksum', { ...upload(qcow2, `&sha256=${'0'.repeat(64)}`), status: 422, code: 'IMAGE_CHECKSUM' })
  const zip = join(lab.dir, 'bad.zip')
  writeFileSync(zip, 'PK\u0003\u0004 no disk')
  const ran = await novacron(['image', 'import', 'bad', zip, '--json'], { env: lab.env('node1') })
  t.equal(ran.code, 5, 'the command line refuses it too')
  t.match(ran.stderr, 'IMAGE_UNREADABLE')
})

await t.test('stale If-Match, stale revision, reused Idempotency-Key', async (t) => {
  await api.expect(200, 'node1', 'PATCH', '/api/v1/vms/web', { body: { labels: { tier: 'front' } } })
  lately = undefined
  const stale = { 'if-match': `"${web.revision}"` }
  await refused(t, 'PATCH with a stale If-Match', { method: 'PATCH', path: '/api/v1/vms/web', options: { body: { labels: { tier: 'back' } }, headers: stale }, status: 412, code: 'PRECONDITION_FAILED' })
  await refused(t, 'DELETE with a stale If-Match', { method: 'DELETE', path: '/api/v1/vms/web', options: { headers: stale }, status: 412, code: 'PRECONDITION_FAILED' })
  await refused(t, 'stop with a stale If-Match, at another node', { node: 'node2', path: '/api/v1/vms/web/stop', options: { headers: stale }, status: 412, code: 'PRECONDITION_FAILED' })
  await refused(t, 'an If-Match that is no ETag', { method: 'PATCH', path: '/api/v1/vms/web', options: { body: {}, headers: { 'if-match': 'yesterday' } }, status: 400, code: 'MALFORMED' })
  await refused(t, 'PUT of an old revision', { method: 'PUT', path: '/api/v1/vms/web', options: { body: { ...web } }, status: 409, code: 'REVISION_STALE' })
  const key = { 'idempotency-key': 'once' }
  await api.expect(200, 'node1', 'PATCH', '/api/v1/vms/web', { body: { labels: { tier: 'a' } }, headers: key })
  lately = undefined
  await refused(t, 'the key with another body', { method: 'PATCH', path: '/api/v1/vms/web', options: { body: { labels: { tier: 'b' } }, headers: key }, status: 422, code: 'IDEMPOTENCY_MISMATCH' })
  await refused(t, 'the key with another request, at another node', { node: 'node2', options: { body: good, headers: key }, status: 422, code: 'IDEMPOTENCY_MISMATCH' })
})

await t.test('what does not exist and what does not fit', async (t) => {
  await refused(t, 'an image that is missing', { options: withSpec({ disks: [{ name: 'root', image: 'huge' }] }), status: 422, code: 'REFERENCE_MISSING' })
  await refused(t, 'a node that is missing, for a stopped VM', { options: withSpec({ placement: { node: 'node9' }, runState: 'stopped' }), status: 422, code: 'REFERENCE_MISSING' })
  await refused(t, 'more memory than any node has', { options: withSpec({ memoryMiB: 8 * 1024 * 1024, placement: {} }), status: 422, code: 'NO_FIT' })
  await refused(t, 'more memory than the named node has', { node: 'node2', options: withSpec({ memoryMiB: 8 * 1024 * 1024 }), status: 422, code: 'NO_FIT' })
  await refused(t, 'a disk smaller than its image', { options: withSpec({ disks: [{ name: 'root', image: 'tiny', sizeGiB: 0.001 }] }), status: 422, code: 'INVALID' })
  await refused(t, 'resuming what is not paused', { path: '/api/v1/vms/web/resume', options: {}, status: 409, code: 'STATE_CONFLICT' })
  await refused(t, 'deleting an image that is in use', { method: 'DELETE', path: '/api/v1/images/tiny', options: {}, status: 409, code: 'IN_USE' })
})

/** What a joiner sends; nobody stands behind it. */
function joiner(): object {
  return {
    node: { id: '01a1f8a9-5ff4-700a-9076-a0dd39972cff', name: 'node9', peerId: '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN', wrapKey: 'A'.repeat(43) },
    announcement: {}, tlsPublicKeyPem: 'none', names: [], addresses: [],
  }
}

async function joinToken(of: Lab, lifeSeconds: number): Promise<string> {
  const { body } = await new Api(of).expect(201, 'node1', 'POST', '/api/v1/cluster/join-tokens', { body: { lifeSeconds } })
  return (body as { token: string }).token
}

await t.test('join tokens: expired, of another cluster, invented', async (t) => {
  const path = '/api/v1/cluster/join'
  const short = await joinToken(lab, 1)
  await delay(1500)
  lately = undefined
  await refused(t, 'an expired token', { path, options: { token: short, body: joiner() }, status: 403, code: 'TOKEN_EXPIRED' })
  await stranger.up(1)
  const theirs = await joinToken(stranger, 600)
  await refused(t, 'another cluster\'s token', { path, options: { token: theirs, body: joiner() }, status: 403, code: 'TOKEN_OTHER_CLUSTER' })
  t.match(await new Api(stranger).cluster('node1'), { nodes: 1 }, 'the other cluster admitted nobody')
  await stranger.run('down')
  await refused(t, 'an invented token', { path, options: { token: 'ncj_e30', body: joiner() }, status: 403, code: 'TOKEN_INVALID' })
  await refused(t, 'no token', { path, options: { token: null, body: joiner() }, status: 401, code: 'UNAUTHENTICATED' })
  await refused(t, 'an API token for joining', { path, options: { body: joiner() }, status: 401, code: 'UNAUTHENTICATED' })
})

/** Holds libvirtd of a host down: its keeper is stopped, then it is killed. @returns what lets it come back */
async function holdLibvirtDown(node: string): Promise<() => void> {
  const host = (await lab.status()).nodes.find((each) => each.name === node)
  const pid = host?.libvirtPid ?? 0
  const keeper = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  process.kill(keeper, 'SIGSTOP')
  process.kill(pid, 'SIGKILL')
  return () => process.kill(keeper, 'SIGCONT')
}

await t.test('a killed libvirtd: clear errors, and nothing is lost', async (t) => {
  const before = await settledWorld()
  const pid = (await truth.domain('node1', web.id))?.pid
  const release = await holdLibvirtDown('node1')
  try {
    await eventually('libvirtd is gone', 10_000, async () => (await truth.virsh('node1', 'list')).code !== 0)
    for (const node of names) {
      const reader = new ConsoleReader(lab, node, web.id)
      await eventually(`the console, asked of ${node}, says why`, 20_000, () => reader.closes.some((close) => close.startsWith('4009 HYPERVISOR_UNREACHABLE: ')))
      reader.close()
    }
    const list = await api.expect(200, 'node1', 'GET', '/api/v1/vms')
    t.match(list.body, { items: [{ name: 'web', status: { phase: 'running' } }] }, 'reads go on')
    t.equal(truth.qemuPid('node1', before.things === undefined ? '' : `web.${web.id.slice(-8)}`), pid, 'the VM goes on')
  } finally {
    release()
  }
  await eventually('libvirtd is back', 20_000, async () => (await truth.virsh('node1', 'list')).code === 0)
  t.same((await settledWorld()).things, before.things, 'nothing is another')
  await api.act('node1', 'web', 'pause')
  await api.act('node1', 'web', 'resume')
  t.equal((await truth.domain('node1', web.id))?.pid, pid, 'the same QEMU obeys again')
})

await t.test('a full disk: refused, said why, and made good once there is room', async (t) => {
  const storage = join(lab.node('node1').dataDir, 'storage')
  const inHost = async (...command: readonly string[]) => {
    const ran = await lab.run('exec', 'node1', '--', ...command)
    if (ran.code !== 0) throw new Error(`${command.join(' ')}: ${ran.stderr}`)
    return ran
  }
  const image = truth.files('node1', 'images')[0] ?? ''
  // A file system with less room than has to stay free, seen by this host alone. Image and volumes are what they were.
  await inHost('sh', '-c', `cd ${storage} && tar cf ../storage.tar . && mount -t tmpfs -o size=250m full . && cd . && tar xf ../storage.tar -C ${storage} && rm ../storage.tar`)
  let unmounted = false
  const unmount = async () => {
    if (!unmounted) await inHost('umount', '-l', storage)
    unmounted = true
  }
  try {
    const files = async () => (await inHost('find', storage, '-type', 'f')).stdout.split('\n').toSorted()
    const before = { files: await files(), world: await settledWorld() }
    t.ok(before.files.some((file) => file.endsWith(image)))
    const boot = Buffer.alloc(1024 * 1024)
    boot.set([0x55, 0xaa], 510)
    const answer = await api.call('node1', 'POST', '/api/v1/images?name=bad', { body: boot, headers: { 'content-type': 'application/octet-stream' } })
    t.match(problemOf(answer), { status: 507, code: 'STORAGE_FULL' }, problemOf(answer).detail)
    const after = await settledWorld()
    t.same([await files(), after.things], [before.files, before.world.things], 'nothing is another')

    // A VM is a wish: it is taken, says what keeps it from being, and comes true when that is over.
    const vm: Vm = await api.createVm('node2', 'waits', { on: 'node1', wait: 20 })
    t.match(vm.status, { phase: 'failed' })
    t.match(vm.status.conditions.find((condition) => condition.type === 'Failed'), { reason: 'STORAGE_FULL' }, vm.status.message)
    t.same(await files(), before.files, 'no file of it is left')
    t.equal(await truth.domain('node1', vm.id), undefined, 'nor a domain')
    await unmount()
    await eventually('it runs once there is room', 60_000, async () => (await api.vm('node2', 'waits')).status.phase === 'running')
    t.match(await truth.domain('node1', vm.id), { state: 'running', pid: Number })
  } finally {
    await unmount()
  }
})

await t.test('after all that the cluster is well', async (t) => {
  for (const name of names) t.equal((await lab.get(name, '/readyz')).status, 200)
  t.match(await api.vm('node2', 'web'), { id: web.id, status: { phase: 'running' } })
  const reader = await novacron(['vm', 'list', '--json'], { env: lab.env('node2') })
  t.equal((JSON.parse(reader.stdout) as { items: unknown[] }).items.length, 2)
})

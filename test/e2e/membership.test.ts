// Hosts come and go: found on the network and admitted, renamed, moved, lost and replaced, removed alive, dead and leading, and back as new ones.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { z } from 'zod'
import { nodeSchema, type Node } from '../../src/model/node.ts'
import { findings, openBrowser, overhang, signIn, sit } from './browser.ts'
import { Api, problemOf } from './lab-api.ts'
import { eventually, Lab, novacron, run } from './lab-runner.ts'
import { Truth } from './lab-truth.ts'

t.setTimeout(420_000)
const lab = new Lab()
const api = new Api(lab)
const truth = new Truth(lab)
const statusSchema = z.object({
  clustered: z.boolean(), nodeId: z.string(), name: z.string(), fingerprint: z.string(), removed: z.object({ clusterName: z.string(), folder: z.string() }).nullable(),
})

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

const socketOf = (name: string) => join(lab.node(name).dataDir, 'control.sock')

async function standing(name: string): Promise<z.infer<typeof statusSchema>> {
  const ran = await novacron(['node', 'status', '--socket', socketOf(name), '--json'])
  return statusSchema.parse(JSON.parse(ran.stdout))
}

async function nodes(asked: string): Promise<readonly Node[]> {
  return z.object({ items: z.array(nodeSchema) }).parse((await api.expect(200, asked, 'GET', '/api/v1/nodes')).body).items
}

async function found(asked: string): Promise<readonly { readonly name: string; readonly fingerprint: string }[]> {
  return z.object({ items: z.array(z.object({ name: z.string(), fingerprint: z.string() })) }).parse((await api.expect(200, asked, 'GET', '/api/v1/nodes/discovered')).body).items
}

async function admit(asked: string, name: string): Promise<void> {
  const { fingerprint } = await standing(name)
  await eventually(`${asked} hears of ${name}`, 10_000, async () => (await found(asked)).some((one) => one.name === name && one.fingerprint === fingerprint))
  await api.expect(201, asked, 'POST', `/api/v1/nodes/discovered/${fingerprint}/admit`, { timeoutMs: 90_000 })
  await eventually(`${name} is ready`, 20_000, async () => (await nodes(asked)).some((node) => node.name === name && node.status.ready && node.status.accelerator !== 'none'))
}

/** Subject and alternative names of the certificate that the host serves. */
async function certificateOf(address: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({ host: address, port: 8443, rejectUnauthorized: false }, () => {
    const { subject, subjectaltname } = socket.getPeerCertificate()
    socket.destroy()
    resolve(`${String(subject.CN)} ${subjectaltname ?? ''}`)
  })
  socket.on('error', reject)
  return await promise
}

async function voters(asked: string): Promise<readonly string[]> {
  return (await api.cluster(asked)).voters
}

void t.test('a lab of four hosts, three of them in the cluster', async (t) => {
  await lab.up(4, 3)
  t.same((await nodes('node1')).map((node) => node.name), ['node1', 'node2', 'node3'])
  t.same(await voters('node1'), ['node1', 'node2', 'node3'])
})

void t.test('the fourth is found on the network and admitted by its fingerprint', async (t) => {
  const own = await standing('node4')
  t.match(own, { clustered: false, removed: null, fingerprint: /^[0-9a-f]{64}$/ })
  for (const asked of ['node1', 'node2', 'node3']) await eventually(`${asked} hears of it`, 10_000, async () => (await found(asked)).some((one) => one.fingerprint === own.fingerprint))
  t.equal(problemOf(await api.call('node2', 'POST', `/api/v1/nodes/discovered/${'0'.repeat(64)}/admit`)).code, 'NOT_FOUND')
  const shown = await run(['curl', '-sk', `${lab.node('node4').url}/login`])
  t.match(shown.stdout, own.fingerprint.slice(0, 4))
  const uninvited = await run(['curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', '-X', 'POST', `${lab.node('node4').url}/api/v1/appliance/join`])
  t.equal(uninvited.stdout, '401')
  const browser = await openBrowser()
  const { page, troubles } = await sit(browser)
  await signIn(page, lab.node('node2').url, readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim())
  await page.goto(`${lab.node('node2').url}/nodes`)
  t.match(await page.locator('#nodes-found').innerText(), own.fingerprint.match(/.{4}/g)!.join(' '))
  t.same(await findings(page), [])
  t.equal(await overhang(page), 0)
  await page.getByRole('button', { name: 'Admit node4' }).click()
  await page.waitForURL(`${lab.node('node2').url}/nodes/node4`, { timeout: 60_000 })
  await page.getByRole('link', { name: 'Remove', exact: true }).click()
  t.same(await findings(page), [])
  t.ok(await page.getByRole('button', { name: 'Remove node4' }).getAttribute('aria-disabled'), 'not before its name was typed')
  t.same(troubles, [])
  await browser.close()
  await eventually('it is ready', 20_000, async () => (await nodes('node2')).some((node) => node.name === 'node4' && node.status.ready && node.status.accelerator !== 'none'))
  t.match((await nodes('node3')).find((node) => node.name === 'node4'), { status: { role: 'learner' } })
  await eventually('it is found no more', 10_000, async () => (await found('node1')).length === 0)
})

void t.test('a node is renamed: names, certificate and the wishes of VMs follow', async (t) => {
  await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'wish', spec: { cpus: 1, memoryMiB: 128, placement: { node: 'node4' } } } })
  t.equal((await novacron(['node', 'rename', 'node4', 'berlin'], { env: lab.env('node1') })).code, 0)
  await eventually('its certificate follows', 10_000, async () => (await certificateOf(lab.node('node4').address)).startsWith('berlin DNS:berlin'))
  t.equal((await api.vm('node3', 'wish')).spec.placement.node, 'berlin')
  t.equal(problemOf(await api.call('node1', 'PATCH', '/api/v1/nodes/berlin', { body: { name: 'node1' }, headers: { 'Content-Type': 'application/merge-patch+json' } })).code, 'NAME_TAKEN')
  t.equal((await novacron(['vm', 'delete', 'wish', '--yes'], { env: lab.env('node1') })).code, 0)
  t.equal((await lab.run('up')).code, 0, 'the lab knows its host by its address')
})

void t.test('a voter that is lost is replaced by the learner', async (t) => {
  await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'web', spec: { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], placement: { node: 'node2' }, runState: 'running' } }, headers: { Prefer: 'wait=60' }, timeoutMs: 70_000 })
  await lab.run('kill', 'node2')
  await eventually('berlin votes in its place', 30_000, async () => (await voters('node3')).join() === 'berlin,node1,node3')
  t.match((await nodes('node3')).find((node) => node.name === 'node2'), { status: { role: 'learner', ready: false } })
})

void t.test('a dead node is removed by force only; its VM stays known and can be deleted', async (t) => {
  const refused = problemOf(await api.call('node3', 'DELETE', '/api/v1/nodes/node2'))
  t.match(refused, { code: 'IN_USE', detail: /a VM: web.*Drain/ })
  t.match(problemOf(await api.call('node3', 'DELETE', '/api/v1/nodes/node2', { body: { force: true } })), { code: 'INVALID', fields: [{ path: 'hostIsOff' }] })
  await api.expect(204, 'node3', 'DELETE', '/api/v1/nodes/node2', { body: { force: true, hostIsOff: true } })
  const vm = await api.vm('node1', 'web')
  t.match(vm.status, { phase: 'unknown', node: null, message: /node2 was removed/ })
  t.equal((await novacron(['vm', 'delete', 'web', '--yes'], { env: lab.env('node1') })).code, 0)
  t.equal((await api.call('node1', 'GET', '/api/v1/vms/web')).status, 404)
})

void t.test('the removed host learns it when it is back, stops what it ran, and may come again as a new node', async (t) => {
  const before = (await api.cluster('node1')).appliedIndex
  await lab.run('start', 'node2')
  await eventually('it is told', 20_000, async () => (await standing('node2')).removed !== null)
  const own = await standing('node2')
  t.equal(own.clustered, false)
  t.same(readdirSync(own.removed!.folder).toSorted(), ['cluster.json', 'identity.json', 'members.json', 'raft', 'state', 'storage'])
  t.same((await truth.domains('node2')).filter((domain) => domain.state === 'running'), [])
  t.ok((await api.cluster('node1')).appliedIndex <= before + 2, 'it has said nothing that the cluster took')
  await lab.up()
  t.notOk((await nodes('node1')).some((node) => node.name === 'node2'), 'lab up leaves it alone')
  await admit('node1', 'node2')
  t.not((await nodes('node1')).find((node) => node.name === 'node2')?.id, own.removed === null ? '' : readdirSync(own.removed.folder).join(), 'under a new identity')
})

void t.test('a node that is removed alive is out within a second', async (t) => {
  const begunMs = performance.now()
  await api.expect(204, 'node1', 'DELETE', '/api/v1/nodes/berlin')
  t.ok(performance.now() - begunMs < 1_500, 'the removal itself is quick')
  await eventually('it serves the cluster no more', 1_000, async () => (await run(['curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', `${lab.node('node4').url}/readyz`])).stdout === '503')
  await eventually('it says so itself', 10_000, async () => (await standing('node4')).removed !== null)
  for (const asked of ['node1', 'node2', 'node3']) t.notOk((await nodes(asked)).some((node) => node.name === 'berlin'))
})

void t.test('the leader is removed: it hands over first, and writing goes on', async (t) => {
  await admit('node1', 'node4')
  const { leader } = await api.cluster('node1')
  const other = ['node1', 'node2', 'node3'].find((name) => name !== leader)!
  await api.expect(204, other, 'DELETE', `/api/v1/nodes/${leader}`)
  const begunMs = performance.now()
  await api.expect(201, other, 'POST', '/api/v1/vms', { body: { name: 'after', spec: { cpus: 1, memoryMiB: 128 } } })
  t.ok(performance.now() - begunMs < 2_000, 'no election time-out is waited for')
  await eventually('three vote again', 20_000, async () => (await voters(other)).length === 3)
  await admit(other, leader!)
})

void t.test('a host gets another address while its VM runs on', async (t) => {
  const { name, address, dataDir } = lab.node('node4')
  await api.expect(201, 'node2', 'POST', '/api/v1/vms', { body: { name: 'stay', spec: { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], placement: { node: name }, runState: 'running' } }, headers: { Prefer: 'wait=60' }, timeoutMs: 70_000 })
  const vm = await api.vm('node2', 'stay')
  const { pid } = (await lab.status()).nodes.find((node) => node.name === name)!
  const moved = address.replace(/\d+$/, '77')
  const namespace = ['ip', '-n', `nc-${(await lab.status()).id}-${name}`]
  const qemu = await truth.domain(name, vm.id)
  t.equal(qemu?.state, 'running')
  await run([...namespace, 'addr', 'add', `${moved}/24`, 'dev', 'eth0'])
  await run(['sed', '-i', `s/${address.replaceAll('.', '\\.')}/${moved}/g`, join(dirname(dataDir), 'node.json')])
  process.kill(pid!, 'SIGKILL')
  await eventually('its new address is known', 30_000, async () => (await nodes('node2')).some((node) => node.name === name && node.status.ready && node.status.addresses[0] === moved))
  await eventually('its certificate follows', 10_000, async () => (await certificateOf(moved)).includes(`IP Address:${moved}`))
  t.equal((await api.vm('node2', 'stay')).status.phase, 'running')
  t.equal((await truth.domain(name, vm.id))?.state, 'running')
  t.equal((await novacron(['vm', 'delete', 'stay', '--yes', '--force'], { env: lab.env('node2') })).code, 0)
})

void t.test('hosts leave by themselves, but for the last one', async (t) => {
  t.equal((await novacron(['vm', 'delete', 'after', '--yes'], { env: lab.env('node2') })).code, 0)
  for (const name of ['node4', 'node3', 'node2']) {
    const ran = await novacron(['cluster', 'leave', '--yes', '--socket', socketOf(name)])
    t.equal(ran.code, 0, `${name}: ${ran.stderr}`)
    t.match(await standing(name), { clustered: false, removed: { clusterName: 'novacron' } })
  }
  t.same((await nodes('node1')).map((node) => node.name), ['node1'])
  const last = await novacron(['cluster', 'leave', '--yes', '--socket', socketOf('node1')])
  t.equal(last.code, 5)
  t.match(last.stderr, /last node/)
})

void t.test('a host with a cluster of its own and VMs joins and brings them along; what is not ours is left alone', async (t) => {
  const { url, dataDir } = lab.node('node4')
  const moved = url.replace(/\d+:8443$/, '77:8443')
  const init = z.object({ token: z.string(), caCertificate: z.string() }).parse(JSON.parse((await novacron(['cluster', 'init', '--name', 'home', '--socket', socketOf('node4'), '--json'])).stdout))
  const ca = join(dirname(dataDir), 'home.pem')
  writeFileSync(ca, init.caCertificate)
  const home = { NOVACRON_URL: moved, NOVACRON_TOKEN: init.token, NOVACRON_CA: ca }
  const there = async (...args: readonly string[]) => {
    const ran = await novacron(args, { env: home, timeoutMs: 90_000 })
    t.equal(ran.code, 0, `${args.join(' ')}: ${ran.stderr}`)
    return ran
  }
  await there('image', 'import', 'mini', join(lab.dir, 'tiny.qcow2'))
  await there('vm', 'create', 'mine', '--image', 'mini', '--memory', '128', '--start', '--wait')
  const foreign = "<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os></domain>"
  writeFileSync(join(dirname(dataDir), 'foreign.xml'), foreign)
  t.equal((await lab.run('exec', 'node4', '--', 'virsh', '-q', 'define', join(dirname(dataDir), 'foreign.xml'))).code, 0)
  t.equal((await lab.run('exec', 'node4', '--', 'virsh', '-q', 'start', 'foreign')).code, 0)
  const { id, spec } = z.object({ id: z.string(), spec: z.unknown() }).parse(JSON.parse((await there('vm', 'show', 'mine', '--json')).stdout))
  const domain = await truth.domain('node4', id)
  t.equal(domain?.state, 'running')
  const pid = truth.qemuPid('node4', domain!.name)

  const token = async () => z.object({ token: z.string() }).parse(JSON.parse((await novacron(['cluster', 'token', 'create', '--json'], { env: lab.env('node1') })).stdout)).token
  const bring = async () => await novacron(['cluster', 'join', await token(), '--keep-vms', '--yes', '--socket', socketOf('node4')], { timeoutMs: 90_000 })
  await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'mine', spec: { cpus: 1, memoryMiB: 128 } } })
  const refused = await bring()
  t.equal(refused.code, 5)
  t.match(refused.stderr, /VM mine exists here/)
  t.match(await standing('node4'), { clustered: true })
  t.match((await there('vm', 'show', 'mine', '--json')).stdout, /"phase": "running"/, 'nothing was changed')
  t.equal((await novacron(['vm', 'rename', 'mine', 'other'], { env: lab.env('node1') })).code, 0)

  const joined = await bring()
  t.equal(joined.code, 0, joined.stderr)
  await eventually('its VM is the cluster\'s and runs', 20_000, async () => {
    const { status } = await api.vm('node1', 'mine')
    return status.phase === 'running' && status.node === 'node4'
  })
  const vm = await api.vm('node1', 'mine')
  t.equal(vm.id, id)
  t.same(vm.spec, spec)
  t.equal(truth.qemuPid('node4', domain!.name), pid, 'the same QEMU: it was not touched')
  t.equal((await truth.domains('node4')).find(({ name }) => name === 'foreign')?.state, 'running', 'nor what is not ours')
  t.equal((await novacron(['vm', 'stop', 'mine', '--force'], { env: lab.env('node1') })).code, 0, 'the cluster commands it')
  t.equal((await novacron(['vm', 'delete', 'mine', '--yes'], { env: lab.env('node1') })).code, 0)
})

void t.test('root gives the administrator a new password', async (t) => {
  const ran = await novacron(['user', 'reset-password', 'admin', '--yes', '--socket', socketOf('node1'), '--json'])
  const { password } = z.object({ password: z.string() }).parse(JSON.parse(ran.stdout))
  await api.expect(201, 'node1', 'POST', '/api/v1/session', { body: { name: 'admin', password }, token: null })
  t.equal((await novacron(['user', 'reset-password', 'nobody', '--yes', '--socket', socketOf('node1')])).code, 3)
})

void t.test('a lab whose token was revoked says so at once', async (t) => {
  const { items } = z.object({ items: z.array(z.object({ id: z.string() })) }).parse((await api.expect(200, 'node1', 'GET', '/api/v1/tokens')).body)
  await api.call('node1', 'DELETE', `/api/v1/tokens/${items[0]!.id}`)
  const ran = await novacron(['lab', 'up', '--dir', lab.dir], { timeoutMs: 60_000 })
  t.equal(ran.code, 1)
  t.match(ran.stderr, /was revoked/)
  t.ok(ran.ms < 30_000)
  t.equal((await novacron(['lab', 'up', '--dir', lab.dir, '--nodes', '0'])).code, 2)
})

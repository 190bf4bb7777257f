// The lab keeps its contract: real isolated hosts, power cuts, partitions, two labs at once, and nothing left behind.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import t from 'tap'
import { eventually, Lab, novacron, processesOfLab, remainsOfLab, run } from './lab-runner.ts'

t.setTimeout(900_000)
const lab = new Lab()
const second = new Lab()
let id = ''

t.teardown(async () => {
  for (const each of [lab, second]) {
    await each.run('down', '--purge')
    rmSync(dirname(each.dir), { recursive: true, force: true })
  }
})

async function canConnect(from: string, to: string): Promise<boolean> {
  return (await lab.run('exec', from, '--', 'timeout', '2', 'bash', '-c', `: </dev/tcp/${lab.node(to).address}/8443`)).code === 0
}

await t.test('up makes a healthy cluster and says so in one line', async (t) => {
  const report = await lab.up(3)
  id = (await lab.status()).id
  t.equal(report.dir, lab.dir)
  t.same(report.nodes.map((node) => node.name), ['node1', 'node2', 'node3'])
  t.equal(new Set(report.nodes.map((node) => node.address)).size, 3)
  t.equal(readFileSync(join(lab.dir, 'token'), 'utf8').trim(), report.token)
  for (const file of ['token', 'admin-password']) t.equal(statSync(join(lab.dir, file)).mode & 0o777, 0o600, `${file} is for its owner only`)
  for (const { name } of report.nodes) {
    const { status, body } = await lab.get(name, '/api/v1/nodes')
    t.equal(status, 200, `${name} answers by the CA file and the token`)
    const nodes = (body as { items: { name: string; status: { ready: boolean } }[] }).items
    t.same(nodes.map((node) => `${node.name} ${node.status.ready}`).toSorted(), ['node1 true', 'node2 true', 'node3 true'])
    const tiny = await lab.get(name, '/api/v1/images/tiny')
    t.same((tiny.body as { status: { nodes: string[] } }).status.nodes.toSorted(), ['node1', 'node2', 'node3'], `tiny is on all nodes, says ${name}`)
  }
})

await t.test('each host is a machine of its own', async (t) => {
  const seen = new Set<string>()
  for (const name of ['node1', 'node2', 'node3']) {
    const capabilities = await lab.run('exec', name, '--', 'virsh', '-c', 'qemu:///system', 'capabilities')
    seen.add(/<uuid>(.*)<\/uuid>/.exec(capabilities.stdout)?.[1] ?? 'none')
    t.equal((await lab.run('exec', name, '--', 'hostname')).stdout.trim(), name)
    t.equal((await lab.run('exec', name, '--', 'test', '-e', '/dev/kvm')).code, 1, 'no /dev/kvm')
  }
  t.equal(seen.size, 3, 'three libvirtds with ids of their own')
  t.equal((await lab.run('exec', 'node1', '--', 'sh', '-c', 'exit 7')).code, 7, 'exec passes the exit code')
  t.equal((await lab.run('exec', 'node9', '--', 'true')).code, 3)
})

await t.test('image tiny boots in 128 MiB, ticks, answers what is typed, its agent and the power button', async (t) => {
  const disk = join(lab.dir, 'self-test.qcow2')
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', join(lab.dir, 'tiny.qcow2'), disk, '1G'])
  const serial = join(lab.dir, 'self-test.log')
  const socket = join(lab.dir, 'self-test.sock')
  const virsh = async (...args: readonly string[]) => await lab.run('exec', 'node1', '--', 'virsh', '-q', '-c', 'qemu:///system', ...args)
  const xml = `<domain type='qemu'><name>lab-self-test</name><memory unit='MiB'>128</memory><os><type arch='x86_64'>hvm</type></os><features><acpi/></features><devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='unix'><source mode='bind' path='${socket}'/><log file='${serial}' append='on'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`
  writeFileSync(join(lab.dir, 'self-test.xml'), xml)
  t.match(await virsh('create', join(lab.dir, 'self-test.xml')), { code: 0 })
  const says = (text: string | RegExp): boolean => existsSync(serial) && new RegExp(text).test(readFileSync(serial, 'utf8'))
  await eventually('it ticks', 60_000, () => says(/novacron tiny \S+ tick 2/))
  const console = connect(socket)
  console.on('error', () => {}).write('hello there\n')
  await eventually('it answers the console', 20_000, () => says('echo: hello there'))
  console.destroy()
  await eventually('its agent answers', 30_000, async () => (await virsh('qemu-agent-command', 'lab-self-test', '{"execute":"guest-ping"}')).code === 0)
  await eventually('it has an address by DHCP', 30_000, async () => (await virsh('domifaddr', 'lab-self-test', '--source', 'agent')).stdout.includes('10.0.2.15'))
  await virsh('shutdown', 'lab-self-test', '--mode', 'acpi')
  await eventually('it powers off', 20_000, async () => (await virsh('domstate', 'lab-self-test')).code !== 0)
  t.ok(says('power button'))
})

await t.test('up again changes nothing and gives the same token', async (t) => {
  const before = lab.report
  t.same(await lab.up(), before)
})

await t.test('crashed daemons and libvirtds come back', async (t) => {
  const before = (await lab.status()).nodes.find((node) => node.name === 'node2')
  for (const pid of [before?.pid, before?.libvirtPid]) process.kill(pid ?? 0, 'SIGKILL')
  await eventually('both are back', 30_000, async () => {
    const now = (await lab.status()).nodes.find((node) => node.name === 'node2')
    return now?.ready === true && now.pid !== before?.pid && now.libvirtPid !== null && now.libvirtPid !== before?.libvirtPid
  })
  t.pass()
})

await t.test('a partition cuts hosts from hosts, not from the machine', async (t) => {
  t.equal((await lab.run('partition', 'node1|node1')).code, 2)
  t.equal((await lab.run('partition', 'node1,node2|node3')).code, 0)
  t.same((await lab.status()).partition, [['node1', 'node2'], ['node3']])
  t.equal(await canConnect('node1', 'node2'), true)
  t.equal(await canConnect('node1', 'node3'), false)
  t.equal(await canConnect('node3', 'node2'), false)
  for (const name of ['node1', 'node2', 'node3']) t.equal((await lab.get(name, '/healthz')).status, 200, `${name} is reached from the machine`)
  t.equal((await lab.run('heal')).code, 0)
  t.equal(await canConnect('node3', 'node2'), true)
})

await t.test('kill leaves nothing of a host; start brings it back under its name and URL', async (t) => {
  const dataDir = lab.node('node3').dataDir
  t.equal((await lab.run('kill', 'node3')).code, 0)
  t.same(processesOfLab(join(lab.dir, 'node3'), `${id}-node3`), [])
  t.equal((await lab.get('node3', '/healthz')).status, 0)
  t.equal((await lab.get('node1', '/healthz')).status, 200)
  t.equal((await lab.status()).nodes.find((node) => node.name === 'node3')?.power, 'off')
  t.ok(existsSync(dataDir))
  t.equal((await lab.run('exec', 'node3', '--', 'true')).code, 5)
  t.equal((await lab.run('start', 'node3')).code, 0)
  await eventually('node3 is ready', 30_000, async () => (await lab.get('node3', '/readyz')).status === 200)
  t.equal((await lab.run('kill', 'node9')).code, 3)
})

await t.test('up restarts a dead host', async (t) => {
  await lab.run('kill', 'node2')
  const report = await lab.up()
  t.equal(report.nodes.length, 3)
  t.equal((await lab.get('node2', '/readyz')).status, 200)
})

await t.test('a second lab runs beside, and its end does not touch the first', async (t) => {
  const report = await second.up(1)
  t.not(report.token, lab.report?.token)
  t.not(report.nodes[0]?.address, lab.node('node1').address)
  const secondId = (await second.status()).id
  t.equal((await second.run('down')).code, 0)
  t.same(await remainsOfLab(second.dir, secondId), [])
  t.equal((await lab.get('node1', '/readyz')).status, 200)
})

await t.test('down leaves nothing on the machine but the data; up resumes', async (t) => {
  const before = lab.report
  t.equal((await lab.run('down')).code, 0)
  t.same(await remainsOfLab(lab.dir, id), [])
  t.equal((await lab.run('down')).code, 0, 'down of a lab that is down')
  const after = await lab.up()
  t.equal(after.token, before?.token)
  t.same(after.nodes.map((node) => node.url), before?.nodes.map((node) => node.url))
})

await t.test('down cleans up after a lab that was killed itself', async (t) => {
  await lab.run('down')
  const child = spawn(join(import.meta.dirname, '..', '..', 'novacron'), ['lab', 'up', '--dir', lab.dir, '--foreground', '--json'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const { promise, resolve } = Promise.withResolvers<string>()
  child.stdout.setEncoding('utf8').on('data', resolve)
  await promise
  child.kill('SIGKILL')
  t.ok(processesOfLab(lab.dir, id).length > 0, 'the hosts live on')
  t.equal((await lab.run('down')).code, 0)
  t.same(await remainsOfLab(lab.dir, id), [])
})

await t.test('Ctrl-C takes a lab in the foreground down', async (t) => {
  const child = spawn(join(import.meta.dirname, '..', '..', 'novacron'), ['lab', 'up', '--dir', lab.dir, '--foreground'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const { promise, resolve } = Promise.withResolvers<string>()
  child.stdout.setEncoding('utf8').on('data', resolve)
  t.match(await promise, /admin/, 'it says how to sign in')
  const ended = Promise.withResolvers<number | null>()
  child.on('close', ended.resolve)
  child.kill('SIGINT')
  t.equal(await ended.promise, 0)
  t.same(await remainsOfLab(lab.dir, id), [])
})

await t.test('what it refuses, it refuses clearly', async (t) => {
  t.equal((await novacron(['lab', 'status', '--dir', '/nonexistent/lab'])).code, 3)
  t.equal((await novacron(['lab', 'up', '--dir', lab.dir, '--nodes', 'many'])).code, 2)
  t.equal((await novacron(['lab', 'up', '--dir', join(lab.dir, 'x'.repeat(90))])).code, 2)
  t.equal((await lab.run('start', 'node9')).code, 3)
  t.equal((await run(['ls', lab.dir])).code, 0)
})

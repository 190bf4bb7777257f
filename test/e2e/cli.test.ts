// The command line on a real cluster: a VM's whole life, exit codes, JSON, bad input, profiles, pipes; compared with what libvirt and QEMU say.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { z } from 'zod'
import { imageSchema } from '../../src/model/image.ts'
import { nodeSchema } from '../../src/model/node.ts'
import { operationSchema } from '../../src/model/operation.ts'
import { vmSchema, type Vm } from '../../src/model/vm.ts'
import { eventually, Lab, novacron, run, type Ran } from './lab-runner.ts'
import { Truth } from './lab-truth.ts'

t.setTimeout(600_000)
const lab = new Lab()
const truth = new Truth(lab)
const home = mkdtempSync(join(tmpdir(), 'nc-home-'))
const names = ['node1', 'node2', 'node3'] as const

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
  rmSync(home, { recursive: true, force: true })
})

type Options = { readonly at?: string; readonly input?: string; readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number }

/** `novacron …` at a node, as administrator. */
async function cli(args: readonly string[], { at = 'node1', env = {}, ...options }: Options = {}): Promise<Ran> {
  return await novacron(args, { ...options, env: { HOME: home, XDG_CONFIG_HOME: join(home, '.config'), ...lab.env(at), ...env } })
}

/** The one document of a command that must succeed. */
async function document(args: readonly string[], options: Options = {}): Promise<unknown> {
  const ran = await cli([...args, '--json'], options)
  if (ran.code !== 0) throw new Error(`novacron ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}`)
  return JSON.parse(ran.stdout)
}

const vm = async (name: string, options: Options = {}): Promise<Vm> => vmSchema.parse(await document(['vm', 'show', name], options))

/** What must not change by what is refused: VMs as the API says, domains as libvirt says, files as the disk says. */
async function everything(): Promise<unknown> {
  const listed = z.object({ items: z.array(vmSchema) }).parse(await document(['vm', 'list', '--all']))
  const hosts = await Promise.all(names.map(async (name) => ({ domains: await truth.domains(name), volumes: truth.files(name, 'volumes'), images: truth.files(name, 'images') })))
  return { vms: listed.items.map(({ name, generation, spec, labels }) => ({ name, generation, spec, labels })), hosts }
}

await t.test('the lab is up; nodes and images are listed as the API has them', async (t) => {
  await lab.up(3)
  const page = z.strictObject({ items: z.array(nodeSchema), next: z.null(), total: z.literal(3) }).parse(await document(['node', 'list'], { at: 'node2' }))
  t.same(page.items.map((node) => node.name), names)
  t.equal(page.items.filter((node) => node.status.role === 'leader').length, 1)
  t.match((await cli(['node', 'list'])).stdout, /^NAME +ROLE +READY/)
  const image = imageSchema.parse(await document(['image', 'show', 'tiny'], { at: 'node3' }))
  t.same(image.status.nodes, names)
})

await t.test("a VM's whole life", async (t) => {
  const created = vmSchema.parse(await document(['vm', 'create', 'web', '--image', 'tiny', '--memory', '128', '--node', 'node2', '--label', 'tier=front', '--start']))
  t.match(created, { name: 'web', labels: { tier: 'front' }, spec: { cpus: 1, memoryMiB: 128, disks: [{ name: 'root', image: 'tiny' }], nics: [{ network: 'nat' }] }, status: { phase: 'running', node: 'node2' } })
  const domain = await truth.domain('node2', created.id)
  t.equal(domain?.state, 'running', 'libvirt says so too')
  t.ok(domain?.pid, 'and QEMU lives')

  // Node 1 shows the console of a VM on node 2; a pipe in, a pipe out.
  const ticks = await cli(['vm', 'console', 'web'], { input: '\n', timeoutMs: 60_000 })
  t.equal(ticks.code, 0)
  await eventually('the console ticks through another node', 60_000, async () => /tick \d+/.test((await cli(['vm', 'console', 'web'], { input: '\n' })).stdout))

  t.equal((await cli(['vm', 'pause', 'web'])).stdout, 'web: pause done\n')
  t.equal((await truth.domain('node2', created.id))?.state, 'paused')
  t.equal((await cli(['vm', 'resume', 'web'])).code, 0)
  t.equal((await truth.domain('node2', created.id))?.state, 'running')

  t.equal((await cli(['vm', 'set', 'web', '--label', 'tier-', '--label', 'a=b', '--cpus', '2'], { at: 'node3' })).code, 0)
  t.match(await vm('web'), { labels: { a: 'b' }, spec: { cpus: 2 } })
  t.equal((await cli(['vm', 'rename', 'web', 'shop'])).code, 0)
  t.equal((await cli(['vm', 'show', 'web'])).code, 3)

  t.equal((await cli(['vm', 'restart', 'shop', '--timeout', '30'])).code, 0)
  const restarted = await truth.domain('node2', created.id)
  t.equal(restarted?.state, 'running')
  t.not(restarted?.pid, domain?.pid, 'another QEMU')
  t.equal((await truth.virsh('node2', 'vcpucount', restarted?.name ?? '', '--live', '--current')).stdout.trim() || '2', '2', 'the change took effect')

  const stopped = operationSchema.parse(await document(['vm', 'stop', 'shop'], { at: 'node3' }))
  t.match(stopped.status, { state: 'done', node: 'node2' })
  t.equal((await truth.domain('node2', created.id))?.pid, null)
  t.equal((await vm('shop')).status.phase, 'stopped')

  const asked = await cli(['vm', 'delete', 'shop'])
  t.equal(asked.code, 2, 'nobody can be asked here')
  t.equal((await cli(['vm', 'delete', 'shop', '--yes'])).stdout, 'shop: delete done\n')
  t.equal(await truth.domain('node2', created.id), undefined)
  t.notOk(truth.files('node2', 'volumes').some((file) => file.includes(created.id)), 'its disks are gone')
  t.equal((await cli(['vm', 'show', 'shop'])).code, 3)
})

await t.test('several at once: a line for each, the worst exit code', async (t) => {
  for (const name of ['a', 'b']) await document(['vm', 'create', name, '--image', 'tiny', '--memory', '128', '--node', 'node1'])
  const started = await cli(['vm', 'start', 'a', 'nobody', 'b', '--json'])
  t.equal(started.code, 3)
  t.match(JSON.parse(started.stdout), { items: [{ kind: 'operation', status: { state: 'done' } }, { code: 'NOT_FOUND', status: 404 }, { kind: 'operation' }] })
  t.equal((await truth.domains('node1')).filter((domain) => domain.pid !== null).length, 2)
  const deleted = await cli(['vm', 'delete', 'a', 'b', '--yes', '--force'])
  t.equal(deleted.stdout, 'a: delete done\nb: delete done\n')
  t.same(await truth.domains('node1'), [])
})

await t.test('bad input changes nothing and says why', async (t) => {
  await document(['vm', 'create', 'kept', '--image', 'tiny', '--memory', '128', '--node', 'node1'])
  const before = await everything()
  const junk = join(home, 'junk.img')
  writeFileSync(junk, Buffer.alloc(4096, 0x5a))
  const { env } = { env: { NOVACRON_TOKEN: 'nct_of-nobody' } }
  const refused: readonly (readonly [readonly string[], number, string, Options?])[] = [
    [['vm', 'create', 'kept'], 5, 'NAME_TAKEN'],
    [['vm', 'create', '<script>'], 5, 'INVALID'],
    [['vm', 'create', 'x', '--image', 'nothing'], 5, 'REFERENCE_MISSING'],
    [['vm', 'create', 'x', '--node', 'nowhere'], 5, 'REFERENCE_MISSING'],
    [['vm', 'create', 'x', '--image', 'tiny', '--memory', '16000000'], 5, 'NO_FIT'],
    [['vm', 'set', 'kept', '--label', `${'k'.repeat(200)}=v`], 5, 'INVALID'],
    [['vm', 'start', 'nobody'], 3, 'NOT_FOUND'],
    [['vm', 'delete', 'nobody', '--yes'], 3, 'NOT_FOUND'],
    [['vm', 'list', '--filter', 'colour:red'], 5, 'INVALID'],
    [['image', 'import', 'junk', junk], 5, 'IMAGE_UNREADABLE'],
    [['image', 'import', 'wrong', join(lab.dir, 'tiny.qcow2'), '--sha256', 'a'.repeat(64)], 5, 'IMAGE_CHECKSUM'],
    [['image', 'delete', 'tiny', '--yes'], 5, 'IN_USE'],
    [['vm', 'list'], 4, 'UNAUTHENTICATED', { env }],
    [['vm', 'create', 'x'], 4, 'UNAUTHENTICATED', { env }],
    [['vm', 'list'], 6, 'UNREACHABLE', { env: { NOVACRON_URL: 'https://127.0.0.1:9' } }],
    [['vm', 'list'], 6, 'UNREACHABLE', { env: { NOVACRON_CA: '' } }],
    [['vm', 'create', 'x', '--cpus', 'many'], 2, 'USAGE'],
    [['vm', 'crate', 'x'], 2, 'USAGE'],
    [['vm', 'delete', 'kept'], 2, 'USAGE'],
  ]
  for (const [args, code, problem, options] of refused) {
    const ran = await cli([...args, '--json'], options)
    t.equal(ran.code, code, `${args.join(' ').slice(0, 60)} ends with ${code}`)
    t.match(JSON.parse(ran.stdout), { code: problem, detail: /\S/ }, `and says ${problem}, as one document`)
    t.match(ran.stderr, `(${problem})`)
  }
  const dry = await document(['vm', 'set', 'kept', '--cpus', '2', '--dry-run'])
  t.same(dry, { dryRun: true, differences: [{ path: 'spec.cpus', before: 1, after: 2 }] })
  t.equal((await cli(['vm', 'delete', 'kept', '--dry-run'])).code, 0)
  t.same(await everything(), before)
})

await t.test('login keeps a token; later commands need nothing else', async (t) => {
  const bare = { HOME: home, NOVACRON_URL: '', NOVACRON_TOKEN: '', NOVACRON_CA: '' }
  const password = readFileSync(join(lab.dir, 'admin-password'), 'utf8')
  const args = ['login', lab.node('node3').url, '--ca', lab.report?.caFile ?? '', '--user', 'admin', '--password-stdin']
  t.equal((await cli(args, { env: bare, input: 'not the password\n' })).code, 4)
  t.equal((await cli(args, { env: bare, input: password })).code, 0)
  t.equal(statSync(join(home, '.config/novacron/profiles.json')).mode & 0o777, 0o600)
  t.equal((await cli(['node', 'list'], { env: bare })).code, 0)
  t.equal((await cli(['logout'], { env: bare })).code, 0)
  t.equal((await cli(['node', 'list'], { env: bare })).code, 2)
})

await t.test('the host examined over its control socket', async (t) => {
  const socket = join(lab.node('node1').dataDir, 'control.sock')
  const ran = await cli(['doctor', '--socket', socket, '--json'])
  const checks = z.array(z.strictObject({ check: z.string(), outcome: z.enum(['good', 'warning', 'bad']), measured: z.string().min(1), advice: z.string() })).parse(JSON.parse(ran.stdout))
  t.equal(ran.code, checks.some((check) => check.outcome === 'bad') ? 1 : 0)
  t.match(checks.find((check) => check.check === 'libvirt'), { outcome: /good|warning/, measured: /libvirt/ })
  t.match(await document(['cluster', 'status', '--socket', socket]), { clustered: true, name: 'node1', halted: null })
  t.equal((await cli(['cluster', 'init', '--socket', socket])).code, 5, 'it is a member already')
})

await t.test('a reader that goes away ends the command; completion is what bash understands', async (t) => {
  const program = join(import.meta.dirname, '..', '..', 'novacron')
  const piped = await run(['bash', '-c', `set -o pipefail; "${program}" vm list --json | head -c 1 >/dev/null; "${program}" completion bash > "${home}/complete.sh" && bash -n "${home}/complete.sh"`], { env: lab.env('node1') })
  t.match(piped, { code: 0, stderr: '' })
  const complete = `source "${home}/complete.sh"; COMP_WORDS=(novacron vm st); COMP_CWORD=2; _novacron; echo "\${COMPREPLY[*]}"`
  t.equal((await run(['bash', '-c', complete])).stdout, 'start stop\n')
})

await t.test('events are watched through the death of the node that is asked', async (t) => {
  const watching = spawn(join(import.meta.dirname, '..', '..', 'novacron'), ['event', 'watch', '--json', '--kind', 'vm', '--count', '2'], { env: { ...process.env, HOME: home, ...lab.env('node3') }, stdio: ['ignore', 'pipe', 'pipe'] })
  let [seen, told] = ['', '']
  watching.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
  watching.stderr.setEncoding('utf8').on('data', (text: string) => (told += text))
  const { promise: ended, resolve } = Promise.withResolvers<number | null>()
  watching.on('close', resolve)
  await eventually('it watches', 10_000, () => told.includes('watching'))
  await document(['vm', 'set', 'kept', '--label', 'n=1'])
  await eventually('the first event', 10_000, () => seen.split('\n').length === 2)
  await lab.run('kill', 'node3')
  await eventually('a leader is there', 15_000, async () => (await cli(['vm', 'set', 'kept', '--label', 'n=2'])).code === 0)
  t.equal((await lab.run('start', 'node3')).code, 0)
  t.equal(await Promise.race([ended, delay(60_000, 'late')]), 0)
  const events = seen.trimEnd().split('\n').map((line) => JSON.parse(line) as { id: string; name: string })
  t.equal(events.length, 2, 'none twice, none missed')
  t.same(events.map((event) => event.name), ['kept', 'kept'])
})

await t.test('without quorum reads go on, writes end with 6 at once and change nothing', async (t) => {
  t.equal((await lab.run('partition', 'node1|node2,node3')).code, 0)
  await eventually('node 1 knows that it is alone', 20_000, async () => (await cli(['vm', 'set', 'kept', '--label', 'lost=1', '--json'])).stdout.includes('NO_QUORUM'))
  const ran = await cli(['vm', 'create', 'lost', '--json'])
  t.equal(ran.code, 6)
  t.match(JSON.parse(ran.stdout), { code: 'NO_QUORUM', status: 503 })
  // What a read takes is the program's start and the way there, on a machine that has other work: the refusal itself is promised within a second.
  const read = await cli(['vm', 'show', 'kept', '--json'])
  t.ok(ran.ms < Math.max(3000, 1500 + 4 * read.ms), `within ${Math.round(ran.ms)} ms, of which a read takes ${Math.round(read.ms)}`)
  t.equal((await vm('kept')).name, 'kept', 'a read')
  t.equal((await cli(['vm', 'create', 'elsewhere', '--memory', '128'], { at: 'node2' })).code, 0, 'the others go on')
  t.equal((await lab.run('heal')).code, 0)
  await eventually('node 1 has it too', 20_000, async () => (await cli(['vm', 'show', 'elsewhere'])).code === 0)
  t.equal((await cli(['vm', 'show', 'lost'])).code, 3)
})

await t.test('a killed daemon is 6; a VM is made through another node meanwhile', async (t) => {
  await lab.run('kill', 'node2')
  t.equal((await cli(['vm', 'list'], { at: 'node2' })).code, 6)
  await eventually('the others have a leader', 15_000, async () => (await cli(['vm', 'create', 'meanwhile', '--memory', '128', '--node', 'node3'], { at: 'node3' })).code === 0)
  t.equal((await lab.run('start', 'node2')).code, 0)
  await eventually('it caught up', 20_000, async () => (await cli(['vm', 'show', 'meanwhile'], { at: 'node2' })).code === 0)
})

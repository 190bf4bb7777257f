// The cluster is lost in two ways: a quorum for good, and every host. A survivor goes on; a backup becomes another cluster.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { Api, problemOf } from './lab-api.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'
import { Truth } from './lab-truth.ts'

t.setTimeout(480_000)
const files = mkdtempSync(join(tmpdir(), 'nc-b-'))
const sealed = join(files, 'sealed.novabackup')
const bare = join(files, 'bare.novabackup')
const passphraseFile = join(files, 'passphrase')
writeFileSync(passphraseFile, 'correct horse battery staple\n')
let lab = new Lab()
let token = ''
const counts = { before: 0 }

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
  rmSync(files, { recursive: true, force: true })
})

const socketOf = (name: string) => ['--socket', join(lab.node(name).dataDir, 'control.sock')]
const statusSchema = z.object({ clustered: z.boolean(), halted: z.string().nullable(), removed: z.unknown() })
async function statusOf(name: string): Promise<z.infer<typeof statusSchema>> {
  return statusSchema.parse(JSON.parse((await novacron(['node', 'status', ...socketOf(name), '--json'])).stdout))
}
/** Leaves a copy of a file, altered. */
function altered(file: string, change: (bytes: Buffer) => void): string {
  const copy = `${file}.altered`
  const bytes = readFileSync(file)
  change(bytes)
  writeFileSync(copy, bytes)
  return copy
}

void t.test('three hosts are backed up online, from any of them', async (t) => {
  await lab.up(3)
  const api = new Api(lab)
  await api.createVm('node1', 'one', { on: 'node1' })
  await api.createVm('node1', 'two', { on: 'node2' })
  await api.expect(201, 'node1', 'POST', '/api/v1/users', { body: { name: 'mara', spec: {}, password: 'a long enough passphrase' } })
  let going = true
  const acknowledged: string[] = []
  const writer = (async () => {
    for (let at = 0; going; at++) {
      await api.expect(201, 'node3', 'POST', '/api/v1/vms', { body: { name: `w-${at}`, spec: { cpus: 1, memoryMiB: 16 } } })
      acknowledged.push(`w-${at}`)
    }
  })()
  await eventually('writes go on', 20_000, () => acknowledged.length > 5)
  counts.before = acknowledged.length
  const saved = await novacron(['cluster', 'backup', sealed, '--passphrase-file', passphraseFile, '--json'], { env: lab.env('node2') })
  t.equal(saved.code, 0, saved.stderr)
  t.match(JSON.parse(saved.stdout), { sealed: true, node: 'node2' })
  t.equal((await novacron(['cluster', 'backup', bare, '--without-key'], { env: lab.env('node3') })).code, 0)
  going = false
  await writer
  t.equal((await novacron(['cluster', 'backup', bare, '--without-key'], { env: lab.env('node3') })).code, 2, 'a file is not replaced unasked')
  t.equal((await novacron(['cluster', 'backup', join(files, 'third')], { env: lab.env('node3') })).code, 2, 'nobody can be asked for a passphrase')
  const last = await novacron(['cluster', 'backup', '--last', '--json'], { env: lab.env('node1') })
  t.match(JSON.parse(last.stdout), { last: { by: /^admin/, node: 'node3', sealed: false } })
  token = lab.report!.token
})

void t.test('a backup is checked where it lies', async (t) => {
  const verify = async (file: string) => novacron(['cluster', 'backup', '--verify', file, '--json'])
  t.match(JSON.parse((await verify(sealed)).stdout), { intact: true, sealed: true, clusterName: 'novacron' })
  const flipped = await verify(altered(sealed, (bytes) => { bytes[bytes.length >> 1]! ^= 1 }))
  t.equal(flipped.code, 5)
  t.match(flipped.stderr, /BACKUP_DAMAGED/)
  const short = altered(bare, () => undefined)
  truncateSync(short, 30_000)
  t.match((await verify(short)).stderr, /cut short/)
  t.notMatch(readFileSync(sealed), /mara/)
})

void t.test('a cluster is not recovered while a quorum answers', async (t) => {
  const refused = await novacron(['cluster', 'recover', '--others-are-off', '--yes', ...socketOf('node1')])
  t.equal(refused.code, 5)
  t.match(refused.stderr, /quorum/)
  await lab.run('kill', 'node3')
  t.equal((await novacron(['cluster', 'recover', '--others-are-off', '--yes', ...socketOf('node1')])).code, 5, 'two of three are a quorum')
  // Cut off from a majority, a node must not go on alone; but it cannot know that: only the operator's word stands between.
  t.equal((await novacron(['cluster', 'recover', ...socketOf('node1')])).code, 5)
})

void t.test('two of three are lost for good: the third goes on, by the word of root', async (t) => {
  const api = new Api(lab)
  const truth = new Truth(lab)
  const one = await api.vm('node1', 'one')
  const { pid } = (await truth.domain('node1', one.id))!
  await lab.run('kill', 'node2')
  await eventually('the quorum is lost', 20_000, async () => !(await api.cluster('node1')).quorum)
  const plan = await novacron(['cluster', 'recover', '--dry-run', '--json', ...socketOf('node1')])
  t.equal(plan.code, 0, plan.stderr)
  t.match(JSON.parse(plan.stdout), { dryRun: true, epoch: 2, droppedNodes: ['node2', 'node3'], lostVms: ['two'], members: [{ name: 'node2', voter: true, answers: false }, { name: 'node3', answers: false }] })
  t.equal((await novacron(['cluster', 'recover', '--yes', ...socketOf('node1')])).code, 2, 'not without the word')
  t.equal((await api.cluster('node1')).quorum, false, 'nothing was changed')
  const done = await novacron(['cluster', 'recover', '--others-are-off', '--yes', '--json', ...socketOf('node1')])
  t.equal(done.code, 0, done.stderr)
  const view = await api.cluster('node1')
  t.match(view, { quorum: true, leader: 'node1', voters: ['node1'], learners: [] })
  await api.expect(201, 'node1', 'POST', '/api/v1/vms', { body: { name: 'after', spec: { cpus: 1, memoryMiB: 16 } } })
  t.equal((await truth.domain('node1', one.id))?.pid, pid, 'its own VM has run on')
  t.equal((await api.vm('node1', 'one')).status.phase, 'running')
  t.match((await api.vm('node1', 'two')).status, { phase: 'unknown', node: null })
  t.match((await api.all('node1', 'audit'))[0], {})
  t.ok((await api.all('node1', 'audit')).some((record) => record['command'] === 'cluster.recover'))
})

void t.test('the old members come back, both: they are refused, and form no cluster', async (t) => {
  const api = new Api(lab)
  await Promise.all([lab.run('start', 'node2'), lab.run('start', 'node3')])
  for (const name of ['node2', 'node3']) await eventually(`${name} is told`, 30_000, async () => (await statusOf(name).catch(() => null))?.halted?.includes('founded anew on node1 at epoch 2') === true)
  for (const name of ['node2', 'node3']) {
    const refused = await api.call(name, 'POST', '/api/v1/vms', { body: { name: `of-${name}`, spec: { cpus: 1, memoryMiB: 16 } } })
    t.match(problemOf(refused).code, /NO_QUORUM|STATE_CONFLICT/)
  }
  t.match(await api.cluster('node1'), { quorum: true, nodes: 1 })
  const { pid } = (await lab.status()).nodes.find((node) => node.name === 'node2')!
  process.kill(pid!, 'SIGKILL')
  await eventually('also after a restart', 30_000, async () => {
    const now = (await lab.status()).nodes.find((node) => node.name === 'node2')?.pid
    return now !== pid && (await statusOf('node2').catch(() => null))?.halted?.includes('founded anew') === true
  })
})

void t.test('they leave and join anew', async (t) => {
  const api = new Api(lab)
  for (const name of ['node2', 'node3']) {
    const left = await novacron(['cluster', 'leave', '--yes', ...socketOf(name)])
    t.equal(left.code, 0, left.stderr)
    t.match(await statusOf(name), { clustered: false, halted: null })
    const made = z.object({ token: z.string() }).parse(JSON.parse((await novacron(['cluster', 'token', 'create', '--json'], { env: lab.env('node1') })).stdout))
    const joined = await novacron(['cluster', 'join', made.token, ...socketOf(name)], { timeoutMs: 90_000 })
    t.equal(joined.code, 0, joined.stderr)
  }
  await eventually('three vote', 40_000, async () => (await api.cluster('node1')).voters.length === 3)
  t.match((await api.vm('node3', 'after')).status.phase, 'stopped')
})

void t.test('a backup of the lost lab becomes another cluster', async (t) => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
  lab = new Lab()
  await lab.up(4, 1)
  const restore = async (name: string, file: string, ...args: readonly string[]) => await novacron(['cluster', 'restore', file, '--json', ...args, ...socketOf(name)], { timeoutMs: 90_000 })
  const member = await restore('node1', sealed, '--passphrase-file', passphraseFile, '--yes')
  t.equal(member.code, 5)
  t.match(member.stderr, /ALREADY_MEMBER/)
  writeFileSync(join(files, 'wrong'), 'correct horse battery stable\n')
  const wrong = await restore('node2', sealed, '--passphrase-file', join(files, 'wrong'), '--yes')
  t.equal(wrong.code, 5)
  t.match(wrong.stderr, /PASSPHRASE_WRONG/)
  t.match((await restore('node2', altered(sealed, (bytes) => { bytes[bytes.length - 2000]! ^= 4 }), '--passphrase-file', passphraseFile, '--yes')).stderr, /BACKUP_DAMAGED/)
  t.equal((await statusOf('node2')).clustered, false, 'nothing was changed')
  const dry = await restore('node2', sealed, '--passphrase-file', passphraseFile, '--dry-run')
  t.equal(dry.code, 0, dry.stderr)
  t.match(JSON.parse(dry.stdout), { dryRun: true, keptAuthority: true, droppedNodes: ['node1', 'node2', 'node3'], lostImages: ['tiny'], records: { user: 2 } })
  t.equal((await statusOf('node2')).clustered, false, 'a dry run changes nothing')
  const done = await restore('node2', sealed, '--passphrase-file', passphraseFile, '--yes')
  t.equal(done.code, 0, done.stderr)
  const { caCertificate } = z.object({ caCertificate: z.string() }).parse(JSON.parse(done.stdout))
  const report = lab.report!
  writeFileSync(join(files, 'ca.pem'), caCertificate)
  lab.report = { ...report, token, caFile: join(files, 'ca.pem') }
  const api = new Api(lab)
  const vms = (await api.all('node2', 'vms')).map((vm) => String(vm['name']))
  for (const name of ['one', 'two', ...Array.from({ length: counts.before }, (_, at) => `w-${at}`)]) t.ok(vms.includes(name), name)
  t.notOk(vms.includes('after'))
  t.same((await api.all('node2', 'users')).map((user) => String(user['name'])).toSorted(), ['admin', 'mara'])
  const signedIn = await api.call('node2', 'POST', '/api/v1/session', { token: null, body: { name: 'mara', password: 'a long enough passphrase' }, headers: { origin: lab.node('node2').url } })
  t.ok(signedIn.status < 300, signedIn.text)
  t.match((await api.vm('node2', 'one')).status, { phase: 'unknown', node: null })
  t.ok((await api.all('node2', 'audit')).some((record) => record['command'] === 'cluster.restore'))
})

void t.test('it grows, and its VMs begin anew by the word that their hosts are off', async (t) => {
  const api = new Api(lab)
  const made = z.object({ token: z.string() }).parse(JSON.parse((await novacron(['cluster', 'token', 'create', '--json'], { env: lab.env('node2') })).stdout))
  const joined = await novacron(['cluster', 'join', made.token, ...socketOf('node3')], { timeoutMs: 90_000 })
  t.equal(joined.code, 0, joined.stderr)
  const imported = await novacron(['image', 'import', 'tiny', join(lab.dir, 'tiny.qcow2')], { env: lab.env('node2'), timeoutMs: 90_000 })
  t.equal(imported.code, 0, imported.stderr)
  const recovered = await novacron(['vm', 'recover', 'one', '--host-is-off', '--node', 'node3', '--yes'], { env: lab.env('node2'), timeoutMs: 120_000 })
  t.equal(recovered.code, 0, recovered.stderr)
  t.match((await api.vm('node3', 'one')).status, { phase: 'running', node: 'node3' })
})

void t.test('without its key it makes a new authority, and everything else is there', async (t) => {
  const done = await novacron(['cluster', 'restore', bare, '--yes', '--json', ...socketOf('node4')], { timeoutMs: 90_000 })
  t.equal(done.code, 0, done.stderr)
  const answer = z.object({ caCertificate: z.string(), keptAuthority: z.boolean(), notes: z.array(z.string()) }).parse(JSON.parse(done.stdout))
  t.equal(answer.keptAuthority, false)
  t.match(answer.notes.join(), /Lost are the cluster's authority/)
  t.not(answer.caCertificate, readFileSync(join(files, 'ca.pem'), 'utf8'))
  writeFileSync(join(files, 'ca4.pem'), answer.caCertificate)
  lab.report = { ...lab.report!, caFile: join(files, 'ca4.pem') }
  const api = new Api(lab)
  t.ok((await api.all('node4', 'vms')).some((vm) => vm['name'] === 'two'))
  await api.expect(201, 'node4', 'POST', '/api/v1/vms', { body: { name: 'new', spec: { cpus: 1, memoryMiB: 16 } } })
})

// The life of a VM by the command line on a whole node: use cases, Raft, state, controllers; only disk, network and hypervisor are simulated.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { echoDisk } from '../../contract/boot-sector.ts'
import { serve, type Json, type Served } from '../http/harness.ts'
import { startRealNode, type RealNode } from '../http/real-node.ts'
import { emptyHome, run, type Surroundings } from './terminal.ts'

let real: RealNode
let served: Served
let env: Readonly<Record<string, string>>
const directory = mkdtempSync(join(tmpdir(), 'nc-whole-'))

beforeAll(async () => {
  real = await startRealNode({ cpus: 4, memoryMiB: 4096 })
  served = await serve({ app: real.node.app })
  const caFile = join(directory, 'ca.pem')
  writeFileSync(caFile, served.certPem)
  env = { ...emptyHome(), NOVACRON_URL: served.origin, NOVACRON_TOKEN: real.token, NOVACRON_CA: caFile }
}, 30_000)
afterAll(async () => {
  await served.http.stop()
  await real.stop()
  rmSync(directory, { recursive: true, force: true })
})

const cli = (argv: readonly string[], more: Surroundings = {}) => run(argv, { env, ...more })
async function must(argv: readonly string[], more: Surroundings = {}): Promise<Json> {
  const ran = await cli([...argv, '--json'], more)
  expect(ran.code, `${argv.join(' ')}: ${ran.stderr}`).toBe(0)
  return ran.json
}
const index = () => real.node.cluster.state.index
const states = () => real.machine.domains().map((domain) => domain.state)

test('from an image to nothing: import, create, start, edit, pause, restart, rename, stop, delete', async () => {
  const file = join(directory, 'disk.raw')
  writeFileSync(file, echoDisk())
  expect(await must(['image', 'import', 'tiny', file])).toMatchObject({ kind: 'image', name: 'tiny', status: { nodes: ['n1'] } })
  const created = await must(['vm', 'create', 'web', '--image', 'tiny', '--disk', '1', '--node', 'n1', '--label', 'tier=front', '--start'])
  expect(created).toMatchObject({ kind: 'vm', labels: { tier: 'front' }, spec: { cpus: 1, memoryMiB: 512, disks: [{ name: 'root', image: 'tiny', sizeGiB: 1 }], nics: [{ network: 'nat' }] }, status: { phase: 'running', node: 'n1' } })
  expect(states()).toEqual(['running'])
  expect((await must(['vm', 'list', '--filter', 'label:tier=front phase:running'])).items).toHaveLength(1)
  expect(await must(['vm', 'set', 'web', '--cpus', '2', '--label', 'tier-', '--label', 'a=b'])).toMatchObject({ labels: { a: 'b' }, spec: { cpus: 2 } })
  expect(await must(['vm', 'pause', 'web'])).toMatchObject({ kind: 'operation', status: { state: 'done' } })
  expect(states()).toEqual(['paused'])
  await must(['vm', 'resume', 'web'])
  await must(['vm', 'restart', 'web', '--force'])
  await must(['vm', 'reset', 'web'])
  await must(['vm', 'rename', 'web', 'shop'])
  expect(states()).toEqual(['running'])
  expect(await must(['vm', 'stop', 'shop', '--timeout', '20'])).toMatchObject({ status: { state: 'done' } })
  expect((await must(['vm', 'show', 'shop'])).status.phase).toBe('stopped')
  expect(await must(['operation', 'list', '--filter', 'operation:vm-stop'])).toMatchObject({ total: 1, items: [{ status: { state: 'done', actor: expect.stringContaining('admin') } }] })
  expect((await cli(['image', 'delete', 'tiny', '--yes'])).code).toBe(5)
  expect(await must(['vm', 'delete', 'shop', '--yes'])).toMatchObject({ status: { state: 'done' } })
  expect((await cli(['vm', 'show', 'shop'])).code).toBe(3)
  expect(states()).toEqual([])
  expect(await must(['image', 'delete', 'tiny', '--yes'])).toEqual({ name: 'tiny', deleted: true })
  expect((await must(['audit', 'list', '--filter', 'command:vm.delete'])).items).toMatchObject([{ target: 'shop', outcome: 'done' }])
  expect((await must(['event', 'list', '--filter', 'kind:vm', '--limit', '1'])).items).toMatchObject([{ name: 'shop', type: 'deleted' }])
})

test('what is refused leaves the state as it was, and says which field is wrong', async () => {
  await must(['vm', 'create', 'taken'])
  const before = index()
  const refusals: readonly (readonly [readonly string[], number, string])[] = [
    [['vm', 'create', 'taken'], 5, 'NAME_TAKEN'],
    [['vm', 'create', '<b>'], 5, 'INVALID'],
    [['vm', 'create', 'x', '--image', 'missing'], 5, 'REFERENCE_MISSING'],
    [['vm', 'create', 'x', '--node', 'missing'], 5, 'REFERENCE_MISSING'],
    [['vm', 'create', 'x', '--cpus', '64', '--start'], 5, 'NO_FIT'],
    [['vm', 'set', 'nobody', '--cpus', '2'], 3, 'NOT_FOUND'],
    [['vm', 'start', 'nobody'], 3, 'NOT_FOUND'],
    [['vm', 'list', '--sort', 'colour'], 5, 'INVALID'],
    [['user', 'delete', 'nobody', '--yes'], 3, 'NOT_FOUND'],
    [['cluster', 'token', 'revoke', 'nobody'], 3, 'NOT_FOUND'],
  ]
  for (const [argv, code, problem] of refusals) expect(await cli([...argv, '--json']), argv.join(' ')).toMatchObject({ code, json: { code: problem } })
  // Refused commands are kept for the audit, so the index alone may rise.
  expect((await must(['vm', 'list'])).items.map((vm: Json) => vm.name)).toEqual(['taken'])
  const dry = await must(['vm', 'set', 'taken', '--cpus', '2', '--memory', '1024', '--dry-run'])
  expect(dry).toEqual({ dryRun: true, differences: [{ path: 'spec.cpus', before: 1, after: 2 }, { path: 'spec.memoryMiB', before: 512, after: 1024 }] })
  const after = index()
  expect((await must(['vm', 'create', 'dry', '--dry-run'])).dryRun).toBe(true)
  expect((await must(['vm', 'delete', 'taken', '--dry-run'])).dryRun).toBe(true)
  expect((await must(['vm', 'start', 'taken', '--dry-run'])).dryRun).toBe(true)
  expect(index()).toBe(after)
  expect(after).toBeGreaterThanOrEqual(before)
  expect((await must(['vm', 'show', 'taken'])).spec).toMatchObject({ cpus: 1, runState: 'stopped' })
})

test('users, tokens and login on the real thing', async () => {
  const home = emptyHome()
  const at = { ...home, NOVACRON_CA: env['NOVACRON_CA']! }
  expect(await must(['user', 'create', 'anna', '--role', 'viewer', '--password-stdin'], { input: 'a password of anna\n' })).toMatchObject({ name: 'anna', spec: { bindings: [{ role: 'viewer', scope: 'cluster' }] } })
  expect((await run(['login', served.origin, '--user', 'anna', '--password-stdin'], { env: at, input: 'not this one\n' })).code).toBe(4)
  expect((await run(['login', served.origin, '--user', 'anna', '--password-stdin'], { env: at, input: 'a password of anna\n' })).code).toBe(0)
  expect((await run(['vm', 'list'], { env: home })).code).toBe(0)
  expect(await run(['vm', 'create', 'hers', '--json'], { env: home })).toMatchObject({ code: 4, json: { code: 'FORBIDDEN' } })
  expect((await run(['audit', 'list'], { env: home })).code).toBe(4)
  const { id } = (await run(['token', 'list', '--json'], { env: home })).json.items[0]
  expect((await run(['logout'], { env: home })).code).toBe(0)
  expect((await cli(['token', 'list', '--json'])).json.items.filter((token: Json) => token.id === id && token.status.revoked === false)).toEqual([])
  const made = await must(['token', 'create', 'ci', '--days', '2'])
  expect(made.secret).toMatch(/^nct_/)
  expect((await run(['vm', 'list'], { env: { ...env, NOVACRON_TOKEN: made.secret } })).code).toBe(0)
  expect(await must(['token', 'revoke', 'ci'])).toEqual({ name: 'ci', revoked: true })
  expect((await run(['vm', 'list'], { env: { ...env, NOVACRON_TOKEN: made.secret } })).code).toBe(4)
  expect((await cli(['user', 'password', 'admin', '--password-stdin'], { input: `another good one\nwrong\n` })).code).toBe(5)
  expect((await cli(['user', 'password', 'admin', '--password-stdin'], { input: `another good one\n${real.password}\n` })).code).toBe(0)
  expect(await must(['user', 'delete', 'anna', '--yes'])).toEqual({ name: 'anna', deleted: true })
  rmSync(home.HOME, { recursive: true })
})

test('join tokens are made, listed and revoked', async () => {
  expect(await must(['cluster', 'token', 'create', '--life', '60', '--dry-run'])).toEqual({ dryRun: true, differences: [{ path: '', before: null, after: { lifeSeconds: 60 } }] })
  expect((await must(['cluster', 'token', 'list'])).items).toEqual([])
  const made = await must(['cluster', 'token', 'create', '--life', '60'])
  expect((await cli(['cluster', 'token', 'revoke', made.id, '--dry-run'])).stdout).toContain('state: valid -> revoked')
  expect(made).toEqual({ id: expect.any(String), token: expect.stringMatching(/^ncj_/), expiresAt: expect.any(String) })
  expect((await must(['cluster', 'token', 'list'])).items).toMatchObject([{ id: made.id, state: 'valid' }])
  await must(['cluster', 'token', 'revoke', made.id])
  expect((await must(['cluster', 'token', 'list'])).items).toMatchObject([{ id: made.id, state: 'revoked' }])
})

test('consensus: how members are, who leads, who votes, a shorter log', async () => {
  const status = await must(['cluster', 'status'])
  expect(status).toMatchObject({ clustered: true, name: 'n1', halted: null, leader: 'n1', quorum: true, stale: false, voters: 1, votersNeeded: 1, timing: { heartbeatMs: 200, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 } })
  expect(status.members).toMatchObject([{ name: 'n1', role: 'leader', voting: 'auto', state: 'leader', reachable: true, stale: false, matchLag: 0, commitLag: 0, lastContactMs: 0, featureLevel: 3 }])
  const shown = (await cli(['cluster', 'status'])).stdout
  expect(shown).toMatch(/^leader n1, term \d+, commit \d+, 1 of 1 votes decide; as n1 sees it\nheartbeat 200 ms, election 1000-2000 ms, a silent voter is replaced after 10 s/)
  expect(shown).toMatch(/NODE +ROLE +STATE +MATCH +LAG +COMMIT LAG +APPLY LAG +CONTACT +DISK +LOOP +LOG +VERSION\nn1 +leader +leader/)
  expect(await cli(['cluster', 'transfer-leader'])).toMatchObject({ code: 5, stderr: expect.stringContaining('no other voter') })
  expect((await must(['cluster', 'transfer-leader', 'n1'])).leader).toBe('n1')
  expect((await cli(['cluster', 'transfer-leader', 'nobody'])).code).toBe(3)
  expect(await cli(['cluster', 'demote', 'n1'])).toMatchObject({ code: 5, stderr: expect.stringContaining('n1 is the only member that may vote') })
  expect((await cli(['cluster', 'promote', 'n1', '--dry-run'])).stdout).toContain('spec.voting: auto -> always')
  expect((await cli(['cluster', 'promote', 'n1'])).stdout).toBe('n1 votes\n')
  expect(await must(['node', 'show', 'n1'])).toMatchObject({ spec: { voting: 'always' } })
  expect((await cli(['cluster', 'promote', 'n1', '--auto'])).stdout).toBe('n1: the cluster decides whether it votes\n')
  const before = (await must(['cluster', 'status'])).members[0]
  const snapshot = await must(['cluster', 'snapshot'])
  expect(snapshot).toMatchObject({ node: 'n1', index: expect.any(Number), entries: expect.any(Number) })
  expect(snapshot.entries).toBeGreaterThanOrEqual(before.logEntries)
  expect((await must(['cluster', 'status'])).members[0].logEntries).toBeLessThan(before.logEntries)
  expect((await cli(['cluster', 'snapshot', 'n1', '--dry-run'])).stdout).toContain('log.firstIndex')
  const audited = (await must(['audit', 'list', '--filter', 'n1'])).items.map((record: Json) => record.command)
  expect(audited).toEqual(expect.arrayContaining(['node.vote', 'node.compact']))
})

test('an operation that nobody could end is cancelled', async () => {
  await must(['vm', 'create', 'deaf', '--start'])
  real.machine.faults.deafRatio = 1
  const begun = await must(['vm', 'stop', 'deaf', '--timeout', '600', '--no-wait'])
  expect(await must(['operation', 'cancel', begun.id])).toMatchObject({ status: { state: 'cancelled' } })
  expect((await must(['vm', 'show', 'deaf'])).status.phase).toBe('running')
  expect((await cli(['operation', 'wait', begun.id, '--json']))).toMatchObject({ code: 1, json: { status: { state: 'cancelled' } } })
  expect((await cli(['vm', 'stop', 'deaf', '--force'])).code).toBe(0)
})

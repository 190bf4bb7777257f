// Bad input and the story of one VM through a whole node: page → API → command → log → apply → controller → hypervisor → status.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeJoinToken } from '../../../src/drivers/crypto/secrets.ts'
import { serve, type Ask, type Json, type Served } from './harness.ts'
import { joinRequest, startRealNode, type RealNode } from './real-node.ts'

let real: RealNode
let served: Served
const api = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })
const post = (path: string, json: unknown, options: Ask = {}) => api(path, { method: 'POST', json, ...options })
const web = (name: string, spec: object = {}) => ({ name, spec: { cpus: 1, memoryMiB: 64, ...spec } })
/** A disk that boots nothing: a raw file with a boot sector. */
const rawImage = () => {
  const bytes = Buffer.alloc(1024 * 1024)
  bytes.set([0x55, 0xaa], 510)
  return bytes
}

beforeAll(async () => {
  real = await startRealNode()
  served = await serve({ app: real.node.app })
})
afterAll(async () => {
  await served.http.stop()
  await real.stop()
})

/** What bad input must leave alone. */
function snapshotOf() {
  return { index: real.node.cluster.state.index, vms: real.node.cluster.state.tables.vm.size, domains: real.machine.domains().map((domain) => domain.id), volumes: [...real.pool.volumes.keys()], images: [...real.pool.images.keys()] }
}
/** Nothing of its own is under way in the cluster any more. */
async function quiet() {
  let before = -1
  for (let turn = 0; turn < 300; turn++) {
    const { index } = real.node.cluster.state
    const busy = [...real.node.cluster.state.tables.operation.values()].some((operation) => operation.endedMs === null)
    if (index === before && !busy && real.node.cluster.state.tables.cluster.get('cluster')?.observation !== undefined) return
    before = index
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  throw new Error('the cluster never came to rest')
}

const joinBy = async (name: string, token: string) => served.ask('/api/v1/cluster/join', { method: 'POST', token, json: await joinRequest(name, token) })

describe('one VM', () => {
  test('is imported for, created, started, listed, changed, stopped and deleted', async () => {
    const image = await api('/images?name=disk', { method: 'POST', body: rawImage(), headers: { 'Content-Type': 'application/octet-stream' } })
    expect(image).toMatchObject({ status: 201, json: { kind: 'image', name: 'disk' } })
    const created = await post('/vms', web('web', { runState: 'running', disks: [{ name: 'root', image: 'disk', sizeGiB: 1 }] }), { headers: { Prefer: 'wait=20' } })
    expect(created).toMatchObject({ status: 201, json: { kind: 'vm', name: 'web', status: { phase: 'running', node: 'n1' } } })
    expect(created.headers.location).toBe(`/api/v1/vms/${created.json.id}`)
    expect(real.machine.domains().map((domain) => domain.id)).toContain(created.json.id)
    expect((await api('/vms?filter=phase:running')).json.items.map((vm: Json) => vm.name)).toEqual(['web'])
    const explained = await api('/vms/web/explain')
    expect(explained).toMatchObject({ status: 200, json: { summary: 'web is running on n1, as it shall be.', reasons: expect.arrayContaining([expect.objectContaining({ topic: 'place', text: expect.stringContaining('the only node that fits') })]) } })
    expect(await post('/vms?dryRun=true', web('other'))).toMatchObject({ status: 200, json: { dryRun: true, placement: { node: 'n1', considered: [{ node: 'n1', fits: true }] } } })
    expect(await post('/vms/web/restart?dryRun=true', {})).toMatchObject({ status: 200, json: { differences: [{ path: 'status.operation', before: null, after: 'vm-restart' }] } })
    expect(await api('/vms/web?dryRun=true', { method: 'DELETE' })).toMatchObject({ status: 200, json: { differences: expect.arrayContaining([{ path: 'name', before: 'web', after: null }]) } })
    expect(await post('/vms/web/recover', { hostIsOff: true })).toMatchObject({ status: 409, json: { code: 'STATE_CONFLICT' } })
    expect(await post('/vms/web/recover', {})).toMatchObject({ status: 422 })
    const shown = await api('/vms/web')
    expect((await api('/vms/web', { method: 'PUT', json: { ...shown.json, labels: { tier: 'front' } } })).json.labels).toEqual({ tier: 'front' })
    const stopped = await post('/vms/web/stop', { force: true }, { headers: { Prefer: 'wait=20' } })
    expect(stopped).toMatchObject({ status: 202, json: { kind: 'operation', status: { state: 'done' } } })
    expect(await api(stopped.headers.location?.replace('/api/v1', '') ?? '')).toMatchObject({ status: 200, json: { id: stopped.json.id } })
    const gone = await api('/vms/web', { method: 'DELETE', headers: { Prefer: 'wait=20' } })
    expect(gone).toMatchObject({ status: 202, json: { status: { state: 'done' } } })
    expect(await api('/vms/web')).toMatchObject({ status: 404 })
    expect(real.machine.domains()).toEqual([])
    expect(real.pool.volumes.size).toBe(0)
    const audit = (await api('/audit')).json.items.map((record: Json) => record.command)
    expect(audit).toEqual(expect.arrayContaining(['vm.create', 'vm.replace', 'vm.stop', 'vm.delete']))
  })
})

describe('bad input changes nothing', () => {
  let vm: Json
  beforeAll(async () => {
    vm = (await post('/vms', web('base'))).json
    await quiet()
    vm = (await api('/vms/base')).json
  })
  const cases: readonly [string, () => Promise<{ status: number; json: Json }>, number, string][] = [
    ['unknown fields', () => post('/vms', { ...web('x'), colour: 'red' }), 422, 'INVALID'],
    ['unknown fields of the spec', () => post('/vms', web('x', { colour: 'red' })), 422, 'INVALID'],
    ['wrong types', () => post('/vms', web('x', { cpus: '1' })), 422, 'INVALID'],
    ['numbers out of range', () => post('/vms', web('x', { cpus: 0, memoryMiB: 1e15 })), 422, 'INVALID'],
    ['a name with markup', () => post('/vms', web('<b>x</b>')), 422, 'INVALID'],
    ['a name shaped like an id', () => post('/vms', web('01890a5d-ac96-774b-bcce-b302099a8057')), 422, 'INVALID'],
    ['a name too long', () => post('/vms', web('x'.repeat(64))), 422, 'INVALID'],
    ['user data over 64 KiB', () => post('/vms', web('x', { cloudInit: { userData: 'x'.repeat(65_537) } })), 422, 'INVALID'],
    ['__proto__', () => api('/vms', { method: 'POST', body: '{"__proto__":{"x":1},"name":"x","spec":{"cpus":1,"memoryMiB":64}}', headers: { 'Content-Type': 'application/json' } }), 422, 'INVALID'],
    ['20 MB', () => api('/vms', { method: 'POST', body: '{', headers: { 'Content-Type': 'application/json', 'Content-Length': String(20 * 1024 * 1024) } }), 413, 'BODY_TOO_LARGE'],
    ['nested 200,000 deep', () => api('/vms', { method: 'POST', body: '['.repeat(200_000), headers: { 'Content-Type': 'application/json' } }), 400, 'MALFORMED'],
    ['a patch nested 60 deep', () => api('/vms/base', { method: 'PATCH', body: `{"spec":${'{"a":'.repeat(60)}1${'}'.repeat(61)}`, headers: { 'Content-Type': 'application/merge-patch+json' } }), 422, 'INVALID'],
    ['an image that is no image', () => api('/images?name=junk', { method: 'POST', body: 'this is text, no disk', headers: { 'Content-Type': 'application/octet-stream' } }), 422, 'IMAGE_UNREADABLE'],
    ['an image with another checksum', () => api(`/images?name=junk&sha256=${'0'.repeat(64)}`, { method: 'POST', body: rawImage(), headers: { 'Content-Type': 'application/octet-stream' } }), 422, 'IMAGE_CHECKSUM'],
    ['an image name with markup', () => api('/images?name=%3Cb%3E', { method: 'POST', body: rawImage(), headers: { 'Content-Type': 'application/octet-stream' } }), 422, 'INVALID'],
    ['an image that is missing', () => post('/vms', web('x', { disks: [{ name: 'root', image: 'nothing' }] })), 422, 'REFERENCE_MISSING'],
    ['a node that is missing', () => post('/vms', web('x', { placement: { node: 'nothing' } })), 422, 'REFERENCE_MISSING'],
    ['a VM that fits no node', () => post('/vms', web('x', { memoryMiB: 1024 * 1024 })), 422, 'NO_FIT'],
    ['a name that is taken', () => post('/vms', web('base')), 409, 'NAME_TAKEN'],
    ['a stale If-Match', () => api('/vms/base', { method: 'PATCH', json: { labels: { a: 'b' } }, headers: { 'If-Match': '"1"' } }), 412, 'PRECONDITION_FAILED'],
    ['a stale revision in the body', () => api('/vms/base', { method: 'PUT', json: { ...vm, revision: 1, labels: { a: 'b' } } }), 409, 'REVISION_STALE'],
    ['an action on nothing', () => post('/vms/nothing/start', {}), 404, 'NOT_FOUND'],
    ['an action with unknown input', () => post('/vms/base/stop', { hard: true }), 422, 'INVALID'],
    ['a dry run', async () => ({ ...(await post('/vms?dryRun=true', web('x'))), json: { code: 'none' } }), 200, 'none'],
    ['a join token that is none', () => served.ask('/api/v1/cluster/join', { method: 'POST', token: 'ncj_nonsense', json: {} }), 403, 'TOKEN_INVALID'],
    ['a join with another cluster\'s token', async () => joinBy('n2', encodeJoinToken({ c: 'another', t: vm.id, s: 'secret', f: 'f', a: ['x:1'] })), 403, 'TOKEN_OTHER_CLUSTER'],
    ['a join with a secret that is wrong', async () => joinBy('n2', encodeJoinToken({ c: real.clusterId, t: vm.id, s: 'secret', f: 'f', a: ['x:1'] })), 403, 'TOKEN_INVALID'],
    ['an API token that was never made', () => served.ask('/api/v1/vms', { token: 'nct_nonsense', method: 'POST', json: web('x') }), 401, 'UNAUTHENTICATED'],
    ['a wrong password', () => served.ask('/api/v1/session', { token: null, method: 'POST', json: { name: 'admin', password: 'wrong' } }), 401, 'SIGN_IN_FAILED'],
    ['a session that was made up', () => served.ask('/api/v1/vms', { token: null, headers: { Cookie: '__Host-novacron=eyJhbGciOiJub25lIn0.e30.' } }), 401, 'UNAUTHENTICATED'],
    ['an event id of another history', () => api('/events?watch=true&after=99999999.0'), 503, 'NO_QUORUM'],
    ['an unknown sort', () => api('/vms?sort=colour'), 422, 'INVALID'],
    ['a cursor that is none', () => api('/vms?after=nonsense'), 422, 'INVALID'],
    ['a password that is too short', () => post('/users', { name: 'bob', spec: {}, password: 'short' }), 422, 'INVALID'],
  ]
  test.each(cases)('%s', async (_name, send, status, code) => {
    await quiet()
    const before = snapshotOf()
    const answer = await send()
    expect(answer, JSON.stringify(answer.json)).toMatchObject({ status, json: { code } })
    expect(snapshotOf()).toEqual(before)
    expect((await api('/vms/base')).json.revision).toBe(vm.revision)
  })
})

describe('retries', () => {
  test('the same key and request is done once; another request with it is 422', async () => {
    const once = { headers: { 'Idempotency-Key': 'key-1' } }
    const first = await post('/vms', web('once'), once)
    expect(first.status).toBe(201)
    const again = await post('/vms', web('once'), once)
    expect(again).toMatchObject({ status: 201, json: { id: first.json.id } })
    await quiet()
    const before = snapshotOf()
    expect(await post('/vms', web('other'), once)).toMatchObject({ status: 422, json: { code: 'IDEMPOTENCY_MISMATCH' } })
    expect(snapshotOf()).toEqual(before)
    expect((await api('/vms?filter=once')).json.total).toBe(1)
  })
})

describe('join tokens', () => {
  test('serve once, not after their time, not after they were revoked', async () => {
    const made = await post('/cluster/join-tokens', {})
    expect(made).toMatchObject({ status: 201, json: { token: expect.stringMatching(/^ncj_/) } })
    const revoked = await post('/cluster/join-tokens', {})
    expect((await api(`/cluster/join-tokens/${revoked.json.id}`, { method: 'DELETE' })).status).toBe(204)
    const join = (token: string, name: string) => joinBy(name, token)
    expect(await join(revoked.json.token, 'n3')).toMatchObject({ status: 403, json: { code: 'TOKEN_INVALID' } })
    const short = await post('/cluster/join-tokens', { lifeSeconds: 1 })
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    expect(await join(short.json.token, 'n3')).toMatchObject({ status: 403, json: { code: 'TOKEN_EXPIRED' } })
    expect((await api(`/cluster/join-tokens/${short.json.id}`)).json.state).toBe('expired')
    expect(await served.ask('/api/v1/cluster/join', { method: 'POST', token: made.json.token, json: { nothing: true } })).toMatchObject({ status: 422, json: { code: 'INVALID' } })
    expect(JSON.stringify(real.lines) + JSON.stringify(served.lines)).not.toContain(made.json.token)
  })
})

describe('faults of the host', () => {
  test('a full disk', async () => {
    await quiet()
    real.pool.faults.capacityBytes = 1
    const before = snapshotOf()
    expect(await api('/images?name=late', { method: 'POST', body: rawImage(), headers: { 'Content-Type': 'application/octet-stream' } })).toMatchObject({ status: 507, json: { code: 'STORAGE_FULL' } })
    expect(snapshotOf()).toEqual(before)
    real.pool.faults.capacityBytes = 2 ** 40
  })
  test('a killed libvirtd', async () => {
    await quiet()
    real.machine.setReachable(false)
    const answer = await post('/vms/base/start', {}, { headers: { Prefer: 'wait=3' } })
    expect([202, 503]).toContain(answer.status)
    if (answer.status === 202) expect(answer.json.status.state).not.toBe('done')
    expect(real.machine.domains().filter((domain) => domain.state === 'running')).toEqual([])
    real.machine.setReachable(true)
    for (let turn = 0; turn < 200 && (await api('/vms/base')).json.status.phase !== 'running'; turn++) await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await api('/vms/base')).json.status.phase).toBe('running')
  })
})

describe('credentials', () => {
  test('a revoked token is nothing at once', async () => {
    const made = await post('/tokens', { name: 'ci' })
    expect(made).toMatchObject({ status: 201, json: { secret: expect.stringMatching(/^nct_/) } })
    expect((await served.ask('/api/v1/vms', { token: made.json.secret })).status).toBe(200)
    expect((await api('/tokens/ci')).text).not.toContain('nct_')
    expect((await api('/tokens/ci', { method: 'DELETE' })).status).toBe(204)
    expect((await served.ask('/api/v1/vms', { token: made.json.secret })).status).toBe(401)
  })
  test('a session signs in, writes with its CSRF token, and is over after signing out', async () => {
    const signedIn = await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: real.password } })
    expect(signedIn.status).toBe(201)
    const cookie = String(signedIn.headers['set-cookie']).split(';', 1)[0] ?? ''
    const write = { Cookie: cookie, Origin: served.origin, 'X-CSRF-Token': signedIn.json.csrf }
    expect((await served.ask('/api/v1/vms', { token: null, method: 'POST', json: web('by-session'), headers: write })).status).toBe(201)
    expect((await served.ask('/api/v1/session', { token: null, method: 'DELETE', headers: write })).status).toBe(204)
    expect((await served.ask('/api/v1/vms', { token: null, headers: { Cookie: cookie } })).status).toBe(401)
  })
  test('metrics of a whole node please promtool', async () => {
    const { spawnSync } = await import('node:child_process')
    const { text } = await served.ask('/metrics?scope=cluster', { token: real.token })
    const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect(`${stdout}${stderr}`).toBe('')
    expect(status).toBe(0)
    expect(text).toMatch(/^novacron_/m)
  })
})

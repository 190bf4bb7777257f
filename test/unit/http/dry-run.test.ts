// Made from the table of routes: every write takes ?dryRun=true, changes nothing then and answers with the difference; the few that do not are named here, each with its reason.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schemas } from '../../../src/http/api/schemas.ts'
import { routeTable } from '../../../src/http/api/table.ts'
import type { Route } from '../../../src/http/route.ts'
import { serve, type Ask, type Served } from './harness.ts'
import { startRealNode, type RealNode } from './real-node.ts'

const exceptions: Readonly<Record<string, string>> = {
  signIn: 'it changes no resource: it gives a cookie, and a wrong password counts as one',
  signOut: 'it ends the session that asks; a session of one\'s own is tried by DELETE /sessions/{ref}',
  createConsoleTicket: 'it changes nothing: a ticket for 30 s',
  appendUpload: 'bytes are there or not; what they become is tried when the upload begins and ends',
  join: 'one node speaks to another, with a token for once',
  joinAppliance: 'one node speaks to another, with a token for once',
}

const writes = routeTable(() => new Response()).filter((route) => route.method !== 'GET')
const takesDryRun = (route: Route) => route.query !== undefined && Object.hasOwn(route.query, 'dryRun')

let real: RealNode
let served: Served
const refs: Record<string, string> = { vms: 'web', images: 'disk', nodes: 'n1', projects: 'shop', users: 'bob', tokens: 'ci', roles: 'bob-viewer-cluster' }
const admin = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })
const bodies: Readonly<Record<string, object>> = {
  createVm: { name: 'db', spec: { cpus: 1, memoryMiB: 64 } }, patchVm: { labels: { a: 'b' } }, recoverVm: { hostIsOff: true }, patchImage: { spec: { copies: 1 } },
  importImage: { name: 'far', spec: { source: { url: 'http://203.0.113.1/x' } } }, createUpload: { name: 'big', spec: { sizeBytes: 3 } }, patchNode: { labels: { rack: 'b3' } }, transferLeader: { node: 'n1' }, createUser: { name: 'eve', spec: {}, password: 'a long enough passphrase' },
  patchUser: { spec: { displayName: 'Bob' } }, setPassword: { password: 'another good passphrase' }, grantRole: { spec: { subject: { name: 'bob' }, role: 'operator' } }, createProject: { name: 'store' }, patchProject: { spec: { description: 'x' } }, createToken: { name: 'cd' }, createBackup: { passphrase: 'a long enough passphrase' },
}
/** What cannot be done to what is there, whether tried first or not. */
const refused: Readonly<Record<string, string>> = { pauseVm: 'STATE_CONFLICT', resumeVm: 'STATE_CONFLICT', resetVm: 'STATE_CONFLICT', recoverVm: 'STATE_CONFLICT', migrateVm: 'NO_FIT', removeNode: 'STATE_CONFLICT', admitNode: 'NOT_FOUND', cancelOperation: 'STATE_CONFLICT', restartVm: 'STATE_CONFLICT', importImage: 'SOURCE_REFUSED', demoteNode: 'STATE_CONFLICT' }

beforeAll(async () => {
  real = await startRealNode()
  served = await serve({ app: real.node.app })
  const bytes = Buffer.alloc(1024 * 1024)
  bytes.set([0x55, 0xaa], 510)
  const octets = { 'Content-Type': 'application/octet-stream' }
  const make = async (path: string, options: Ask) => {
    const answer = await admin(path, { method: 'POST', ...options })
    expect(answer.status, answer.text).toBeLessThan(300)
    return answer.json
  }
  await make('/images?name=disk', { body: bytes, headers: octets })
  await make('/projects', { json: { name: 'shop' } })
  await make('/users', { json: { name: 'bob', spec: { bindings: [{ role: 'viewer', scope: 'cluster' }] }, password: 'a long enough passphrase' } })
  await make('/tokens', { json: { name: 'ci' } })
  await make('/vms', { json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
  refs['operations'] = (await make('/vms/web/stop', { json: { force: true }, headers: { Prefer: 'wait=10' } })).id
  refs['cluster'] = (await make('/cluster/join-tokens', { json: {} })).id
  refs['uploads'] = (await make('/uploads', { json: { name: 'part', spec: { sizeBytes: bytes.length } } })).id
  expect((await admin(`/uploads/${refs['uploads']}/data?offset=0`, { method: 'PUT', body: bytes, headers: octets })).status).toBe(200)
  await real.node.app.identity.signIn({ name: 'bob', password: 'a long enough passphrase', address: '192.0.2.7' })
  refs['sessions'] = (await admin('/sessions?filter=user:bob')).json.items[0].id
})
afterAll(async () => {
  await served.http.stop()
  await real.stop()
})

test('every write takes it, but for those that have a reason', () => {
  expect(writes.filter((route) => !takesDryRun(route)).map((route) => route.operationId).toSorted()).toEqual(Object.keys(exceptions).toSorted())
})

describe('tried first', () => {
  /** What writes leave behind. */
  const records = async () => [...(['audit', 'event', 'idempotency'] as const).map((table) => real.node.cluster.state.tables[table].size), (await admin('/uploads')).json.total]
  test.each(writes.filter(takesDryRun).map((route) => ({ name: `${route.method} ${route.path}`, route })))('$name', async ({ route }) => {
    const path = route.path.replaceAll(/\{\w+\}/g, refs[route.path.split('/')[3] ?? ''] ?? 'x')
    const body = bodies[route.operationId] ?? (route.operationId === 'replaceVm' ? (await admin('/vms/web')).json : route.body === undefined ? undefined : {})
    const before = await records()
    const answer = await served.ask(`${path}?dryRun=true`, { token: real.token, method: route.method, ...(body === undefined ? {} : { json: body }) })
    const code = refused[route.operationId]
    if (code === undefined) expect(answer, answer.text).toMatchObject({ status: 200, json: { dryRun: true, differences: expect.any(Array) } })
    else expect(answer.json, answer.text).toMatchObject({ code })
    if (code === undefined) schemas.dryRun.schema.parse(answer.json)
    expect(await records()).toEqual(before)
  })
  test('a join token: its life, and what it is no more', async () => {
    expect((await admin('/cluster/join-tokens?dryRun=true', { method: 'POST', json: { lifeSeconds: 60 } })).json).toEqual({ dryRun: true, differences: [{ path: '', before: null, after: { lifeSeconds: 60 } }] })
    expect((await admin(`/cluster/join-tokens/${refs['cluster']}?dryRun=true`, { method: 'DELETE' })).json.differences).toEqual([{ path: 'state', before: 'valid', after: 'revoked' }])
    expect(await admin('/cluster/join-tokens?dryRun=true', { method: 'POST', json: { lifeSeconds: 0 } })).toMatchObject({ status: 422 })
    expect(await admin(`/cluster/join-tokens/nobody?dryRun=true`, { method: 'DELETE' })).toMatchObject({ status: 404 })
    expect((await admin(`/cluster/join-tokens/${refs['cluster']}`)).json.state).toBe('valid')
  })
})

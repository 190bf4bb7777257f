// Made from the table of routes: every endpoint is called in every role, and what comes back is what the route's declared right says.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { routeTable } from '../../../src/http/api/table.ts'
import type { CallerRoute, Route } from '../../../src/http/route.ts'
import { allows, allowsSomewhere, type RoleBinding, type Verb } from '../../../src/model/role.ts'
import { serve, type Ask, type Served } from './harness.ts'
import { startRealNode, type RealNode } from './real-node.ts'

const people = {
  administrator: [{ role: 'administrator', scope: 'cluster' }],
  operator: [{ role: 'operator', scope: 'cluster' }],
  viewer: [{ role: 'viewer', scope: 'cluster' }],
  operatorOfAnother: [{ role: 'operator', scope: 'project:other' }],
  nobody: [],
} as const satisfies Readonly<Record<string, readonly RoleBinding[]>>
type Person = keyof typeof people
const everybody = Object.keys(people) as Person[]
const rightPattern = /^(?:any|own|read library|(?:read|operate|administer) (?:cluster|project))$/

let real: RealNode
let served: Served
const tokens = {} as Record<Person, string>
/** Noun → something there is, of the project default where it has one; of somebody else where it has an owner. */
const targets: Record<string, string> = { vms: 'web', images: 'disk', nodes: 'n1', projects: 'default', users: 'victim' }
const table = routeTable(() => new Response())
const guarded = table.filter((route): route is CallerRoute => route.credential === 'caller')
const admin = (path: string, options: Ask = {}) => served.ask(`/api/v1${path}`, { token: real.token, ...options })

async function tokenOf(name: string): Promise<string> {
  const signedIn = await real.node.app.identity.signIn({ name, password: 'a long enough passphrase', address: '192.0.2.7' })
  const options = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }
  const made = await real.node.app.tokens.create(signedIn.caller, { name: `of-${name.slice(0, 20)}` }, options)
  return 'secret' in made ? (made.secret ?? '') : ''
}

beforeAll(async () => {
  real = await startRealNode()
  served = await serve({ app: real.node.app })
  const bytes = Buffer.alloc(1024 * 1024)
  bytes.set([0x55, 0xaa], 510)
  expect((await admin('/images?name=disk', { method: 'POST', body: bytes, headers: { 'Content-Type': 'application/octet-stream' } })).status).toBe(201)
  expect((await admin('/projects', { method: 'POST', json: { name: 'other' } })).status).toBe(201)
  const userData = '#cloud-config\npassword: secret-of-web\n'
  expect((await admin('/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64, cloudInit: { userData } } } })).status).toBe(201)
  const stopped = await admin('/vms/web/stop', { method: 'POST', json: { force: true }, headers: { Prefer: 'wait=10' } })
  targets['operations'] = stopped.json.id
  for (const person of [...everybody, 'victim'] as const) {
    const name = person.toLowerCase()
    expect((await admin('/users', { method: 'POST', json: { name, spec: { bindings: person === 'victim' ? people.viewer : people[person] }, password: 'a long enough passphrase' } })).status, name).toBe(201)
    if (person !== 'victim') tokens[person] = await tokenOf(name)
    else await tokenOf(name)
  }
  targets['tokens'] = 'of-victim'
  targets['roles'] = 'victim-viewer-cluster'
  targets['sessions'] = (await admin('/sessions?filter=user:victim')).json.items[0].id
  targets['cluster'] = (await admin('/cluster/join-tokens', { method: 'POST', json: {} })).json.id
})
afterAll(async () => {
  await served.http.stop()
  await real.stop()
})

function nounOf(route: Route): string {
  return route.path.split('/')[3] ?? ''
}

/** Whether the route is about one thing that this test knows. */
function hasTarget(route: Route): boolean {
  return /\{(?:ref|id)\}/.test(route.path) && targets[nounOf(route)] !== undefined
}

/** Null where it depends on the project that the request names. */
function isAllowed(person: Person, route: CallerRoute): boolean | null {
  const bindings: readonly RoleBinding[] = people[person]
  if (route.right === 'any') return true
  if (route.right === 'own') return allows(bindings, 'administer', '')
  if (route.right === 'read library') return allowsSomewhere(bindings, 'read')
  const [verb, scope] = route.right.split(' ') as [Verb, string]
  if (scope === 'cluster') return allows(bindings, verb, '')
  if (allows(bindings, verb, 'default') || hasTarget(route)) return allows(bindings, verb, 'default')
  return allowsSomewhere(bindings, verb) ? null : false
}

async function call(person: Person, route: CallerRoute) {
  const query = new URLSearchParams()
  if (route.query !== undefined && 'dryRun' in route.query) query.set('dryRun', 'true')
  for (const [name, parameter] of Object.entries(route.query ?? {})) if (parameter.required === true) query.set(name, 'x')
  const path = route.path.replaceAll(/\{\w+\}/g, encodeURIComponent(targets[nounOf(route)] ?? 'nothing'))
  const binary = route.body?.schema === 'binary'
  return served.ask(`${path}?${query.toString()}`, {
    method: route.method, token: tokens[person],
    ...(route.body === undefined || route.method === 'GET' ? {} : binary ? { body: Buffer.alloc(16), headers: { 'Content-Type': route.body.types[0]! } } : { body: '{}', headers: { 'Content-Type': route.body.types[0]! } }),
  })
}

function tables(): string {
  const { vm, user, token, project, image, joinToken, operation } = real.node.cluster.state.tables
  return JSON.stringify([vm, user, token, project, image, joinToken, operation].map((map) => [...map.keys()]))
}

test('every route declares the right that it needs', () => {
  for (const route of guarded) expect(route.right, `${route.method} ${route.path}`).toMatch(rightPattern)
})

describe('the matrix of routes and roles', () => {
  test.each(guarded.map((route) => ({ name: `${route.method} ${route.path}`, route })))('$name', async ({ route }) => {
    for (const person of everybody) {
      const before = tables()
      const answer = await call(person, route)
      const what = `${person}: ${answer.status} ${JSON.stringify(answer.json).slice(0, 300)}`
      expect(answer.status, what).not.toBe(401)
      expect(answer.status, what).not.toBe(500)
      const allowed = isAllowed(person, route)
      if (allowed === null) continue
      if (allowed) {
        expect(answer.json?.code, what).not.toBe('FORBIDDEN')
        if (hasTarget(route)) expect(answer.status, what).not.toBe(404)
        if (route.method === 'GET' && hasTarget(route) && route.operationId !== 'openConsole') expect(answer.status, what).toBeLessThan(300)
        continue
      }
      // It is a WebSocket; what it answers without one tells nothing of the VM.
      if (route.operationId === 'openConsole' && answer.json.code === 'MALFORMED') continue
      const sees = route.right !== 'own' && allows(people[person], 'read', 'default')
      expect([403, ...(sees ? [] : [404])], what).toContain(answer.status)
      expect(['FORBIDDEN', 'NOT_FOUND'], what).toContain(answer.json.code)
      expect(tables(), `${person} changed something`).toBe(before)
    }
  })

  test('/metrics is for who may read the cluster', async () => {
    const statuses = await Promise.all(everybody.map(async (person) => (await served.ask('/metrics', { token: tokens[person] })).status))
    expect(statuses).toEqual([200, 200, 200, 403, 403])
  })
})

describe('lists hold what their reader may see', () => {
  const totals = async (path: string) => Object.fromEntries(await Promise.all(everybody.map(async (person) => [person, (await served.ask(`/api/v1${path}`, { token: tokens[person] })).json.total])))

  test('VMs, images, operations, projects', async () => {
    expect(await totals('/vms')).toEqual({ administrator: 1, operator: 1, viewer: 1, operatorOfAnother: 0, nobody: 0 })
    expect(await totals('/images'), 'the library').toEqual({ administrator: 1, operator: 1, viewer: 1, operatorOfAnother: 1, nobody: 0 })
    expect(await totals('/projects')).toEqual({ administrator: 2, operator: 2, viewer: 2, operatorOfAnother: 1, nobody: 0 })
    const operations = await totals('/operations')
    expect(operations['viewer']).toBeGreaterThan(0)
    expect(operations).toMatchObject({ operatorOfAnother: 0, nobody: 0 })
  })
  test('users, tokens, sessions, roles: one\'s own', async () => {
    for (const path of ['/users', '/tokens', '/sessions']) expect(await totals(path), path).toMatchObject({ operator: 1, viewer: 1, operatorOfAnother: 1, nobody: 1 })
    expect(await totals('/roles')).toMatchObject({ operator: 1, viewer: 1, operatorOfAnother: 1, nobody: 0 })
  })
  test('events of people are for administrators, events of a project for its readers', async () => {
    const kinds = async (person: Person) => new Set((await served.ask('/api/v1/events?limit=1000', { token: tokens[person] })).json.items.map((event: { kind: string }) => event.kind))
    expect(await kinds('administrator')).toContain('user')
    for (const person of ['operator', 'viewer', 'operatorOfAnother', 'nobody'] as const) expect(await kinds(person), person).not.toContain('user')
    expect(await kinds('viewer')).toContain('vm')
    expect(await kinds('operatorOfAnother')).not.toContain('vm')
    expect(await kinds('nobody')).toEqual(new Set())
  })
})

test('an operator of another project makes VMs there and nowhere else', async () => {
  const create = (project: string) => served.ask('/api/v1/vms?dryRun=true', { method: 'POST', token: tokens.operatorOfAnother, json: { name: 'web', project, spec: { cpus: 1, memoryMiB: 64, disks: [{ name: 'root', image: 'disk', sizeGiB: 1 }] } } })
  expect((await create('other')).status).toBe(200)
  expect(await create('default')).toMatchObject({ status: 403, json: { code: 'FORBIDDEN' } })
})

test('user data of cloud-init is not for who may only look', async () => {
  for (const path of ['/api/v1/vms/web', '/api/v1/vms']) {
    for (const person of ['administrator', 'operator'] as const) expect((await served.ask(path, { token: tokens[person] })).text).toContain('secret-of-web')
    expect((await served.ask(path, { token: tokens.viewer })).text).not.toContain('secret-of-web')
  }
})

test('what was refused is in the audit, without what was sent', async () => {
  await served.ask('/api/v1/users', { method: 'POST', token: tokens.viewer, json: { name: 'mallory', password: 'never to be seen' } })
  await served.ask('/api/v1/vms', { method: 'POST', token: tokens.operatorOfAnother, json: { name: 'intruder', spec: { cpus: 1, memoryMiB: 64 } } })
  const { json, text } = await admin('/audit?filter=code:FORBIDDEN&limit=1000')
  expect(json.items.map((record: { actor: string; command: string; target: string }) => `${record.actor} ${record.command} ${record.target}`)).toEqual(expect.arrayContaining(['viewer/of-viewer user.create ', 'operatorofanother/of-operatorofanother vm.create intruder']))
  expect(text).not.toContain('never to be seen')
})

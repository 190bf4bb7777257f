// Every route of the table: a credential goes before all else, other methods are 405, and each answer carries the security headers.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { routeTable } from '../../../src/http/api/table.ts'
import { securityHeaders } from '../../../src/http/security.ts'
import { serve, type Answer, type Served } from './harness.ts'

let served: Served
const table = routeTable(() => new Response())
const path = (route: { path: string }) => route.path.replaceAll(/\{\w+\}/g, 'nothing')

beforeAll(async () => { served = await serve() })
afterAll(() => served.http.stop())

function expectSecure(answer: Answer) {
  for (const [name, value] of Object.entries(securityHeaders)) expect(answer.headers[name.toLowerCase()], name).toBe(value)
  expect(answer.headers['content-security-policy']).not.toContain('unsafe')
  expect(answer.headers['cache-control']).toBeTruthy()
}

describe('without a credential', () => {
  const guarded = [
    ...table.map((route) => ({ method: route.method as string, path: path(route) })),
    ...['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND'].flatMap((method) => ['/api/v1/nothing', '/api/v1', '/api/docs', '/api/v1/openapi.json', '/metrics', '/assets/app.css', '/api/v1/vms/x/y/z'].map((one) => ({ method, path: one }))),
    { method: 'DELETE', path: '/healthz' }, { method: 'GET', path: '/api/v1/vms?limit=0&limit=x' }, { method: 'TRACE', path: '/api/v1/vms' },
  ]
  test.each(guarded)('$method $path is 401, whatever else is wrong with it', async ({ method, path: target }) => {
    for (const token of [null, 'nct_wrong', '']) {
      for (const request of [{}, { headers: { 'Content-Type': 'text/nonsense' }, body: '{' }, { headers: { 'Content-Type': 'application/json' }, body: '[' }]) {
        const answer = await served.ask(target, { method, token, ...(method === 'GET' ? {} : request) })
        expect(answer.status).toBe(401)
        expect(answer.json).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' })
        expect(answer.headers['www-authenticate']).toContain('Bearer')
        expectSecure(answer)
      }
    }
  })
  test('a 20 MB body is 401 too, long before it was sent', async () => {
    const answer = await served.ask('/api/v1/vms', { method: 'POST', token: null, headers: { 'Content-Type': 'application/json', 'Content-Length': String(20 * 1024 * 1024) }, body: '{' })
    expect(answer.status).toBe(401)
  })
  test('only health answers', async () => {
    expect(await served.ask('/healthz', { token: null })).toMatchObject({ status: 200, json: { status: 'running' } })
    const ready = await served.ask('/readyz', { token: null })
    expect(ready).toMatchObject({ status: 200, json: { ready: true } })
    expectSecure(ready)
  })
  test('a page sends the visitor to sign in', async () => {
    expect(await served.ask('/', { token: null })).toMatchObject({ status: 303, headers: { location: '/login' } })
    const other = await served.ask('/vms/web?q=a%20b', { token: null, headers: { Accept: 'text/html' } })
    expect(other).toMatchObject({ status: 303, headers: { location: `/login?next=${encodeURIComponent('/vms/web?q=a%20b')}` } })
    expectSecure(other)
    const swapped = await served.ask('/vms/web', { token: null, headers: { 'HX-Request': 'true', 'HX-Current-URL': 'https://localhost/vms/web' } })
    expect(swapped).toMatchObject({ status: 401, headers: { 'hx-redirect': '/login?next=%2Fvms%2Fweb' } })
  })
})

describe('with a credential', () => {
  test.each(table.map((route) => ({ name: `${route.method} ${route.path}`, route })))('$name answers in the declared shape', async ({ route }) => {
    await served.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
    const known: Readonly<Record<string, string>> = { vms: 'web', nodes: 'n1', images: 'tiny', operations: 'o1', users: 'admin', tokens: 'ci', roles: 'anna-viewer-cluster', projects: 'shop', migrations: 'vm-migrate-1', cluster: 'j1' }
    const target = route.path.replaceAll(/\{\w+\}/g, known[route.path.split('/')[3] ?? ''] ?? 'x') + (route.operationId === 'importImage' ? '?name=tiny' : route.operationId === 'appendUpload' ? '?offset=0' : '')
    const body = route.body?.schema === 'binary' ? { body: 'QFI', headers: { 'Content-Type': 'application/octet-stream' } }
      : route.operationId === 'signIn' ? { json: { name: 'admin', password: 'correct horse' }, token: null }
      : route.operationId === 'getStanding' ? { token: null, headers: { Authorization: `Node ${'0'.repeat(36)}.${'A'.repeat(86)}` } }
      : route.operationId === 'join' || route.operationId === 'joinAppliance' ? { json: {}, token: 'ncj_good' }
      : route.method === 'PATCH' ? { json: {}, headers: { 'Content-Type': 'application/merge-patch+json' } }
      : route.method === 'POST' || route.method === 'PUT' ? { json: route.operationId === 'createVm' ? { name: 'db', spec: { cpus: 1, memoryMiB: 64 } } : route.operationId === 'createUpload' ? { name: 'big', spec: { sizeBytes: 3 } } : {} } : {}
    const answer = await served.ask(target, { method: route.method, ...body })
    expectSecure(answer)
    if (route.operationId === 'openConsole') return expect(answer).toMatchObject({ status: 400, json: { code: 'MALFORMED' } })
    if (route.operationId === 'joinAppliance') return expect(answer).toMatchObject({ status: 409, json: { code: 'ALREADY_MEMBER' } })
    expect(Object.keys(route.answers).map(Number), answer.text).toContain(answer.status)
    expect(answer.headers['novacron-index']).toBe('7')
    const declared = route.answers[answer.status]?.schema
    if (declared !== undefined) declared.schema.parse(answer.json)
    else if (route.answers[answer.status]?.types === undefined) expect(answer.text).toBe('')
    else expect(route.answers[answer.status]?.types).toContain(answer.headers['content-type']?.split(';', 1)[0])
  })
  test.each([...new Set(table.map((route) => route.path))])('%s refuses other methods with Allow', async (one) => {
    const target = one.replaceAll(/\{\w+\}/g, 'web')
    const allowed = table.filter((route) => route.path === one).map((route) => route.method)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'].filter((name) => !allowed.includes(name as 'GET'))) {
      const answer = await served.ask(target, { method })
      expect(answer).toMatchObject({ status: 405, json: { code: 'METHOD_NOT_ALLOWED' } })
      expect(answer.headers.allow?.split(', ')).toEqual(expect.arrayContaining(allowed))
      expectSecure(answer)
    }
  })
  test('a path that is nobody\'s is 404', async () => {
    for (const one of ['/api/v1/nothing', '/api/v1/vms/', '/api/v2/vms', '/api/v1/vms/web/start/now', '/nothing', '/api/v1/vms/%00', '/api/v1/vms/..%2f..%2fetc']) {
      const answer = await served.ask(one)
      expect(answer).toMatchObject({ status: 404, json: { code: 'NOT_FOUND' } })
      expectSecure(answer)
    }
  })
})

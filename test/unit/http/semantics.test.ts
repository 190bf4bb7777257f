// Header and query semantics of reads and writes.
import { gunzipSync } from 'node:zlib'
import { get } from 'node:https'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serve, type Served } from './harness.ts'
import { token, uuid } from './small-app.ts'

let served: Served
beforeAll(async () => {
  served = await serve()
  await served.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
})
afterAll(() => served.http.stop())
beforeEach(() => {
  served.app.writes.length = 0
  served.app.calls.length = 0
})

describe('reads', () => {
  test('say their index, and since when they are stale', async () => {
    const fresh = await served.ask('/api/v1/vms')
    expect(fresh.headers['novacron-index']).toBe('7')
    expect(fresh.headers['novacron-stale-since']).toBeUndefined()
    served.app.stale = true
    expect((await served.ask('/api/v1/vms')).headers['novacron-stale-since']).toBe('2026-11-20T10:00:00.000Z')
    served.app.stale = false
  })
  test('wait for an index, and for the leader', async () => {
    expect((await served.ask('/api/v1/vms?minIndex=9&consistent=true')).status).toBe(200)
    expect(served.app.calls).toEqual(['readBarrier', 'waitIndex 9'])
    expect(await served.ask('/api/v1/vms?minIndex=101')).toMatchObject({ status: 503, json: { code: 'OUTCOME_UNKNOWN' }, headers: { 'retry-after': '1' } })
  })
  test('carry the revision as ETag', async () => {
    expect((await served.ask('/api/v1/vms/web')).headers.etag).toBe('"7"')
  })
  test('HEAD is GET without a body', async () => {
    const answer = await served.ask('/api/v1/vms/web', { method: 'HEAD' })
    expect(answer).toMatchObject({ status: 200, text: '', headers: { etag: '"7"' } })
    expect(await served.ask('/api/v1/events?watch=true', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
    expect(served.app.watchers.size).toBe(0)
  })
  test('an operation is waited for by query or Prefer', async () => {
    await served.ask('/api/v1/operations/o1?wait=3')
    await served.ask('/api/v1/operations/o1', { headers: { Prefer: 'respond-async, wait=4' } })
    await served.ask('/api/v1/operations/o1')
    expect(served.app.calls).toEqual(['wait 3', 'wait 4'])
  })
  test.each([
    ['limit=0', 'limit'], ['limit=1001', 'limit'], ['limit=ten', 'limit'], ['limit=1.5', 'limit'], ['limit=', 'limit'], ['limit=-1', 'limit'], ['limit=1&limit=2', 'limit'], ['color=red', 'color'],
    ['consistent=yes', 'consistent'], ['minIndex=-1', 'minIndex'], ['filter=%00', 'filter'], ['__proto__=1', '__proto__'], ['constructor=1', 'constructor'], ['sort=' + 'x'.repeat(65), 'sort'],
  ])('?%s is refused with the field %s', async (query, field) => {
    const answer = await served.ask(`/api/v1/vms?${query}`)
    expect(answer).toMatchObject({ status: 422, json: { code: 'INVALID', fields: expect.arrayContaining([expect.objectContaining({ path: field })]) } })
  })
  test('a GET with a body is refused', async () => {
    expect(await served.ask('/api/v1/vms', { json: {} })).toMatchObject({ status: 400, json: { code: 'MALFORMED' } })
  })
})

describe('writes', () => {
  test('pass Idempotency-Key, If-Match, Prefer, dryRun on', async () => {
    const answer = await served.ask('/api/v1/vms/web?dryRun=true', { method: 'PATCH', json: {}, headers: { 'Idempotency-Key': 'k1', 'If-Match': '"7"', Prefer: 'wait=30' } })
    expect(answer).toMatchObject({ status: 200, headers: { etag: '"7"' } })
    expect(served.app.writes[0]).toMatchObject({ idempotencyKey: 'k1', ifMatch: 7, waitSeconds: 30, dryRun: true })
    await served.ask('/api/v1/vms/web', { method: 'PATCH', json: {}, headers: { 'If-Match': '*', Prefer: 'wait=99999' } })
    expect(served.app.writes[1]).toMatchObject({ idempotencyKey: null, ifMatch: null, waitSeconds: 300, dryRun: false })
  })
  test('the body\'s digest tells another body, path or method', async () => {
    const hashes = new Set<string>()
    for (const [method, target, json] of [['PATCH', 'web', {}], ['PATCH', 'web', { a: 1 }], ['PUT', 'web', {}], ['POST', 'web/start', {}], ['POST', 'web/stop', {}]] as const) {
      for (let twice = 0; twice < 2; twice++) await served.ask(`/api/v1/vms/${target}`, { method, json, headers: { 'Idempotency-Key': `${method}-${twice}` } })
    }
    for (const { bodyHash } of served.app.writes) hashes.add(bodyHash)
    expect(served.app.writes.length).toBe(10)
    expect(hashes.size).toBe(5)
  })
  test('a stale If-Match is 412; one that is no ETag of ours is 400', async () => {
    expect(await served.ask('/api/v1/vms/web', { method: 'PATCH', json: {}, headers: { 'If-Match': '"6"' } })).toMatchObject({ status: 412, json: { code: 'PRECONDITION_FAILED' } })
    for (const header of ['7', 'W/"7"', '"7", "8"', '"x"', '']) expect((await served.ask('/api/v1/vms/web', { method: 'PATCH', json: {}, headers: { 'If-Match': header } })).status).toBe(400)
  })
  test('an Idempotency-Key must be short and visible', async () => {
    for (const key of ['x'.repeat(256), 'a b', '']) expect(await served.ask('/api/v1/vms/web', { method: 'PATCH', json: {}, headers: { 'Idempotency-Key': key } })).toMatchObject({ status: 422, json: { code: 'INVALID' } })
  })
  test('201 and 202 say where', async () => {
    const created = await served.ask('/api/v1/vms', { method: 'POST', json: { name: 'db', spec: { cpus: 1, memoryMiB: 64 } } })
    expect(created).toMatchObject({ status: 201, headers: { location: `/api/v1/vms/${created.json.id}`, etag: '"7"' } })
    expect(await served.ask('/api/v1/vms/db/start', { method: 'POST' })).toMatchObject({ status: 202, headers: { location: `/api/v1/operations/${uuid(0xa1)}` } })
    expect(await served.ask('/api/v1/vms/db', { method: 'DELETE' })).toMatchObject({ status: 202 })
  })
  test('an import streams and is waited for', async () => {
    const bytes = Buffer.alloc(5_000_000, 'x')
    const answer = await served.ask('/api/v1/images?name=big', { method: 'POST', body: bytes, headers: { 'Content-Type': 'application/octet-stream' } })
    expect(answer).toMatchObject({ status: 201, headers: { location: `/api/v1/images/${uuid(0xe1)}` } })
    expect(served.app.imported.at(-1)).toEqual({ name: 'big', bytes: bytes.length })
    expect(await served.ask('/api/v1/images', { method: 'POST', body: 'x', headers: { 'Content-Type': 'application/octet-stream' } })).toMatchObject({ status: 422, json: { fields: [{ path: 'name', message: 'is required' }] } })
    expect(await served.ask('/api/v1/images?name=%3Cb%3E', { method: 'POST', body: 'x', headers: { 'Content-Type': 'application/octet-stream' } })).toMatchObject({ status: 422 })
    expect(await served.ask('/api/v1/images?name=x', { method: 'POST', body: 'x', headers: { 'Content-Type': 'text/plain' } })).toMatchObject({ status: 415 })
  })
})

test('long JSON comes compressed to whom it suits', async () => {
  const fetchRaw = (encoding: string) => new Promise<{ encoding: string | undefined; bytes: Buffer }>((resolve, reject) => {
    get({ host: 'localhost', port: served.http.port, path: '/api/v1/openapi.json', ca: served.certPem, agent: false, headers: { Authorization: `Bearer ${token}`, 'Accept-Encoding': encoding } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve({ encoding: response.headers['content-encoding'], bytes: Buffer.concat(chunks) })).on('error', reject)
    }).on('error', reject)
  })
  const [short, plain] = [await fetchRaw('br, gzip'), await fetchRaw('gzip;q=0')]
  expect(short.encoding).toBe('gzip')
  expect(plain.encoding).toBeUndefined()
  expect(gunzipSync(short.bytes)).toEqual(plain.bytes)
  expect(short.bytes.length).toBeLessThan(plain.bytes.length / 3)
})

test('metrics, documents and health know their methods; setTls serves the next connection', async () => {
  for (const one of ['/metrics', '/api/docs', '/api/v1/openapi.json', '/healthz']) expect((await served.ask(one, { method: 'POST', json: {} })).status).toBe(405)
})

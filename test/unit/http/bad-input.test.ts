// Bad input at the HTTP layer: each is answered clearly with a code, and none reaches a use case.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { OperationalError } from '../../../src/model/error.ts'
import { serve, type Served } from './harness.ts'
import { token } from './small-app.ts'

let served: Served
beforeAll(async () => { served = await serve() })
afterAll(() => served.http.stop())
beforeEach(() => { served.app.writes.length = 0 })

const post = (body: string | Uint8Array, type = 'application/json', path = '/api/v1/vms') => served.ask(path, { method: 'POST', body, headers: { 'Content-Type': type } })

async function raw(text: string | Uint8Array, waitMs = 5_000): Promise<string> {
  const socket = await served.socket()
  let answer = ''
  socket.on('data', (data) => { answer += data.toString() })
  socket.on('error', () => undefined)
  socket.write(text)
  await once(socket, 'close', { signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
  socket.destroy()
  return answer
}

describe('bodies', () => {
  test('JSON nested 200,000 deep', async () => {
    for (const body of ['['.repeat(200_000), '['.repeat(200_000) + ']'.repeat(200_000), '{"a":'.repeat(170_000), `{"name":"x","spec":${'['.repeat(65)}${']'.repeat(65)}}`]) {
      expect(await post(body)).toMatchObject({ status: 400, json: { code: 'MALFORMED' } })
    }
    expect(served.app.writes).toEqual([])
  })
  test('brackets in strings do not count', async () => {
    expect(await post(JSON.stringify({ name: 'x', spec: { note: '[{'.repeat(1000) + '\\"' } }))).toMatchObject({ status: 422 })
  })
  test('a body of 20 MB is refused unread', async () => {
    expect(await served.ask('/api/v1/vms', { method: 'POST', body: '{', headers: { 'Content-Type': 'application/json', 'Content-Length': String(20 * 1024 * 1024) } })).toMatchObject({ status: 413, json: { code: 'BODY_TOO_LARGE' } })
  })
  test('so is one that does not tell its length', async () => {
    const socket = await served.socket()
    let answer = ''
    socket.on('data', (data) => { answer += data.toString() }).on('error', () => undefined)
    socket.write(`POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`)
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, ' '), Buffer.from('\r\n')])
    let sent = 0
    let gone: () => void = () => undefined
    socket.on('close', () => gone())
    while (!socket.destroyed && socket.writable && sent < 20 * 1024 * 1024 && answer === '') {
      sent += chunk.length
      if (!socket.write(chunk)) await new Promise<void>((resolve) => { gone = resolve; socket.once('drain', resolve) })
    }
    await expect.poll(() => answer, { timeout: 10_000 }).not.toBe('')
    socket.destroy()
    expect(answer).toMatch(/^HTTP\/1\.1 413/)
    expect(sent).toBeLessThan(20 * 1024 * 1024)
  })
  test('a client that asks before sending 20 MB is not invited', async () => {
    const answer = await raw(`POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 20971520\r\nExpect: 100-continue\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 413/)
  })
  test('one that asks with a body that fits is invited', async () => {
    const socket = await served.socket()
    const body = JSON.stringify({ name: 'invited', spec: { cpus: 1, memoryMiB: 64 } })
    socket.write(`POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`)
    const [first] = await once(socket, 'data')
    expect(String(first)).toMatch(/^HTTP\/1\.1 100 Continue/)
    socket.write(body)
    const [second] = await once(socket, 'data')
    expect(String(second)).toMatch(/^HTTP\/1\.1 201/)
    socket.destroy()
  })
  test.each([
    ['no JSON', '{"name": secret-password}', 400], ['cut off', '{"name":', 400], ['no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), 400], ['empty', '', 400], ['white space', '  ', 400], ['two documents', '{} {}', 400],
    ['an array', '[]', 422], ['null', 'null', 422], ['a string', '"x"', 422], ['a number', '1e999', 422], ['unknown field', '{"name":"x","spec":{"cpus":1,"memoryMiB":64},"colour":"red"}', 422],
    ['wrong types', '{"name":7,"spec":{"cpus":"1","memoryMiB":64}}', 422], ['__proto__', '{"__proto__":{"name":"x"},"name":"x","spec":{"cpus":1,"memoryMiB":64}}', 422],
    ['markup', '{"name":"<script>alert(1)</script>","spec":{"cpus":1,"memoryMiB":64}}', 422],
  ])('%s', async (_name, body, status) => {
    const before = (await served.ask('/api/v1/vms')).json.total
    const answer = await post(body)
    expect(answer.status).toBe(status)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json).toMatchObject({ status, code: status === 400 ? 'MALFORMED' : 'INVALID', title: expect.any(String), detail: expect.any(String), type: expect.stringContaining('/api/docs#') })
    expect(answer.text).not.toContain('secret-password')
    if (status === 422) expect(answer.json.fields.length).toBeGreaterThan(0)
    expect((await served.ask('/api/v1/vms')).json.total).toBe(before)
  })
  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json; charset=latin1', 'application/xml', ''])('content type %s', async (type) => {
    expect(await post('{}', type)).toMatchObject({ status: 415, json: { code: 'UNSUPPORTED_MEDIA_TYPE' } })
  })
  test('a merge patch only where one is patched', async () => {
    expect((await post('{}', 'application/merge-patch+json')).status).toBe(415)
    expect((await post(JSON.stringify({ name: 'charset', spec: { cpus: 1, memoryMiB: 64 } }), 'Application/JSON; charset=UTF-8')).status).toBe(201)
  })
  test('a compressed one', async () => {
    expect(await served.ask('/api/v1/vms', { method: 'POST', json: {}, headers: { 'Content-Encoding': 'gzip' } })).toMatchObject({ status: 415 })
  })
  test('input where there is none', async () => {
    expect(await served.ask('/api/v1/operations/o1/cancel', { method: 'POST', json: { x: 1 } })).toMatchObject({ status: 422 })
    expect(await served.ask('/api/v1/operations/o1/cancel', { method: 'POST', json: {} })).toMatchObject({ status: 202 })
  })
  test('an upload that is refused half-way leaves the connection whole', async () => {
    const { images } = served.app
    const former = images.import.bind(images)
    Object.assign(images, { import: async (_caller: unknown, _query: unknown, source: () => AsyncIterable<Uint8Array>) => {
      for await (const _chunk of source()) throw new OperationalError('STORAGE_FULL', 'The disk is full.')
    } })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const send = async () => {
      const sending = request({
        agent, host: 'localhost', port: served.http.port, ca: served.certPem, method: 'POST', path: '/api/v1/images?name=full',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/octet-stream', 'Content-Length': String(2 ** 20) },
      })
      sending.end(Buffer.alloc(2 ** 20))
      const [response] = await once(sending, 'response') as [IncomingMessage]
      await once(response.resume(), 'end')
      return [response.statusCode, sending.reusedSocket]
    }
    expect([await send(), await send(), await send()]).toEqual([[507, false], [507, true], [507, true]])
    agent.destroy()
    Object.assign(images, { import: former })
  })
  test('an upload that breaks off is no fault of ours', async () => {
    const { images } = served.app
    const former = images.import.bind(images)
    const [begun, over] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
    Object.assign(images, { import: (...asked: Parameters<typeof former>) => {
      begun.resolve()
      const importing = former(...asked)
      importing.then(over.resolve, over.resolve)
      return importing
    } })
    const socket = await served.socket()
    socket.on('error', () => undefined)
    socket.write(`POST /api/v1/images?name=cut HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nabc`)
    await begun.promise
    socket.destroy()
    expect(await over.promise).toMatchObject({ code: 'MALFORMED' })
    Object.assign(images, { import: former })
    expect((await served.ask('/api/v1/vms')).status).toBe(200)
    expect(served.app.imported.find((image) => image.name === 'cut')).toBeUndefined()
    expect(served.lines.filter((line) => line.level === 'error')).toEqual([])
  })
})

test('a client that goes away while it waits is no fault of ours', async () => {
  const { operations } = served.app
  const former = operations.wait.bind(operations)
  const [waiting, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
  Object.assign(operations, { wait: (_caller: unknown, _ref: unknown, _seconds: unknown, signal: AbortSignal) => new Promise((_resolve, reject) => {
    waiting.resolve()
    signal.addEventListener('abort', () => {
      ended.resolve(signal.reason)
      reject(signal.reason as Error)
    })
  }) })
  const socket = await served.socket()
  socket.on('error', () => undefined)
  socket.write(`GET /api/v1/operations/o1?wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  await waiting.promise
  socket.destroy()
  expect(await ended.promise).toMatchObject({ name: 'AbortError' })
  expect((await served.ask('/api/v1/vms')).status).toBe(200)
  expect(served.lines.filter((line) => line.level === 'error')).toEqual([])
  Object.assign(operations, { wait: former })
})

describe('requests that are none', () => {
  const secured = /content-security-policy: default-src 'none'/i
  test('no HTTP', async () => {
    const answer = await raw('nonsense\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400/)
    expect(answer).toMatch(secured)
    expect(answer).toContain('MALFORMED')
  })
  test('headers of 20 kB', async () => {
    const answer = await raw(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 431/)
    expect(answer).toMatch(secured)
    expect(answer).toContain('HEADERS_TOO_LARGE')
  })
  test('a Host that is none', async () => {
    expect(await raw('GET /api/v1/vms HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 400[\s\S]*Content-Security-Policy/i)
  })
  test('a request smuggled by two lengths', async () => {
    expect(await raw('POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/)
  })
  test('headers that never end are cut off', async () => {
    const socket = await served.socket()
    let answer = ''
    socket.on('data', (data) => { answer += data.toString() }).on('error', () => undefined)
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n')
    const drip = setInterval(() => socket.writable && socket.write('X: y\r\n'), 1_000)
    await once(socket, 'close', { signal: AbortSignal.timeout(25_000) })
    clearInterval(drip)
    expect(answer).toMatch(/^HTTP\/1\.1 408/)
  }, 30_000)
})

test('no secret is ever logged', async () => {
  await served.ask('/api/v1/session', { method: 'POST', token: null, json: { name: 'admin', password: 'hunter2-hunter2' } })
  await served.ask('/api/v1/vms?filter=hunter2-hunter2', { token: 'nct_hunter2-hunter2' })
  expect(JSON.stringify(served.lines)).not.toContain('hunter2')
  expect(JSON.stringify(served.lines)).not.toContain(token)
  expect(served.lines.length).toBeGreaterThan(0)
})

// The serial console's WebSocket.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { serve, type Served } from './harness.ts'
import { session, token } from './small-app.ts'

let served: Served
beforeAll(async () => {
  served = await serve()
  await served.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
})
afterAll(() => served.http.stop())

type Outcome = { readonly kind: 'open'; readonly socket: WebSocket; readonly text: () => string; readonly closed: Promise<number> } | { readonly kind: 'refused'; readonly status: number; readonly body: string; readonly headers: Record<string, unknown> }
function open(ref: string, headers: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://localhost:${served.http.port}/api/v1/vms/${ref}`, { ca: served.certPem, headers })
    let text = ''
    const closed = new Promise<number>((close) => socket.on('close', (code) => close(code)))
    socket.on('message', (data, isBinary) => { text += isBinary ? (data as Buffer).toString() : 'TEXT' })
    socket.on('open', () => resolve({ kind: 'open', socket, text: () => text, closed }))
    socket.on('error', reject)
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (data: Buffer) => { body += data.toString() })
      response.on('end', () => resolve({ kind: 'refused', status: response.statusCode ?? 0, body, headers: response.headers }))
    })
  })
}
async function opened(headers: Record<string, string> = { Authorization: `Bearer ${token}` }) {
  const outcome = await open('web/console', headers)
  if (outcome.kind !== 'open') throw new Error(`refused: ${outcome.body}`)
  return outcome
}
async function until(text: () => string, pattern: RegExp) {
  for (let turn = 0; turn < 250 && !pattern.test(text()); turn++) await new Promise((wake) => setTimeout(wake, 10))
  expect(text()).toMatch(pattern)
}

test('carries bytes both ways, in order, and ends with the console', async () => {
  const { socket, text, closed } = await opened()
  await until(text, /^login: $/)
  for (const part of ['ro', 'ot', '\r\n']) socket.send(Buffer.from(part), { binary: true })
  await until(text, /^login: root\r\n$/)
  socket.send(Buffer.from('exit'), { binary: true })
  expect(await closed).toBe(1000)
})

test('text frames and frames that are too long end it', async () => {
  const first = await opened()
  first.socket.send('text')
  expect(await first.closed).toBe(1003)
  const second = await opened()
  second.socket.send(Buffer.alloc(65 * 1024), { binary: true })
  expect(await second.closed).toBe(1009)
})

test('without a credential 401, whatever the path; then 404 and 409 with a code and the security headers', async () => {
  for (const path of ['web/console', 'nothing/console', 'x/y/z']) expect(await open(path, {})).toMatchObject({ kind: 'refused', status: 401 })
  const auth = { Authorization: `Bearer ${token}` }
  const missing = await open('nothing/console', auth)
  expect(missing).toMatchObject({ status: 404, headers: { 'content-type': 'application/problem+json', 'x-content-type-options': 'nosniff' } })
  expect(await open('web/other', auth)).toMatchObject({ status: 404 })
  expect(await open('%zz/console', auth)).toMatchObject({ status: 404 })
  served.app.console = 'busy'
  const busy = await open('web/console', auth)
  served.app.console = 'echo'
  expect(busy).toMatchObject({ status: 409 })
  expect(JSON.parse((busy as { body: string }).body)).toMatchObject({ code: 'CONSOLE_BUSY' })
})

test('with a cookie only from a page of this node', async () => {
  const cookie = { Cookie: `__Host-novacron=${session}` }
  for (const origin of [{}, { Origin: 'https://evil.example' }, { Origin: 'null' }, { Origin: served.origin, 'Sec-Fetch-Site': 'cross-site' }] as Record<string, string>[]) {
    expect(await open('web/console', { ...cookie, ...origin })).toMatchObject({ kind: 'refused', status: 403 })
  }
  const { socket, text, closed } = await opened({ ...cookie, Origin: served.origin })
  await until(text, /login/)
  socket.close()
  await closed
})

test('a revoked credential ends it', async () => {
  const { closed } = await opened()
  served.app.revoked = true
  expect(await closed).toBe(1008)
  served.app.revoked = false
})

test('a handshake that is none is refused and leaves nothing open', async () => {
  const socket = await served.socket()
  let answer = ''
  socket.on('data', (data) => { answer += data.toString() }).on('error', () => undefined)
  socket.write(`GET /api/v1/vms/web/console HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  await new Promise((close) => socket.on('close', close))
  expect(answer).toMatch(/^HTTP\/1\.1 400[\s\S]*Content-Security-Policy[\s\S]*MALFORMED/)
})

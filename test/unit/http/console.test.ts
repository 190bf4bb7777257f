// The WebSocket of consoles; what tickets are worth is tested with the use cases.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { clock, serve, type Served } from './harness.ts'
import { session, token } from './small-app.ts'

let served: Served
beforeAll(async () => {
  served = await serve()
  await served.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
})
afterAll(() => served.http.stop())

type Outcome = { readonly kind: 'open'; readonly socket: WebSocket; readonly text: () => string; readonly closed: Promise<{ readonly code: number; readonly reason: string }> } | { readonly kind: 'refused'; readonly status: number; readonly body: string; readonly headers: Record<string, unknown> }
const ticketed = 'web/console?ticket=good'
function open(ref: string, headers: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://localhost:${served.http.port}/api/v1/vms/${ref}`, { ca: served.certPem, headers })
    let text = ''
    const closed = new Promise<{ code: number; reason: string }>((close) => socket.on('close', (code, reason) => close({ code, reason: reason.toString() })))
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
async function opened() {
  const outcome = await open(ticketed)
  if (outcome.kind !== 'open') throw new Error(`refused: ${outcome.body}`)
  return outcome
}
async function until(text: () => string, pattern: RegExp) {
  await expect.poll(text, { timeout: 15_000, interval: 10 }).toMatch(pattern)
}

test('carries bytes both ways, in order, and ends with the console', async () => {
  const { socket, text, closed } = await opened()
  await until(text, /^login: $/)
  for (const part of ['ro', 'ot', '\r\n']) socket.send(Buffer.from(part), { binary: true })
  await until(text, /^login: root\r\n$/)
  socket.send(Buffer.from('exit'), { binary: true })
  expect(await closed).toMatchObject({ code: 1000 })
})

test('text frames and frames that are too long end it', async () => {
  const first = await opened()
  first.socket.send('text')
  expect(await first.closed).toMatchObject({ code: 1003 })
  const second = await opened()
  second.socket.send(Buffer.alloc(65 * 1024), { binary: true })
  expect(await second.closed).toMatchObject({ code: 1009 })
})

test('a ticket is asked for as any write', async () => {
  const answer = await served.ask('/api/v1/vms/web/console', { method: 'POST', json: {} })
  expect(answer).toMatchObject({ status: 200 })
  expect(JSON.parse(answer.text)).toMatchObject({ type: 'serial', ticket: 'good', url: expect.stringContaining('ticket=good') as string })
  expect(await served.ask('/api/v1/vms/web/console', { method: 'POST', json: {}, token: null })).toMatchObject({ status: 401 })
})

test('without a ticket, or with a wrong one, 401 with a code and the security headers, whatever the path; a credential opens none', async () => {
  for (const path of ['web/console', 'nothing/console', 'x/y/z', 'x/y/z?ticket=good']) expect(await open(path)).toMatchObject({ kind: 'refused', status: 401 })
  const wrong = await open('web/console?ticket=wrong')
  expect(wrong).toMatchObject({ status: 401, headers: { 'content-type': 'application/problem+json', 'x-content-type-options': 'nosniff' } })
  expect(JSON.parse((wrong as { body: string }).body)).toMatchObject({ code: 'TICKET_INVALID' })
  const auth = { Authorization: `Bearer ${token}` }
  expect(await open('web/console', auth)).toMatchObject({ status: 401 })
  expect(await open('web/console', { Cookie: `__Host-novacron=${session}`, Origin: served.origin })).toMatchObject({ status: 401 })
  expect(await open('web/other', auth)).toMatchObject({ status: 404 })
  expect(await open('%zz/console?ticket=good', auth)).toMatchObject({ status: 404 })
  expect(await open('nothing/console?ticket=good')).toMatchObject({ status: 404 })
})

test('where the guest cannot be reached the close says why', async () => {
  served.app.console = 'busy'
  const { closed } = await opened()
  served.app.console = 'echo'
  expect(await closed).toEqual({ code: 4009, reason: 'CONSOLE_BUSY: The VM is not running.' })
})

test('a right that is withdrawn ends it within a second', async () => {
  const { closed } = await opened()
  served.app.revoked = true
  const startedMs = performance.now()
  expect(await closed).toMatchObject({ code: 1008 })
  expect(performance.now() - startedMs).toBeLessThan(1000)
  served.app.revoked = false
})

test('ends after an hour without a key, and after twelve hours in any case', async () => {
  const shift = { ms: 0 }
  const late = await serve({ clock: { ...clock, monotonicMs: () => clock.monotonicMs() + shift.ms } })
  await late.ask('/api/v1/vms', { method: 'POST', json: { name: 'web', spec: { cpus: 1, memoryMiB: 64 } } })
  const [before, here] = [served, late]
  try {
    served = here
    const first = await opened()
    await until(first.text, /login/)
    shift.ms += 3_599_000
    first.socket.send(Buffer.from('x'), { binary: true })
    await until(first.text, /x/)
    shift.ms += 3_601_000
    expect(await first.closed).toMatchObject({ code: 4010 })
    const second = await opened()
    for (let hour = 0; hour < 12; hour++) {
      shift.ms += 3_599_000
      second.socket.send(Buffer.from(`${hour};`), { binary: true })
      await until(second.text, new RegExp(`${hour};`))
    }
    shift.ms += 600_000
    second.socket.send(Buffer.from('!'), { binary: true })
    expect(await second.closed).toMatchObject({ code: 4011 })
  } finally {
    served = before
    await late.http.stop()
  }
})

test('no ticket reaches the log', async () => {
  await served.ask('/api/v1/vms/web/console?ticket=secret-one')
  await open('web/console?ticket=secret-two')
  expect(JSON.stringify(served.lines)).not.toContain('secret-')
})

test('a handshake that is none is refused and leaves nothing open', async () => {
  const socket = await served.socket()
  let answer = ''
  socket.on('data', (data) => { answer += data.toString() }).on('error', () => undefined)
  socket.write(`GET /api/v1/vms/web/console?ticket=good HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  await new Promise((close) => socket.on('close', close))
  expect(answer).toMatch(/^HTTP\/1\.1 400[\s\S]*Content-Security-Policy[\s\S]*MALFORMED/)
})

// Events as a WebSocket: the same place, filter and rights as the stream, and an end with the credential.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { serve, type Served } from './harness.ts'
import { session, token } from './small-app.ts'

let served: Served
const opened: WebSocket[] = []
beforeAll(async () => { served = await serve() })
afterEach(() => {
  served.app.revoked = false
  for (const socket of opened.splice(0)) socket.terminate()
})
afterAll(() => served.http.stop())

type Talk = { readonly socket: WebSocket; readonly messages: unknown[]; readonly closed: Promise<{ readonly code: number; readonly reason: string }>; until(count: number): Promise<readonly unknown[]> }

function connect(path = '/api/v1/events', headers: Record<string, string> = { Authorization: `Bearer ${token}` }): Talk & { readonly refused: Promise<number> } {
  const socket = new WebSocket(`wss://localhost:${served.http.port}${path}`, { ca: served.certPem, headers })
  opened.push(socket)
  const messages: unknown[] = []
  socket.on('message', (data) => messages.push(JSON.parse((data as Buffer).toString())))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })))
  const refused = new Promise<number>((resolve) => {
    socket.on('unexpected-response', (_request, response) => {
      resolve(response.statusCode ?? 0)
      response.resume()
    })
    socket.on('open', () => resolve(101))
  })
  socket.on('error', () => undefined)
  const until = async (count: number) => {
    await expect.poll(() => messages.length, { timeout: 15_000, interval: 10 }).toBeGreaterThanOrEqual(count)
    return messages
  }
  return { socket, messages, closed, refused, until }
}

test('a place first, then events as they come', async () => {
  const talk = connect()
  expect((await talk.until(1))[0]).toEqual({ start: expect.stringMatching(/^7\.\d+$/) })
  const event = served.app.emit()
  expect((await talk.until(2))[1]).toEqual(event)
})

test('resumes after a place; one that is gone closes with 4410', async () => {
  const last = served.app.emit()
  const missed = served.app.emit()
  const talk = connect(`/api/v1/events?after=${last.id}`)
  expect((await talk.until(1))[0]).toEqual(missed)
  expect(await connect('/api/v1/events?after=0.0').closed).toEqual({ code: 4410, reason: 'EVENTS_GONE' })
})

test('a reset closes with 4410 too', async () => {
  const talk = connect()
  await talk.until(1)
  served.app.resetWatchers()
  expect((await talk.closed).code).toBe(4410)
})

test('without a credential, from another site, or with nonsense there is no WebSocket', async () => {
  expect(await connect('/api/v1/events', {}).refused).toBe(401)
  const cookie = { Cookie: `__Host-novacron=${session}` }
  expect(await connect('/api/v1/events', { ...cookie, Origin: 'https://evil.example' }).refused).toBe(403)
  expect(await connect('/api/v1/events', cookie).refused).toBe(403)
  expect(await connect('/api/v1/events', { ...cookie, Origin: `https://localhost:${served.http.port}` }).refused).toBe(101)
  expect(await connect('/api/v1/events?after=x').refused).toBe(422)
  expect(await connect('/api/v1/events?nonsense=1').refused).toBe(422)
})

test('ends at once when the credential is revoked', async () => {
  const talk = connect()
  await talk.until(1)
  served.app.revoked = true
  const before = performance.now()
  for (const listener of served.app.credentialListeners) listener()
  expect((await talk.closed).code).toBe(1008)
  expect(performance.now() - before).toBeLessThan(1000)
})

test('whoever talks to it is shown out', async () => {
  const talk = connect()
  await talk.until(1)
  talk.socket.send('hello')
  expect((await talk.closed).code).toBe(1003)
})

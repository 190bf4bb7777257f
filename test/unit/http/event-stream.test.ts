// The live stream of events: resuming, resetting, ending with the credential, and a reader that does not read.
import { get } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type Served } from './harness.ts'
import { token } from './small-app.ts'

let served: Served
beforeAll(async () => { served = await serve() })
afterAll(() => served.http.stop())

type Stream = { readonly response: IncomingMessage; text(): string; until(pattern: RegExp): Promise<string>; ended: Promise<void> }
function open(path: string, headers: Record<string, string> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const request = get({ host: 'localhost', port: served.http.port, path, ca: served.certPem, agent: false, headers: { Authorization: `Bearer ${token}`, ...headers } }, (response) => {
      let text = ''
      response.on('data', (data: Buffer) => { text += data.toString() })
      response.on('error', () => undefined)
      const ended = new Promise<void>((end) => response.on('close', end))
      resolve({
        response, text: () => text, ended,
        until: async (pattern) => {
          await expect.poll(() => text, { timeout: 15_000, interval: 10 }).toMatch(pattern)
          return text
        },
      })
    })
    request.on('error', reject)
  })
}

test('events come as they happen, each with its id', async () => {
  const stream = await open('/api/v1/events?watch=true')
  expect(stream.response.headers['content-type']).toContain('text/event-stream')
  expect(stream.response.headers['content-encoding']).toBeUndefined()
  expect(await stream.until(/event: start/)).toMatch(/^id: 7\.\d+\nevent: start\n/)
  const event = served.app.emit()
  const text = await stream.until(new RegExp(`id: ${event.id}\n`))
  expect(JSON.parse(/\ndata: (\{"id".*\})\n\n$/.exec(text)?.[1] ?? '')).toEqual(event)
  stream.response.destroy()
  await stream.ended
})

test('resumes after Last-Event-ID or ?after=, also by Accept alone', async () => {
  const last = served.app.emit()
  const missed = served.app.emit()
  for (const stream of [await open('/api/v1/events', { Accept: 'text/event-stream', 'Last-Event-ID': last.id }), await open(`/api/v1/events?watch=true&after=${last.id}`)]) {
    const text = await stream.until(new RegExp(`id: ${missed.id}\n`))
    expect(text).not.toContain(`id: ${last.id}\n`)
    stream.response.destroy()
    await stream.ended
  }
})

test('too old is 410, what is no id 422, watch=false a list', async () => {
  expect(await served.ask('/api/v1/events?watch=true&after=0.0')).toMatchObject({ status: 410, json: { code: 'EVENTS_GONE' } })
  expect(await served.ask('/api/v1/events?watch=true&after=x')).toMatchObject({ status: 422 })
  expect((await served.ask('/api/v1/events?watch=false', { headers: { Accept: 'text/event-stream' } })).json.items).toBeDefined()
})

test('a reset is told, and ends the stream', async () => {
  const stream = await open('/api/v1/events?watch=true')
  await stream.until(/event: start/)
  served.app.resetWatchers()
  await stream.ended
  expect(stream.text()).toMatch(/event: reset\ndata: \{\}\n\n$/)
})

test('a reader that is gone or does not read costs nothing for long', async () => {
  const stream = await open('/api/v1/events?watch=true')
  await stream.until(/event: start/)
  const before = served.app.watchers.size
  stream.response.pause()
  for (let count = 0; count < 60_000 && served.app.watchers.size === before; count++) {
    served.app.emit()
    if (count % 500 === 0) await new Promise((wake) => setImmediate(wake))
  }
  expect(served.app.watchers.size).toBe(before - 1)
  stream.response.destroy()
})

test('a revoked credential ends its stream', async () => {
  const stream = await open('/api/v1/events?watch=true')
  await stream.until(/event: start/)
  served.app.revoked = true
  await stream.ended
  served.app.revoked = false
})

test('the server stops though streams are open', async () => {
  const own = await serve()
  const former = served
  served = own
  const stream = await open('/api/v1/events?watch=true')
  served = former
  await stream.until(/event: start/)
  const began = performance.now()
  await own.http.stop()
  expect(performance.now() - began).toBeLessThan(4_000)
  await stream.ended
})

// An image for another member by HTTPS: as long as it says, never a buffer used again too early, and an end of reading when the other side goes away.
import { createHash, randomFillSync } from 'node:crypto'
import { request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HttpsPeerImages } from '../../../src/drivers/download/peer-images.ts'
import { serve, type Served } from './harness.ts'

const pieceBytes = 1024 * 1024
const image = randomFillSync(Buffer.alloc(24 * pieceBytes + 777))
const sha256 = createHash('sha256').update(image).digest('hex')
const ticket = 'b'.repeat(64)
const authorization = `Bearer ${ticket}`
let served: Served
/** How the last reading went. */
let reading = { redeemed: 0, given: 0, ended: false }

/** As the storage does it: two buffers in turn, and what was lent before is overwritten. */
async function* pieces({ failAt = Number.POSITIVE_INFINITY, times = 1 }): AsyncGenerator<Uint8Array> {
  const buffers = [Buffer.alloc(pieceBytes), Buffer.alloc(pieceBytes)] as const
  const own = reading
  try {
    for (let at = 0, turn = 0; at < image.length * times; at += pieceBytes, turn = 1 - turn) {
      if (at >= failAt) throw new Error('the disk is broken')
      buffers[1 - turn]!.fill(0)
      const bytes = image.copy(buffers[turn]!, 0, times === 1 ? at : 0)
      own.given += bytes
      yield buffers[turn]!.subarray(0, bytes)
    }
  } finally {
    own.ended = true
  }
}

beforeAll(async () => {
  served = await serve()
})
afterAll(() => served.http.stop())

function offer(how: { readonly failAt?: number; readonly times?: number } = {}): void {
  reading = { redeemed: 0, given: 0, ended: false }
  served.app.imageForPeer = (given) => {
    reading.redeemed++
    return given === ticket ? { sizeBytes: image.length * (how.times ?? 1), pieces: pieces(how) } : null
  }
}

function get(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpsRequest({ host: 'localhost', port: served.http.port, path: '/peer/image', ca: served.certPem, agent: false, headers: { authorization } }, resolve).on('error', reject).end()
  })
}

test('gives the image, its length and the headers of every answer', async () => {
  offer()
  const response = await get()
  expect(response.statusCode).toBe(200)
  expect(response.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': String(image.length), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  const hash = createHash('sha256')
  for await (const chunk of response) hash.update(chunk as Buffer)
  expect(hash.digest('hex')).toBe(sha256)
  await expect.poll(() => reading.ended).toBe(true)
})

test('it is whole for one who reads slowly', async () => {
  offer()
  const response = await get()
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of response) {
    hash.update(chunk as Buffer)
    if (Math.floor((bytes += (chunk as Buffer).length) / pieceBytes) % 4 === 0) await delay(1)
  }
  expect(hash.digest('hex')).toBe(sha256)
})

test('the product reads what the product gives', async () => {
  offer()
  const hash = createHash('sha256')
  const images = new HttpsPeerImages(() => served.certPem)
  for await (const piece of await images.open(`localhost:${served.http.port}`, ticket, new AbortController().signal)) hash.update(piece)
  expect(hash.digest('hex')).toBe(sha256)
})

test('one who goes away in the midst ends the reading', async () => {
  offer({ times: 20 })
  const response = await get()
  await new Promise<void>((resolve) => response.once('data', () => resolve()))
  response.destroy()
  await expect.poll(() => reading.ended).toBe(true)
  expect(reading.given).toBeLessThan(image.length * 10)
})

test('for one who stops reading no more is read than the system takes, and going away ends it too', async () => {
  offer({ times: 20 })
  const response = await get()
  response.once('data', () => response.pause())
  await delay(100)
  expect(reading.ended).toBe(false)
  expect(reading.given).toBeLessThan(image.length * 10)
  response.destroy()
  await expect.poll(() => reading.ended).toBe(true)
})

test('a file that breaks is not taken for a whole one', async () => {
  offer({ failAt: 3 * pieceBytes })
  const images = new HttpsPeerImages(() => served.certPem)
  let bytes = 0
  const all = (async () => { for await (const piece of await images.open(`localhost:${served.http.port}`, ticket, new AbortController().signal)) bytes += piece.length })()
  await expect(all).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  expect(bytes).toBeLessThanOrEqual(3 * pieceBytes)
  await expect.poll(() => reading.ended).toBe(true)
})

test('no ticket, no image; and only GET uses one up', async () => {
  offer()
  expect((await served.ask('/peer/image', { token: null })).status).toBe(401)
  expect((await served.ask('/peer/image', { token: null, headers: { authorization: 'Bearer x' } })).status).toBe(401)
  expect(reading.redeemed).toBe(0)
  expect((await served.ask('/peer/image', { token: 'c'.repeat(64) })).status).toBe(401)
  expect(reading.redeemed).toBe(1)
  expect((await served.ask('/peer/image', { token: ticket, method: 'HEAD' })).status).toBe(405)
  expect(reading.redeemed).toBe(1)
})

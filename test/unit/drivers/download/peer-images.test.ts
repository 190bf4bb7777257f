// Images from another node's HTTPS port: whole with a slow reader and a slow writer, and cut off wherever the other side is odd, late, silent or somebody else.
import { createHash, randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { selfSigned } from '../../../../src/drivers/crypto/authority.ts'
import { HttpsPeerImages } from '../../../../src/drivers/download/peer-images.ts'

const mib = 1024 * 1024
const image = randomFillSync(Buffer.alloc(12 * mib + 12_345))
const ticket = 'a'.repeat(64)
const never = new AbortController().signal
const head = (bytes: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`
const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
type Certificate = Awaited<ReturnType<typeof selfSigned>>
let certificate: Certificate
let server: Server | null = null
const sockets = new Set<TLSSocket>()

const certify = (names: readonly string[], addresses: readonly string[]) => selfSigned({ commonName: 'n1', names, addresses, days: 1, nowMs: Date.now() })
beforeAll(async () => {
  certificate = await certify(['localhost'], ['127.0.0.1'])
})
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  server?.close()
})

/** @returns the address of a node that answers like this once it was asked */
async function serve(answer: (socket: TLSSocket, request: string) => unknown, { certificatePem, keyPem }: Certificate = certificate): Promise<string> {
  server = createServer({ cert: certificatePem, key: keyPem, ALPNProtocols: ['http/1.1'] }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    let request = ''
    socket.on('data', (bytes: Buffer) => {
      request += bytes.toString('latin1')
      if (request.endsWith('\r\n\r\n')) void answer(socket, request)
    })
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const peerImages = (limits = { answerMsMax: 5_000, silenceMsMax: 5_000 }) => new HttpsPeerImages(() => certificate.certificatePem, limits)

/** @param pauseMs once, at the first piece */
async function collect(pieces: AsyncIterable<Uint8Array>, pauseMs = 0): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const piece of pieces) {
    if (pauseMs > 0 && parts.length === 0) await delay(pauseMs)
    parts.push(Buffer.from(piece))
  }
  return Buffer.concat(parts)
}
const fetched = async (address: string, pauseMs = 0, images = peerImages()) => hashOf(await collect(await images.open(address, ticket, never), pauseMs))

test('asks as a member does, and gives all of the image in large pieces', async () => {
  let asked = ''
  const address = await serve((socket, request) => {
    asked = request
    socket.end(Buffer.concat([Buffer.from(head(image.length)), image]))
  })
  const sizes: number[] = []
  const hash = createHash('sha256')
  const buffers = new Set<ArrayBufferLike>()
  for await (const piece of await peerImages().open(address, ticket, never)) {
    sizes.push(piece.length)
    buffers.add(piece.buffer)
    hash.update(piece)
  }
  expect(hash.digest('hex')).toBe(hashOf(image))
  expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(mib)
  expect(buffers.size).toBeLessThanOrEqual(3)
  expect(asked).toBe(`GET /peer/image HTTP/1.1\r\nHost: ${address}\r\nAuthorization: Bearer ${ticket}\r\nConnection: close\r\n\r\n`)
})

test('the content is whole for one who takes long, longer than silence may last', async () => {
  const address = await serve((socket) => socket.end(Buffer.concat([Buffer.from(head(image.length)), image])))
  expect(await fetched(address, 1_000, peerImages({ answerMsMax: 5_000, silenceMsMax: 400 }))).toBe(hashOf(image))
})

test('the content is whole from one that gives it in small and slow pieces, the head too', async () => {
  const small = image.subarray(0, 200_001)
  const address = await serve(async (socket) => {
    for (const byte of head(small.length)) socket.write(byte)
    for (let at = 0; at < small.length; at += 7001) {
      socket.write(small.subarray(at, at + 7001))
      await delay(1)
    }
  })
  expect(await fetched(address)).toBe(hashOf(small))
})

test('an image of nothing', async () => {
  expect(await fetched(await serve((socket) => socket.write(head(0))))).toBe(hashOf(Buffer.alloc(0)))
})

test.each([
  ['another status', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n', /answered 401/],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', /not understood/],
  ['nonsense', 'hello\r\n\r\n', /HTTP\/1\.1/],
  ['a head without an end', 'HTTP/1.1 200 OK\r\nX: y\r\n'.padEnd(20_000, 'x'), /too long/],
  ['nothing', '', /closed/],
])('%s is no answer', async (_what, answer, reason) => {
  const address = await serve((socket) => socket.end(answer))
  await expect(peerImages().open(address, ticket, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringMatching(reason) as string })
})

test('what came before an early end is handed on, then it is told', async () => {
  const address = await serve((socket) => socket.end(Buffer.concat([Buffer.from(head(3 * mib)), image.subarray(0, 2 * mib + 5)])))
  const pieces = await peerImages().open(address, ticket, never)
  let bytes = 0
  const reading = (async () => { for await (const piece of pieces) bytes += piece.length })()
  await expect(reading).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('closed') as string })
  expect(bytes).toBe(2 * mib + 5)
})

test('more than was said is refused', async () => {
  const address = await serve((socket) => socket.write(`${head(10)}01234567890`))
  await expect(fetched(address)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('more than it said') as string })
})

test('one that drips its head is not waited for, nor one that falls silent', async () => {
  const dripping = await serve((socket) => {
    const timer = setInterval(() => socket.write('x'), 20)
    socket.on('close', () => clearInterval(timer))
  })
  await expect(peerImages({ answerMsMax: 200, silenceMsMax: 5_000 }).open(dripping, ticket, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('no answer in time') as string })
  server?.close()
  const silent = await serve((socket) => socket.write(`${head(1000)}some`))
  await expect(fetched(silent, 0, peerImages({ answerMsMax: 5_000, silenceMsMax: 100 }))).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('nothing came') as string })
})

test('who is not vouched for gets no ticket', async () => {
  let asked = 0
  const other = await certify(['localhost'], ['127.0.0.1'])
  await expect(peerImages().open(await serve(() => asked++, other), ticket, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  server?.close()
  const elsewhere = await certify(['n2'], ['192.0.2.1'])
  const trusting = new HttpsPeerImages(() => elsewhere.certificatePem)
  await expect(trusting.open(await serve(() => asked++, elsewhere), ticket, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('altnames') as string })
  server?.close()
  await expect(peerImages().open('127.0.0.1:1', ticket, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  expect(asked).toBe(0)
})

test('going away in the midst ends the connection: by leaving, by the signal while waiting, by the signal before', async () => {
  const closed: Promise<void>[] = []
  const address = await serve((socket) => {
    closed.push(new Promise<void>((resolve) => socket.once('close', () => resolve())))
    socket.write(Buffer.concat([Buffer.from(head(2 * image.length)), image]))
  })
  for await (const piece of await peerImages().open(address, ticket, never)) if (piece.length > 0) break
  await closed[0]
  const [abort, reason] = [new AbortController(), new Error('no longer wanted')]
  const reading = (async () => {
    for await (const piece of await peerImages().open(address, ticket, abort.signal)) if (piece.length < mib) throw new Error('too small')
  })()
  setTimeout(() => abort.abort(reason), 300)
  await expect(reading).rejects.toBe(reason)
  await closed[1]
  await expect(peerImages().open(address, ticket, abort.signal)).rejects.toBe(reason)
  expect(closed).toHaveLength(2)
})

test('one who opens and never reads is left after a while', async () => {
  const gone = Promise.withResolvers<void>()
  const address = await serve((socket) => {
    socket.on('close', () => gone.resolve())
    socket.write(Buffer.concat([Buffer.from(head(image.length)), image]))
  })
  await peerImages({ answerMsMax: 5_000, silenceMsMax: 200 }).open(address, ticket, never)
  await gone.promise
})

// The RPC connection against a server that misbehaves: time-outs, closing, garbage, split and joined messages, keepalive.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../../src/drivers/host/clock.ts'
import { openRpc, type Call, type RpcConnection } from '../../../../src/drivers/libvirt/rpc.ts'
import { OperationalError } from '../../../../src/model/error.ts'

const echo: Call<string, string> = { name: 'echo', procedure: 7, timeoutMs: 5_000, encode: (writer, text) => writer.string(text), decode: (reader) => reader.string() }
const words = (...values: readonly number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => buffer.writeUInt32BE(value, index * 4))
  return buffer
}

let directory = ''
let server: Server
let onMessage: (message: Buffer, socket: Socket) => void
const sockets: Socket[] = []
const connections: RpcConnection[] = []

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'novacron-rpc-'))
  server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    let buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      buffer = Buffer.concat([buffer, chunk])
      while (buffer.length >= 4 && buffer.length >= buffer.readUInt32BE(0)) {
        const length = buffer.readUInt32BE(0)
        onMessage(buffer.subarray(0, length), socket)
        buffer = buffer.subarray(length)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(join(directory, 'socket'), resolve))
})
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close('test over')
  for (const socket of sockets.splice(0)) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
  rmSync(directory, { recursive: true })
})

const open = async (change: { readonly keepaliveMs?: number; readonly callTimeoutMsMax?: number } = {}): Promise<RpcConnection> => {
  const connection = await openRpc(
    { socketPath: join(directory, 'socket'), clock: systemClock, keepaliveMs: 5_000, connectTimeoutMs: 1_000, callTimeoutMsMax: 5_000, onEvent: () => {}, ...change },
    new AbortController().signal,
  )
  connections.push(connection)
  return connection
}
const replyTo = (message: Buffer, body: Buffer, status = 0): Buffer => {
  const reply = Buffer.concat([message.subarray(0, 28), body])
  reply.writeUInt32BE(reply.length, 0)
  reply.writeUInt32BE(1, 16)
  reply.writeUInt32BE(status, 24)
  return reply
}
const codeOf = async (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'fine', (error: unknown) => (error instanceof OperationalError ? error.code : error))

it('matches answers to calls in any order, split and joined', async () => {
  const waiting: Buffer[] = []
  onMessage = (message, socket) => {
    waiting.push(replyTo(message, message.subarray(28)))
    if (waiting.length < 3) return
    const all = Buffer.concat(waiting.toReversed())
    for (let at = 0; at < all.length; at += 7) socket.write(all.subarray(at, at + 7))
  }
  const connection = await open()
  expect(await Promise.all(['one', 'two', 'three'].map((text) => connection.call(echo, text)))).toEqual(['one', 'two', 'three'])
})

it('turns an error into our words', async () => {
  onMessage = (message, socket) => {
    const text = Buffer.from('no domain!!!')
    socket.write(replyTo(message, Buffer.concat([words(42, 10, 1, text.length), text, words(2)]), 1))
  }
  await expect((await open()).call(echo, 'x')).rejects.toMatchObject({ code: 'DOMAIN_MISSING', data: { libvirtCode: 42 } })
})

it('times a call out, ignores its late answer, and goes on', async () => {
  let late: Buffer | null = null
  onMessage = (message, socket) => {
    if (late === null) late = replyTo(message, message.subarray(28))
    else socket.write(Buffer.concat([late, replyTo(message, message.subarray(28))]))
  }
  const connection = await open({ callTimeoutMsMax: 50 })
  expect(await codeOf(connection.call(echo, 'lost'))).toBe('HYPERVISOR_TIMEOUT')
  expect(await connection.call(echo, 'found')).toBe('found')
})

it('rejects everything when the server goes away', async () => {
  onMessage = (_, socket) => socket.destroy()
  const connection = await open()
  expect(await Promise.all([codeOf(connection.call(echo, 'a')), codeOf(connection.call(echo, 'b'))])).toEqual(['HYPERVISOR_UNREACHABLE', 'HYPERVISOR_UNREACHABLE'])
  expect(await codeOf(connection.call(echo, 'c'))).toBe('HYPERVISOR_UNREACHABLE')
})

it.each([
  ['a message of four gigabytes', words(0xffff_ffff, 0, 0, 0, 0, 0, 0)],
  ['a message shorter than its header', words(8, 0)],
])('gives up a server that sends %s', async (_, bytes) => {
  onMessage = (message, socket) => void socket.write(bytes)
  expect(await codeOf((await open()).call(echo, 'x'))).toBe('HYPERVISOR_UNREACHABLE')
})

it('survives an answer whose body ends early', async () => {
  let first = true
  onMessage = (message, socket) => {
    socket.write(replyTo(message, first ? words(100) : message.subarray(28)))
    first = false
  }
  const connection = await open()
  await expect(connection.call(echo, 'x')).rejects.toThrow(/ends early/)
  expect(await connection.call(echo, 'y')).toBe('y')
})

it('bounds how many calls wait', async () => {
  onMessage = () => {}
  const connection = await open({ callTimeoutMsMax: 60_000 })
  const codes = Array.from({ length: 600 }, () => codeOf(connection.call(echo, 'x')))
  connection.close('enough')
  expect((await Promise.all(codes)).filter((code) => code === 'OVERLOADED')).toHaveLength(600 - 512)
})

it('answers pings, and gives up a server that answers none', async () => {
  const pongs: number[] = []
  onMessage = (message, socket) => {
    if (message.readUInt32BE(4) === 0x6b65_6570) pongs.push(message.readUInt32BE(12))
    else socket.write(Buffer.concat([words(28, 0x6b65_6570, 1, 1, 2, 0, 0), replyTo(message, message.subarray(28))]))
  }
  const connection = await open({ keepaliveMs: 20 })
  await connection.call(echo, 'x')
  const closed = new Promise<string>((resolve) => connection.onClose((error) => resolve(error.message)))
  connection.startKeepalive()
  expect(await closed).toMatch(/stopped answering/)
  expect(pongs).toEqual([2, 1, 1, 1])
})

it('cannot be opened where nobody listens', async () => {
  await expect(openRpc(
    { socketPath: join(directory, 'nobody'), clock: systemClock, keepaliveMs: 1, connectTimeoutMs: 100, callTimeoutMsMax: 1, onEvent: () => {} }, new AbortController().signal,
  )).rejects.toMatchObject({ code: 'HYPERVISOR_UNREACHABLE' })
})

// TLS between members on a real socket: who is let in, who is not, and that no byte is lost when the connection's socket is exchanged.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { identityCertificate, selfSigned } from '../../../src/drivers/crypto/authority.ts'
import { peerIdOfPrivateKey } from '../../../src/p2p/peer-id.ts'
import { peerTls, type PeerCertificate } from '../../../src/p2p/peer-tls.ts'

type Encrypter = ReturnType<ReturnType<typeof peerTls>>
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup()
})

const newIdentity = async () => {
  const seed = randomBytes(32)
  return { seed, peerId: peerIdOfPrivateKey(seed), certificate: await identityCertificate(seed, { nodeId: 'n', nowMs: Date.now() }) }
}
const encrypterOf = (certificate: PeerCertificate): Encrypter => peerTls(certificate)({} as never)

/** What libp2p makes of a TCP socket, as far as the encrypter looks: bytes that came before it are in the read buffer. */
function connectionOn(socket: Socket) {
  let early = Buffer.alloc(0)
  const heard: Buffer[] = []
  const ends: string[] = []
  socket.on('data', (bytes) => {
    early = Buffer.concat([early, bytes])
  })
  socket.on('error', () => undefined)
  const connection = {
    socket, inactivityTimeout: 60_000, heard, ends,
    readBuffer: { get byteLength() { return early.length }, subarray: () => early, consume: () => void (early = Buffer.alloc(0)) },
    onData: (bytes: Uint8Array) => void heard.push(Buffer.from(bytes)),
    onTransportClosed: () => void ends.push('closed'),
    abort: (error: Error) => void ends.push(error.message),
    safeDispatchEvent: () => undefined,
    sendReset: () => undefined,
    sendData(parts: readonly Uint8Array[]) {
      for (const part of parts) connection.socket.write(part)
    },
  }
  return connection
}

/** A listening socket; the first connection that comes, before anything is encrypted. */
async function accept(begin: (port: number) => void) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => server.close())
  const coming = once(server, 'connection') as Promise<[Socket]>
  begin((server.address() as AddressInfo).port)
  const [socket] = await coming
  cleanups.push(() => socket.destroy())
  return connectionOn(socket)
}

function dialTls(options: ConnectionOptions): { readonly begin: (port: number) => void; readonly socket: () => TLSSocket } {
  let socket: TLSSocket | null = null
  return {
    begin: (port) => {
      const made = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...options })
      made.on('error', () => undefined)
      cleanups.push(() => void made.destroy())
      socket = made
    },
    socket: () => socket!,
  }
}

test('two members know each other by their keys, and every byte arrives, also those that came before the exchange', async () => {
  const [near, far] = [await newIdentity(), await newIdentity()]
  const dialled = Promise.withResolvers<ReturnType<typeof connectionOn>>()
  const inbound = await accept((port) => {
    const socket = connectTcp({ host: '127.0.0.1', port })
    cleanups.push(() => socket.destroy())
    socket.once('connect', () => dialled.resolve(connectionOn(socket)))
  })
  const outbound = await dialled.promise
  const outboundSecured = encrypterOf(near.certificate).secureOutbound(outbound as never, { remotePeer: { equals: (other: { toString(): string }) => other.toString() === far.peerId } as never })
  // The greeting is read before the encrypter is asked, as it may be while the protocol is agreed.
  await expect.poll(() => inbound.readBuffer.byteLength).toBeGreaterThan(100)
  const inboundSecured = await encrypterOf(far.certificate).secureInbound(inbound as never)
  expect(String(inboundSecured.remotePeer)).toBe(near.peerId)
  expect(String((await outboundSecured).remotePeer)).toBe(far.peerId)
  const said = randomBytes(300_000)
  for (let at = 0; at < said.length; at += 10_000) outbound.sendData([said.subarray(at, at + 12), said.subarray(at + 12, at + 10_000)])
  await expect.poll(() => Buffer.concat(inbound.heard).length).toBe(said.length)
  expect(Buffer.concat(inbound.heard).equals(said)).toBe(true)
  inbound.sendReset()
  await expect.poll(() => outbound.ends.length).toBeGreaterThan(0)
})

test.each<[string, (own: PeerCertificate) => Promise<ConnectionOptions>, RegExp]>([
  ['no certificate', async () => ({ ALPNProtocols: ['novacron-peer/1'] }), /no certificate of an Ed25519 key/],
  ['a certificate of another kind of key', async () => {
    const { certificatePem, keyPem } = await selfSigned({ commonName: 'x', names: [], addresses: [], days: 1, nowMs: Date.now() })
    return { ALPNProtocols: ['novacron-peer/1'], cert: certificatePem, key: keyPem }
  }, /no certificate of an Ed25519 key/],
  ['no protocol', async (own) => ({ cert: own.certificatePem, key: own.keyPem }), /the peer speaks false instead of novacron-peer\/1/],
  ['another protocol', async (own) => ({ ALPNProtocols: ['http/1.1'], cert: own.certificatePem, key: own.keyPem }), /./],
  ['an older TLS', async (own) => ({ ALPNProtocols: ['novacron-peer/1'], minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', cert: own.certificatePem, key: own.keyPem }), /./],
])('whoever shows %s is not let in', async (_what, options, reason) => {
  const [own, other] = [await newIdentity(), await newIdentity()]
  const dial = dialTls(await options(other.certificate))
  const inbound = await accept(dial.begin)
  await expect(encrypterOf(own.certificate).secureInbound(inbound as never)).rejects.toThrow(reason)
  await expect.poll(() => dial.socket().destroyed).toBe(true)
  expect(inbound.heard).toEqual([])
})

test('whoever holds another key than was dialled is left, and one who says nothing is not waited for', async () => {
  const [own, other, expected] = [await newIdentity(), await newIdentity(), await newIdentity()]
  const dialled = Promise.withResolvers<ReturnType<typeof connectionOn>>()
  const inbound = await accept((port) => {
    const socket = connectTcp({ host: '127.0.0.1', port })
    socket.once('connect', () => dialled.resolve(connectionOn(socket)))
  })
  const outbound = encrypterOf(own.certificate).secureOutbound((await dialled.promise) as never, { remotePeer: { equals: (peer: { toString(): string }) => peer.toString() === expected.peerId } as never })
  void encrypterOf(other.certificate).secureInbound(inbound as never).catch(() => undefined)
  await expect(outbound).rejects.toThrow('another key than was expected')

  const silent = await accept((port) => {
    const socket = connectTcp({ host: '127.0.0.1', port })
    cleanups.push(() => socket.destroy())
  })
  await expect(encrypterOf(own.certificate).secureInbound(silent as never, { signal: AbortSignal.timeout(50) })).rejects.toThrow()
  expect(silent.socket.destroyed).toBe(true)
})

test('a byte changed on the way ends the connection at once, though nothing reaches the one who sent it', async () => {
  const [near, far] = [await newIdentity(), await newIdentity()]
  const link = { changing: false }
  const relay = createServer()
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  cleanups.push(() => relay.close())
  const dialled = Promise.withResolvers<ReturnType<typeof connectionOn>>()
  const inbound = await accept((port) => {
    relay.on('connection', (client) => {
      const server = connectTcp({ host: '127.0.0.1', port })
      cleanups.push(() => client.destroy(), () => server.destroy())
      client.on('data', (bytes) => {
        if (link.changing) bytes[bytes.length - 1]! ^= 1
        server.write(bytes)
      })
      server.on('data', (bytes) => {
        if (!link.changing) client.write(bytes)
      })
      for (const socket of [client, server]) socket.on('error', () => undefined)
    })
    const socket = connectTcp({ host: '127.0.0.1', port: (relay.address() as AddressInfo).port })
    cleanups.push(() => socket.destroy())
    socket.once('connect', () => dialled.resolve(connectionOn(socket)))
  })
  const outbound = await dialled.promise
  await Promise.all([encrypterOf(near.certificate).secureOutbound(outbound as never), encrypterOf(far.certificate).secureInbound(inbound as never)])
  outbound.sendData([Buffer.from('whole')])
  await expect.poll(() => Buffer.concat(inbound.heard).toString()).toBe('whole')
  link.changing = true
  outbound.sendData([Buffer.from('changed')])
  await expect.poll(() => inbound.ends.length).toBeGreaterThan(0)
  expect(Buffer.concat(inbound.heard).toString()).toBe('whole')
})

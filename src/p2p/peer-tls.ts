// Mutual TLS 1.3 between members, spoken by the socket itself; a certificate's key is the node's Ed25519 key, and so its peer id.
import type { Socket } from 'node:net'
import { connect, TLSSocket } from 'node:tls'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { Libp2pOptions } from 'libp2p'

/** Both as PEM. The certificate is signed by its own key: who that is, the member list tells, not an authority. */
export type PeerCertificate = { readonly certificatePem: string; readonly keyPem: string }

type CreateEncrypter = NonNullable<Libp2pOptions['connectionEncrypters']>[number]
type Encrypter = ReturnType<CreateEncrypter>
type Connection = Parameters<Encrypter['secureInbound']>[0]
type SecureOptions = Parameters<Encrypter['secureInbound']>[1]
type Secured = Awaited<ReturnType<Encrypter['secureInbound']>>

/** What of libp2p's TCP connection matters here: all that it sends and hears goes through `socket`. */
type TcpConnection = Connection & {
  socket: Socket
  readonly readBuffer: { readonly byteLength: number; subarray(): Uint8Array; consume(bytes: number): void }
  readonly inactivityTimeout: number
  onData(bytes: Uint8Array): void
  onTransportClosed(): void
  safeDispatchEvent(type: string): void
  sendReset(): void
  sendData(data: unknown): unknown
}

const protocol = '/novacron/tls/1'
const alpn = 'novacron-peer/1'

/**
 * libp2p's own TLS runs on a JavaScript stream above the socket, so that each record passes the event loop twice more in either direction: 73 µs a
 * round trip where a TLS socket takes 26. Here the connection's socket is exchanged for a TLS socket on the same descriptor.
 */
export function peerTls({ certificatePem, keyPem }: PeerCertificate): CreateEncrypter {
  const own = { cert: certificatePem, key: keyPem, minVersion: 'TLSv1.3', ALPNProtocols: [alpn], rejectUnauthorized: false } as const
  return () => ({
    protocol,
    [Symbol.toStringTag]: protocol,
    secureInbound: async (connection, options) => secure(connection, options, (socket) => new TLSSocket(socket, { ...own, isServer: true, requestCert: true })),
    secureOutbound: async (connection, options) => secure(connection, options, (socket) => connect({ ...own, socket })),
  })
}

/** @throws Error where the handshake fails or takes too long, or the peer is not whom we dialled; the connection is of no use then */
async function secure(connection: Connection, options: SecureOptions, open: (socket: Socket) => TLSSocket): Promise<Secured> {
  if (!isTcp(connection)) throw new TypeError('only TCP connections can be encrypted')
  const raw = releaseSocket(connection)
  const secured = open(raw)
  try {
    await handshake(secured, options?.signal)
    const remotePeer = peerIdFromPublicKey(publicKeyFromRaw(peerKeyOf(secured)))
    if (options?.remotePeer !== undefined && !options.remotePeer.equals(remotePeer)) throw new Error('the peer has another key than was expected')
    exchangeSocket(connection, secured)
    return { connection, remotePeer }
  } catch (error) {
    secured.on('error', () => undefined)
    secured.destroy()
    throw error
  }
}

/** From now on the connection hears nothing by itself; what it has heard already is given back to the socket, to be read again. */
function releaseSocket({ socket, readBuffer }: TcpConnection): Socket {
  socket.removeAllListeners('data')
  socket.pause()
  // Its silence would be taken for the peer's.
  socket.setTimeout(0)
  if (readBuffer.byteLength > 0) {
    socket.unshift(readBuffer.subarray())
    readBuffer.consume(readBuffer.byteLength)
  }
  return socket
}

function handshake(socket: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (action: () => void) => {
      for (const [event, listener] of listeners) socket.off(event, listener)
      signal?.removeEventListener('abort', onAbort)
      action()
    }
    const onAbort = () => finish(() => reject(signal?.reason instanceof Error ? signal.reason : new Error('given up')))
    const listeners = [
      ['secure', () => finish(resolve)],
      ['error', (error: Error) => finish(() => reject(error))],
      ['close', () => finish(() => reject(new Error('the peer closed the connection during the handshake')))],
    ] as const
    for (const [event, listener] of listeners) socket.on(event, listener)
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
  })
}

/** That the peer holds the key was proven by its signature in the handshake (RFC 8446, 4.4.3). @returns 32 bytes */
function peerKeyOf(socket: TLSSocket): Uint8Array {
  if (socket.alpnProtocol !== alpn) throw new Error(`the peer speaks ${JSON.stringify(socket.alpnProtocol)} instead of ${alpn}`)
  const key = socket.getPeerX509Certificate()?.publicKey
  if (key?.asymmetricKeyType !== 'ed25519') throw new Error('the peer shows no certificate of an Ed25519 key')
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'))
}

function exchangeSocket(connection: TcpConnection, socket: TLSSocket): void {
  connection.socket = socket
  // A TLS socket cannot send a reset: RST or FIN, the peer's streams are cut.
  connection.sendReset = () => void socket.destroy()
  connection.sendData = gathering(connection, socket)
  socket.on('error', (error) => connection.abort(error))
  // A TLS socket that no TLS server made swallows what is wrong after the handshake.
  socket.on('_tlsError', (error: Error) => socket.destroy(error))
  socket.on('drain', () => connection.safeDispatchEvent('drain'))
  socket.once('end', () => connection.onTransportClosed())
  socket.once('close', () => connection.onTransportClosed())
  socket.setTimeout(connection.inactivityTimeout, () => connection.abort(new Error('nothing was heard or said for too long')))
  socket.setNoDelay(true)
  socket.on('data', (bytes) => connection.onData(bytes))
}

/** A frame is a header and a body: one record, sent at once. Further frames of the same turn of the event loop share the next one. */
function gathering(connection: TcpConnection, socket: TLSSocket): TcpConnection['sendData'] {
  const send = connection.sendData.bind(connection)
  let corked = false
  return (data) => {
    if (corked) return send(data)
    socket.cork()
    try {
      return send(data)
    } finally {
      socket.uncork()
      socket.cork()
      corked = true
      setImmediate(() => {
        corked = false
        if (!socket.destroyed) socket.uncork()
      })
    }
  }
}

function isTcp(connection: Connection): connection is TcpConnection {
  const { socket, sendData, readBuffer } = connection as Partial<TcpConnection>
  return typeof sendData === 'function' && typeof socket?.setNoDelay === 'function' && typeof readBuffer?.consume === 'function'
}

// The target's TLS port: lets in relays of this cluster's members, one connection a channel, and hands each to the operation that it names.
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { protocolVersion, type AcceptLeg } from './leg.ts'
import { channels, type Channel, type RelayTls } from './messages.ts'

const helloMsMax = 5_000
const helloBytesMax = 512
const connectionsMax = 512
/** The process before this one may just be about to end. */
const listenMsMax = 3_000
const listenRetryMs = 50

type Hello = { readonly operationId: string; readonly channel: Channel | 'pulse' }

export class Listener {
  readonly #server: Server
  readonly #legs: (operationId: string) => AcceptLeg | undefined

  constructor(tls: RelayTls, legs: (operationId: string) => AcceptLeg | undefined) {
    this.#legs = legs
    this.#server = createServer(
      { ...secrets(tls), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', handshakeTimeout: helloMsMax, allowHalfOpen: true },
      (socket) => this.#greet(socket),
    )
    this.#server.maxConnections = connectionsMax
    // A handshake that failed is the other side's fault and told there.
    this.#server.on('tlsClientError', (_error, socket: Socket) => socket.destroy())
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  setTls(tls: RelayTls): void {
    this.#server.setSecureContext({ ...secrets(tls), minVersion: 'TLSv1.3' })
  }

  /** @throws the system's error where the port stays taken */
  async listen(address: { readonly host: string; readonly port: number }): Promise<void> {
    const deadlineMs = performance.now() + listenMsMax
    for (;;) {
      try {
        await listenOnce(this.#server, address)
        return
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') || performance.now() > deadlineMs) throw error
        await new Promise<void>((resolve) => void setTimeout(resolve, listenRetryMs))
      }
    }
  }

  #greet(socket: TLSSocket): void {
    const timer = setTimeout(() => socket.destroy(), helloMsMax)
    let read = Buffer.alloc(0)
    const data = (chunk: Buffer): void => {
      read = Buffer.concat([read, chunk])
      const end = read.indexOf(0x0a)
      if (end < 0 && read.length <= helloBytesMax) return
      clearTimeout(timer)
      socket.removeListener('data', data)
      socket.pause()
      if (end < 0 || end > helloBytesMax) socket.destroy()
      else this.#admit(socket, read.subarray(0, end).toString(), read.subarray(end + 1))
    }
    socket.on('error', () => {})
    socket.on('close', () => clearTimeout(timer))
    socket.on('data', data)
  }

  #admit(socket: TLSSocket, line: string, rest: Buffer): void {
    const hello = parseHello(line)
    if (hello === null) {
      socket.destroy()
      return
    }
    if (rest.length > 0) socket.unshift(rest)
    const leg = this.#legs(hello.operationId)
    const refused = leg === undefined ? `no operation ${hello.operationId} is expected here` : leg.take(socket, hello.channel)
    if (refused === null) return
    // Only a pulse waits for an answer; on the others it would be taken for libvirt's or QEMU's.
    if (hello.channel === 'pulse') socket.end(`${JSON.stringify({ refused })}\n`, () => socket.destroy())
    else socket.destroy()
  }
}

/** Without zod, which would take a third of the process's start. The id is only looked up, whatever it is. */
function parseHello(line: string): Hello | null {
  try {
    const { version, operationId, channel: name } = JSON.parse(line) as Readonly<Record<string, unknown>>
    const channel = name === 'pulse' ? name : channels.find((each) => each === name)
    return version === protocolVersion && typeof operationId === 'string' && channel !== undefined ? { operationId, channel } : null
  } catch {
    return null
  }
}

function secrets({ certPem: cert, keyPem: key, caPem: ca }: RelayTls) {
  return { cert, key, ca }
}

async function listenOnce(server: Server, address: { readonly host: string; readonly port: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const listening = (): void => resolve(undefined)
  server.once('error', reject)
  server.once('listening', listening)
  server.listen({ ...address, exclusive: true })
  try {
    await promise
  } finally {
    server.removeListener('error', reject)
    server.removeListener('listening', listening)
  }
}

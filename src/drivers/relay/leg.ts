// One operation on one host: its directory of sockets, the connections that run through it, and their end.
import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { RelayUse } from '../../ports/migration.ts'
import { pipeChannel, type PipedChannel } from './channel.ts'
import { channels, socketPaths, type AcceptOrder, type Channel, type ConnectOrder, type Owner, type RelayTls } from './messages.ts'
import { peerFault } from './peer-certificate.ts'
import { startPulse } from './pulse.ts'

export const protocolVersion = 1
const connectMsMax = 5_000
/** An end that one side makes is passed on as such. */
const halfOpen = { allowHalfOpen: true }
/** libvirt opens one for each disk, and a few more. */
const pipesMax = 128

/** What both sides have: connections that are counted and cut together. */
class Pipes {
  readonly #pipes = new Set<PipedChannel>()
  #past: RelayUse = { bytesSent: 0, bytesReceived: 0 }

  /** @param onFault the remote side broke */
  add(local: Socket, remote: Socket, onFault: (reason: string) => void): void {
    if (this.#pipes.size >= pipesMax) {
      local.destroy()
      remote.destroy()
      return
    }
    const pipe = pipeChannel(local, remote, (fault) => {
      this.#pipes.delete(pipe)
      this.#past = sum(this.#past, pipe)
      if (fault !== null) onFault(`a connection to the other host broke: ${fault.message}`)
    })
    this.#pipes.add(pipe)
  }

  use(): RelayUse {
    return [...this.#pipes].reduce(sum, this.#past)
  }

  destroy(): void {
    for (const pipe of this.#pipes) pipe.destroy()
  }
}

function sum(before: RelayUse, pipe: PipedChannel): RelayUse {
  const { sent, received } = pipe.use()
  return { bytesSent: before.bytesSent + sent, bytesReceived: before.bytesReceived + received }
}

export interface Leg {
  readonly operationId: string
  use(): RelayUse
  /** Cuts and removes everything, without a word. */
  close(): Promise<void>
}

/** At the target: waits for the source's relay, and connects what it brings to this host's libvirt and to QEMU's sockets. */
export class AcceptLeg implements Leg {
  readonly operationId: string
  readonly #order: AcceptOrder
  readonly #onCut: (reason: string) => void
  readonly #pipes = new Pipes()
  #stopPulse: (() => void) | null = null

  constructor(order: AcceptOrder, onCut: (reason: string) => void) {
    this.operationId = order.operationId
    this.#order = order
    this.#onCut = onCut
  }

  async open(): Promise<void> {
    await makeDirectory(this.#order.directory, this.#order.owner)
  }

  /** Takes the connection over, or says why not. */
  take(socket: TLSSocket, channel: Channel | 'pulse'): string | null {
    const certificate = socket.getPeerX509Certificate()
    const fault = certificate === undefined ? 'it has no certificate' : peerFault(certificate, this.#order.peer)
    if (fault !== null) return fault
    if (channel === 'pulse') {
      // A source that comes again has given up what it had before.
      this.#cut()
      socket.write(`${JSON.stringify({ ok: true })}\n`)
      this.#stopPulse = startPulse(socket, (reason) => {
        this.#cut()
        // A source that took its leave is done: well or not, it knows.
        if (reason !== null) this.#onCut(reason)
      })
      return null
    }
    if (this.#stopPulse === null) return 'there is no pulse'
    void this.#pipe(socket, channel)
    return null
  }

  use(): RelayUse {
    return this.#pipes.use()
  }

  async close(): Promise<void> {
    this.#cut()
    await rm(this.#order.directory, { recursive: true, force: true })
  }

  async #pipe(remote: TLSSocket, channel: Channel): Promise<void> {
    const paths = channel === 'control' ? this.#order.libvirtSockets : [socketPaths(this.#order.directory)[channel]]
    // Until the pipe takes over.
    remote.on('error', () => {})
    const local = await firstOf(paths)
    if (local === null || remote.destroyed || this.#stopPulse === null) {
      local?.destroy()
      remote.destroy()
      return
    }
    this.#pipes.add(local, remote, (reason) => {
      if (this.#stopPulse === null) return
      this.#cut()
      this.#onCut(reason)
    })
  }

  #cut(): void {
    this.#stopPulse?.()
    this.#stopPulse = null
    this.#pipes.destroy()
  }
}

/** At the source: listens on the sockets, and carries each connection to the target's relay. */
export class ConnectLeg implements Leg {
  readonly operationId: string
  readonly #order: ConnectOrder
  readonly #tls: RelayTls
  readonly #onCut: (reason: string) => void
  readonly #pipes = new Pipes()
  readonly #servers: Server[] = []
  #stopPulse: (() => void) | null = null
  #closed = false

  constructor(order: ConnectOrder, tls: RelayTls, onCut: (reason: string) => void) {
    this.operationId = order.operationId
    this.#order = order
    this.#tls = tls
    this.#onCut = onCut
  }

  /** @throws Error with the middle of a sentence for people */
  async open(): Promise<void> {
    const pulse = await this.#dial('pulse')
    await answerOf(pulse)
    if (this.#closed) {
      pulse.destroy()
      throw new Error('it was given up')
    }
    this.#stopPulse = startPulse(pulse, (reason) => this.#cut(reason ?? 'the other host let go of it'))
    const { directory, owner } = this.#order
    await makeDirectory(directory, owner)
    const paths = socketPaths(directory)
    for (const channel of channels) this.#servers.push(await listenOn(paths[channel], owner, (local) => void this.#carry(local, channel)))
  }

  use(): RelayUse {
    return this.#pipes.use()
  }

  async close(): Promise<void> {
    this.#end()
    await rm(this.#order.directory, { recursive: true, force: true })
  }

  async #carry(local: Socket, channel: Channel): Promise<void> {
    local.on('error', () => {})
    try {
      const remote = await this.#dial(channel)
      if (local.destroyed || this.#closed) remote.destroy()
      else this.#pipes.add(local, remote, (reason) => this.#cut(reason))
    } catch (error) {
      local.destroy()
      this.#cut(`the other host cannot be reached: ${(error as Error).message}`)
    }
  }

  async #dial(channel: Channel | 'pulse'): Promise<TLSSocket> {
    const { host, port, peer, operationId } = this.#order
    const { certPem: cert, keyPem: key, caPem: ca } = this.#tls
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
    // The name in the certificate is the node's, whatever address it has: it is checked here, against the member that is meant.
    const socket = connectTls({ host, port, cert, key, ca, minVersion: 'TLSv1.3', checkServerIdentity: () => undefined, ...halfOpen })
    const timer = setTimeout(() => socket.destroy(new Error(`no connection to ${host}:${port} within ${connectMsMax} ms`)), connectMsMax)
    // Stays: a fault between here and whoever takes the connection over shows as its close.
    socket.on('error', reject)
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      const fault = certificate === undefined ? 'it has no certificate' : peerFault(certificate, peer)
      if (fault !== null) {
        socket.destroy(new Error(fault))
        return
      }
      clearTimeout(timer)
      socket.write(`${JSON.stringify({ version: protocolVersion, operationId, channel })}\n`)
      resolve(socket)
    })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
    }
  }

  #cut(reason: string): void {
    if (this.#closed) return
    this.#end()
    this.#onCut(reason)
  }

  #end(): void {
    this.#closed = true
    this.#stopPulse?.()
    this.#stopPulse = null
    for (const server of this.#servers) server.close()
    this.#pipes.destroy()
  }
}

/** The target's word on a pulse: whether it knows the operation. @throws Error with its reason */
async function answerOf(socket: TLSSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  let text = ''
  const timer = setTimeout(() => reject(new Error('the other host does not answer')), connectMsMax)
  const read = (chunk: Buffer): void => {
    text += chunk.toString()
    if (!text.includes('\n') && text.length < 1_024) return
    try {
      const answer = JSON.parse(text.slice(0, text.indexOf('\n'))) as { readonly ok?: unknown; readonly refused?: unknown }
      if (answer.ok === true) resolve(undefined)
      else reject(new Error(`the other host refused: ${typeof answer.refused === 'string' ? answer.refused : 'it gave no reason'}`))
    } catch {
      reject(new Error('the other host gave an answer that cannot be read'))
    }
  }
  const ended = (): void => reject(new Error('the other host refused the connection'))
  socket.on('data', read)
  socket.on('error', reject)
  socket.on('end', ended)
  try {
    await promise
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    socket.removeListener('data', read)
    socket.removeListener('error', reject)
    socket.removeListener('end', ended)
  }
}

/** QEMU makes its listening sockets in it, or connects to ours: nobody else has to get in. */
async function makeDirectory(directory: string, owner: Owner | null): Promise<void> {
  await rm(directory, { recursive: true, force: true })
  const parent = dirname(directory)
  await mkdir(parent, { recursive: true })
  // Not by mkdir's mode, from which the service's umask takes what QEMU needs to pass.
  await chmod(parent, 0o711)
  await mkdir(directory, { mode: 0o700 })
  if (owner !== null) await chown(directory, owner.uid, owner.gid)
}

async function listenOn(path: string, owner: Owner | null, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: false }, onConnection)
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  server.once('error', reject)
  server.listen(path, () => resolve(undefined))
  await promise
  await chmod(path, 0o600)
  if (owner !== null) await chown(path, owner.uid, owner.gid)
  return server
}

/** Null where none answers. */
async function firstOf(paths: readonly string[]): Promise<Socket | null> {
  for (const path of paths) {
    const socket = connectSocket({ path, allowHalfOpen: true })
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    if (connected) return socket
    socket.destroy()
  }
  return null
}

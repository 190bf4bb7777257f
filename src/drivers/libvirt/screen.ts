// A running domain's screen as a ByteStream: the unix socket on which QEMU speaks RFB, its path read from the live XML each time.
import { createConnection, type Socket } from 'node:net'
import { parseScreenSocket } from '../../formats/domain-xml.ts'
import { OperationalError } from '../../model/error.ts'
import { ByteQueue } from '../../ports/byte-queue.ts'
import type { Domain } from '../../ports/hypervisor.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { domainRef } from './calls.ts'
import { getXmlDescription } from './migration-calls.ts'
import type { RpcConnection } from './rpc.ts'

const queuedBytesMax = 256 * 1024

/**
 * @param localPath where this process finds a path of libvirt's
 * @throws OperationalError SCREEN_MISSING, CONSOLE_BUSY where QEMU does not take the connection, and what reading the XML throws
 */
export async function openDomainScreen(connection: RpcConnection, domain: Domain, localPath: (path: string) => string, signal: AbortSignal): Promise<ByteStream> {
  // The path holds libvirt's number of the domain, another after every start and migration.
  const path = parseScreenSocket(await connection.call(getXmlDescription, { domain: domainRef(domain.id), flags: 0 }))
  if (path === null) throw new OperationalError('SCREEN_MISSING', `Domain ${domain.domainName} was started without a screen; stop and start it to get one.`)
  const socket = createConnection({ path: localPath(path), signal, allowHalfOpen: false })
  await connected(socket, domain.domainName)
  return new ScreenStream(socket)
}

async function connected(socket: Socket, name: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onError = (cause: Error) => reject(new OperationalError('CONSOLE_BUSY', `The screen of ${name} cannot be opened: ${cause.message}`, { cause }))
  socket.once('connect', resolve)
  socket.once('error', onError)
  await promise
  socket.off('error', onError)
}

class ScreenStream implements ByteStream {
  readonly readable: ByteQueue
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    this.readable = new ByteQueue({
      onTaken: () => {
        if (this.readable.waitingBytes <= queuedBytesMax) socket.resume()
      },
      onLeft: () => this.abort(),
    })
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.readable.push(chunk)
      if (this.readable.waitingBytes > queuedBytesMax) socket.pause()
    })
    socket.on('end', () => this.readable.finish())
    // QEMU that dies resets; for the reader the screen has ended.
    socket.on('error', () => this.readable.finish())
    socket.on('close', () => this.readable.finish())
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.readable.finished) throw closed()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#socket.write(chunk, (error) => (error instanceof Error ? reject(closed()) : resolve()))
    await promise
  }

  async end(): Promise<void> {
    this.#socket.end()
  }

  abort(reason?: Error): void {
    this.readable.finish(reason ?? null)
    this.#socket.destroy()
  }
}

function closed(): OperationalError {
  return new OperationalError('CONSOLE_BUSY', 'The screen is closed')
}

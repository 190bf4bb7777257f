// A domain's serial console as a ByteStream: one stream on a connection of its own, so that back-pressure holds up nothing else.
import { OperationalError } from '../../model/error.ts'
import { ByteQueue } from '../../ports/byte-queue.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { flags, openConsole, type DomainRef } from './calls.ts'
import { isCode } from './errors.ts'
import { openSession, type Endpoint } from './link.ts'
import { messageStatus, type RpcConnection, type StreamHandle } from './rpc.ts'

const packetBytesMax = 64 * 1024
const queuedBytesMax = 256 * 1024

/**
 * Takes the console over from whoever holds it.
 * @throws OperationalError CONSOLE_BUSY, HYPERVISOR_UNREACHABLE, HYPERVISOR_TIMEOUT, DOMAIN_MISSING
 */
export async function openDomainConsole(endpoint: Endpoint, domain: DomainRef, signal: AbortSignal): Promise<ByteStream> {
  // No keepalive: a reader that pauses this connection must not lose it.
  const { connection } = await openSession(endpoint, { keepalive: false, onEvent: () => {} }, signal)
  const stream = new ConsoleStream(connection)
  try {
    stream.attach(await connection.openStream(openConsole, { domain, flags: flags.consoleForce }, (status, body) => stream.received(status, body)))
  } catch (error) {
    connection.close('the console did not open')
    if (isCode(error, 'HYPERVISOR_REFUSED')) throw new OperationalError('CONSOLE_BUSY', `The console of ${domain.id} cannot be opened: ${error.message}`, { cause: error })
    throw error
  }
  const aborted = (): void => stream.abort()
  signal.addEventListener('abort', aborted, { once: true })
  connection.onClose(() => signal.removeEventListener('abort', aborted))
  if (signal.aborted) stream.abort()
  return stream
}

class ConsoleStream implements ByteStream {
  readonly readable: ByteQueue
  readonly #connection: RpcConnection
  #handle: StreamHandle | null = null
  #writable = true

  constructor(connection: RpcConnection) {
    this.#connection = connection
    this.readable = new ByteQueue({
      onTaken: () => {
        if (this.readable.waitingBytes <= queuedBytesMax) connection.resumeReading()
      },
      onLeft: () => this.abort(),
    })
    connection.onClose(() => this.readable.finish())
  }

  attach(handle: StreamHandle): void {
    this.#handle = handle
  }

  received(status: number, body: Buffer): void {
    if (status === messageStatus.continue && body.length > 0) {
      this.readable.push(body)
      if (this.readable.waitingBytes > queuedBytesMax) this.#connection.pauseReading()
      return
    }
    // An empty packet, a finish or an error: the domain is off or another reader took over.
    this.readable.finish()
    this.#connection.close('the console ended')
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += packetBytesMax) {
      if (!this.#writable || this.readable.finished || this.#handle === null) throw new OperationalError('CONSOLE_BUSY', 'The console is closed')
      this.#handle.send(messageStatus.continue, chunk.subarray(at, at + packetBytesMax))
      await this.#connection.drained()
    }
  }

  /** libvirt ends both directions at once, so this side only stops writing. */
  async end(): Promise<void> {
    this.#writable = false
  }

  abort(reason?: Error): void {
    this.readable.finish(reason ?? null)
    this.#connection.close('the console was closed')
  }
}

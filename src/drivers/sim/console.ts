// The serial console of a simulated guest as a ByteStream.
import { OperationalError } from '../../model/error.ts'
import { ByteQueue } from '../../ports/byte-queue.ts'
import type { ByteStream } from '../../ports/transport.ts'

const queuedBytesMax = 256 * 1024

export class SimConsole implements ByteStream {
  readonly readable: ByteQueue
  readonly #type: (bytes: Uint8Array) => void
  readonly #closed: () => void

  /** `type` hands bytes to the guest; `closed` is called once, when this side gives up. */
  constructor(type: (bytes: Uint8Array) => void, closed: () => void) {
    this.#type = type
    this.#closed = closed
    this.readable = new ByteQueue({ onLeft: () => this.abort() })
  }

  /** From the guest; null ends it. What nobody reads is dropped, oldest first. */
  received(bytes: Uint8Array | null): void {
    if (bytes === null) return this.readable.finish()
    this.readable.push(bytes)
    this.readable.dropBeyond(queuedBytesMax)
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.readable.finished) throw new OperationalError('CONSOLE_BUSY', 'The console is closed')
    this.#type(chunk)
  }

  async end(): Promise<void> {}

  abort(reason?: Error): void {
    if (this.readable.finished) return
    this.readable.finish(reason ?? null)
    this.#closed()
  }
}

// The serial console of a simulated guest as a ByteStream.
import { OperationalError } from '../../model/error.ts'
import type { ByteStream } from '../../ports/transport.ts'

const queuedBytesMax = 256 * 1024

export class SimConsole implements ByteStream {
  readonly readable: AsyncIterable<Uint8Array>
  readonly #type: (bytes: Uint8Array) => void
  readonly #closed: () => void
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #finished = false
  #failure: Error | null = null
  #wake: () => void = () => {}

  /** `type` hands bytes to the guest; `closed` is called once, when this side gives up. */
  constructor(type: (bytes: Uint8Array) => void, closed: () => void) {
    this.#type = type
    this.#closed = closed
    this.readable = { [Symbol.asyncIterator]: () => this.#iterate() }
  }

  /** From the guest; null ends it. What nobody reads is dropped, oldest first. */
  received(bytes: Uint8Array | null): void {
    if (bytes === null) {
      this.#finished = true
    } else {
      this.#queue.push(bytes)
      this.#queuedBytes += bytes.length
      while (this.#queuedBytes > queuedBytesMax) this.#queuedBytes -= this.#queue.shift()?.length ?? 0
    }
    this.#wake()
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#finished) throw new OperationalError('CONSOLE_BUSY', 'The console is closed')
    this.#type(chunk)
  }

  async end(): Promise<void> {}

  abort(reason?: Error): void {
    if (this.#finished) return
    this.#failure = reason ?? null
    this.#finished = true
    this.#closed()
    this.#wake()
  }

  async *#iterate(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#queue.shift()
        if (chunk !== undefined) {
          this.#queuedBytes -= chunk.length
          yield chunk
        } else if (this.#finished) {
          if (this.#failure !== null) throw this.#failure
          return
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve))
        }
      }
    } finally {
      this.abort()
    }
  }
}

// The screen of a simulated guest: as much of an RFB 3.8 server (RFC 6143) as a viewer needs to show a small grey picture.
import { OperationalError } from '../../model/error.ts'
import { ByteQueue } from '../../ports/byte-queue.ts'
import type { ByteStream } from '../../ports/transport.ts'

const width = 32
const height = 16
const grey = 0x80
const bytesPerPixel = 4
const versionBytes = 12
/** Messages of a viewer by their first byte, with their length; 2 and 6 carry a count. RFC 6143 §7.5. */
const lengths: Readonly<Record<number, number>> = { 0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8 }
/** 32 bits a pixel, depth 24, little endian, true colour, 255 a colour at shifts 16, 8, 0. */
const pixelFormat = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]

export class SimScreen implements ByteStream {
  readonly readable: ByteQueue
  readonly #name: string
  readonly #closed: () => void
  #step: 'version' | 'security' | 'init' | 'open' = 'version'
  #waiting: Uint8Array = new Uint8Array()

  constructor(name: string, closed: () => void) {
    this.#name = name
    this.#closed = closed
    this.readable = new ByteQueue({ onLeft: () => this.abort() })
    this.readable.push(new TextEncoder().encode('RFB 003.008\n'))
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.readable.finished) throw new OperationalError('CONSOLE_BUSY', 'The screen is closed')
    this.#waiting = concat(this.#waiting, chunk)
    for (let used = this.#take(); used > 0; used = this.#take()) this.#waiting = this.#waiting.subarray(used)
  }

  async end(): Promise<void> {}

  abort(reason?: Error): void {
    if (this.readable.finished) return
    this.readable.finish(reason ?? null)
    this.#closed()
  }

  /** Answers the next whole message; gives its length, 0 where it is not whole yet. */
  #take(): number {
    const { length } = this.#waiting
    switch (this.#step) {
      case 'version':
        if (length < versionBytes) return 0
        this.#step = 'security'
        // One type of security: none.
        this.readable.push(Uint8Array.of(1, 1))
        return versionBytes
      case 'security':
        if (length < 1) return 0
        this.#step = 'init'
        this.readable.push(new Uint8Array(4))
        return 1
      case 'init':
        if (length < 1) return 0
        this.#step = 'open'
        this.readable.push(this.#serverInit())
        return 1
      case 'open':
        return this.#message()
    }
  }

  #message(): number {
    const type = this.#waiting[0]
    if (type === undefined) return 0
    const fixed = lengths[type]
    if (fixed === undefined) {
      this.abort(new OperationalError('MALFORMED', `A viewer's message of type ${type} is not known.`))
      return 0
    }
    if (this.#waiting.length < fixed) return 0
    const view = new DataView(this.#waiting.buffer, this.#waiting.byteOffset)
    const whole = fixed + (type === 2 ? view.getUint16(2) * 4 : type === 6 ? view.getUint32(4) : 0)
    if (this.#waiting.length < whole) return 0
    // An incremental request waits for a change, and nothing ever changes.
    if (type === 3 && this.#waiting[1] === 0) this.readable.push(picture())
    return whole
  }

  #serverInit(): Uint8Array {
    const name = new TextEncoder().encode(this.#name)
    return concat(Uint8Array.of(0, width, 0, height, ...pixelFormat, 0, 0, 0, name.length), name)
  }
}

/** The whole screen in raw encoding. */
function picture(): Uint8Array {
  const pixels = new Uint8Array(width * height * bytesPerPixel).fill(grey)
  return concat(Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 0, width, 0, height, 0, 0, 0, 0), pixels)
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

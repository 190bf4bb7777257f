// One serial console, many readers: a hypervisor gives a console to one connection at a time, so those who look at the same VM share that one.
//
//   guest ──► source ──► seat ──► reader        what a reader types goes to the source as it is
//                  └───► seat ──► reader        the last one who leaves closes the source
import { OperationalError } from '../model/error.ts'
import { ByteQueue } from '../ports/byte-queue.ts'
import type { ByteStream } from '../ports/transport.ts'

/** What may wait for one reader. */
const waitingBytesMax = 256 * 1024

type OpenSource = (vmId: string, signal: AbortSignal) => Promise<ByteStream>

export class ConsoleHub {
  readonly #open: OpenSource
  readonly #shared = new Map<string, SharedConsole>()

  constructor(open: OpenSource) {
    this.#open = open
  }

  /** @throws what opening the source throws; the signal's reason */
  async join(vmId: string, signal: AbortSignal): Promise<ByteStream> {
    signal.throwIfAborted()
    let shared = this.#shared.get(vmId)
    if (shared === undefined) {
      const made: SharedConsole = new SharedConsole((stop) => this.#open(vmId, stop), () => {
        if (this.#shared.get(vmId) === made) this.#shared.delete(vmId)
      })
      this.#shared.set(vmId, made)
      shared = made
    }
    return shared.join(signal)
  }
}

class SharedConsole {
  readonly #seats = new Set<Seat>()
  readonly #stop = new AbortController()
  readonly #onEnd: () => void
  readonly #source: Promise<ByteStream>
  #room: () => void = () => {}
  #ended = false

  constructor(open: (signal: AbortSignal) => Promise<ByteStream>, onEnd: () => void) {
    this.#onEnd = onEnd
    this.#source = open(this.#stop.signal)
    this.#source.then(
      (source) => this.#pump(source),
      (error: unknown) => this.#end(asError(error)),
    )
  }

  async join(signal: AbortSignal): Promise<ByteStream> {
    const seat = new Seat({
      write: async (chunk) => (await this.#source).write(chunk),
      onRoom: () => this.#room(),
      onLeave: (left) => this.#leave(left),
    })
    this.#seats.add(seat)
    const onAbort = () => seat.abort()
    signal.addEventListener('abort', onAbort, { once: true })
    seat.onClosed = () => signal.removeEventListener('abort', onAbort)
    try {
      await this.#source
    } catch (error) {
      seat.abort()
      throw error
    }
    signal.throwIfAborted()
    return seat
  }

  #leave(seat: Seat): void {
    if (!this.#seats.delete(seat)) return
    this.#room()
    if (this.#seats.size === 0 && !this.#ended) {
      // Whoever comes next opens it anew.
      this.#end(null)
      this.#stop.abort()
      this.#source.then((source) => source.abort(), () => {})
    }
  }

  async #pump(source: ByteStream): Promise<void> {
    try {
      for await (const chunk of source.readable) {
        // The fastest reader sets the pace, so that one that hangs holds up nobody; what it missed, it missed.
        while (this.#seats.size > 0 && [...this.#seats].every((seat) => seat.waitingBytes > waitingBytesMax)) await new Promise<void>((resolve) => (this.#room = resolve))
        for (const seat of this.#seats) if (seat.waitingBytes <= waitingBytesMax) seat.received(chunk)
      }
      this.#end(null)
    } catch (error) {
      this.#end(asError(error))
    }
  }

  #end(failure: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#onEnd()
    for (const seat of this.#seats) seat.finish(failure)
    this.#seats.clear()
    this.#room()
  }
}

type SeatPorts = { readonly write: (chunk: Uint8Array) => Promise<void>; readonly onRoom: () => void; readonly onLeave: (seat: Seat) => void }

class Seat implements ByteStream {
  readonly readable: ByteQueue
  readonly #ports: SeatPorts
  onClosed: () => void = () => {}
  #writable = true

  constructor(ports: SeatPorts) {
    this.#ports = ports
    this.readable = new ByteQueue({ onTaken: () => ports.onRoom(), onLeft: () => this.abort() })
  }

  get waitingBytes(): number {
    return this.readable.waitingBytes
  }

  received(chunk: Uint8Array): void {
    this.readable.push(chunk)
  }

  /** What waits is still read. */
  finish(failure: Error | null): void {
    if (this.readable.finished) return
    this.readable.finish(failure)
    this.onClosed()
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.readable.finished || !this.#writable) throw new OperationalError('CONSOLE_BUSY', 'The console is closed')
    await this.#ports.write(chunk)
  }

  async end(): Promise<void> {
    this.#writable = false
  }

  abort(reason?: Error): void {
    this.readable.dropBeyond(0)
    this.finish(reason ?? null)
    this.#ports.onLeave(this)
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

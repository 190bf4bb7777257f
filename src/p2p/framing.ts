// Length-prefixed frames and raw bytes over a libp2p stream, with back-pressure in both directions.
import type { Stream } from './host.ts'
import { Malformed } from './malformed.ts'

/** Bytes read ahead of the consumer before the peer is made to wait. */
const readAheadBytesMax = 256 * 1024
const prefixBytes = 4

/** The stream ended or was cut; `cause` holds the reason where there is one. */
export class StreamClosed extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = 'StreamClosed'
  }
}

type Waiting = { readonly bytes: number; readonly resolve: () => void }

/** Owns both directions of one stream. One reader at a time; writers call `send` and await `drained` before the next. */
export class FrameStream {
  readonly stream: Stream
  #chunks: Uint8Array[] = []
  #bytes = 0
  #waiting: Waiting | null = null
  #paused = false
  #resuming = false
  #ended = false
  #peerFinished = false
  #closed: Error | null = null
  /** Set when the reading side was cut: whatever came before does not count any more. */
  #failure: Error | null = null

  constructor(stream: Stream) {
    this.stream = stream
    // The peer's own word that it has said all. A connection that goes also ends its streams, without it: that is a cut.
    this.#peerFinished = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    stream.addEventListener('remoteCloseWrite', () => {
      this.#peerFinished = true
    })
    stream.addEventListener('end', () => this.#onEnd(this.#cut()))
    stream.addEventListener('close', (event) => {
      this.#closed ??= new StreamClosed('the stream was closed', { cause: event.error })
      if (event.error !== undefined || stream.readBufferLength === 0) this.#onEnd(event.error ?? this.#cut())
    })
    stream.addEventListener('message', (event) => {
      const data = event.data
      if (data instanceof Uint8Array) this.#onChunk(data)
      else for (const chunk of data) this.#onChunk(chunk)
      this.#settle()
      this.#pauseWhenFull()
    })
    if (stream.status !== 'open') this.#onEnd((this.#closed = new StreamClosed('the stream was closed')))
  }

  get open(): boolean {
    return this.#closed === null && this.stream.status === 'open' && this.stream.writeStatus === 'writable'
  }

  /**
   * The next frame's payload, valid until the next read; null at the end.
   * @throws Malformed when the frame is longer than `bytesMax` or cut off; StreamClosed when the stream was reset
   */
  async frame(bytesMax: number): Promise<Uint8Array | null> {
    if (!(await this.#need(prefixBytes))) {
      if (this.#bytes > 0) throw new Malformed('the stream ends within a frame')
      return null
    }
    const length = this.#peekLength()
    if (length > bytesMax) throw new Malformed(`a frame has ${length} bytes, at most ${bytesMax} are allowed`)
    if (!(await this.#need(prefixBytes + length))) throw new Malformed('the stream ends within a frame')
    return this.#take(prefixBytes + length).subarray(prefixBytes)
  }

  /** Whatever came in, unframed; null at the end. @throws StreamClosed when the stream was reset */
  async chunk(): Promise<Uint8Array | null> {
    if (!(await this.#need(1))) return null
    return this.#take(this.#chunks[0]!.length)
  }

  /** Hands bytes to the stream at once; await `drained` before sending more. @throws StreamClosed */
  send(bytes: Uint8Array): void {
    if (!this.open) throw this.#closed ?? new StreamClosed('the stream was closed')
    try {
      this.stream.send(bytes)
    } catch (error) {
      throw new StreamClosed('the stream was closed', { cause: error })
    }
  }

  sendFrame(payload: Uint8Array): void {
    this.send(frameOf(payload))
  }

  get blocked(): boolean {
    return this.stream.writableNeedsDrain
  }

  /** Resolves when there is room for more. @throws StreamClosed, or the signal's reason */
  async drained(signal?: AbortSignal): Promise<void> {
    // libp2p's own onDrain() keeps its first resolved promise for ever, so we listen for the event; and a drain may be
    // followed at once by the next full buffer, hence the loop.
    while (this.stream.writableNeedsDrain) {
      if (!this.open) throw this.#closed ?? new StreamClosed('the stream was closed')
      await nextDrain(this.stream, signal)
    }
  }

  /** No more writes from this side; cuts the stream when that cannot be said within the signal's time. */
  async close(signal: AbortSignal): Promise<void> {
    try {
      await this.stream.close({ signal })
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  abort(reason: Error): void {
    this.#closed ??= reason
    try {
      this.stream.abort(reason)
    } catch {
      // The connection below is gone already: nobody is left to be told.
    }
    this.#onEnd(reason)
  }

  #onChunk(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#failure !== null) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
  }

  #cut(): StreamClosed | null {
    return this.#peerFinished ? null : new StreamClosed('the connection was cut')
  }

  #onEnd(error: Error | null): void {
    this.#ended = true
    if (error !== null) {
      this.#failure ??= error instanceof StreamClosed ? error : new StreamClosed('the stream was cut', { cause: error })
      this.#chunks = []
      this.#bytes = 0
    }
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.resolve()
  }

  #settle(): void {
    const waiting = this.#waiting
    if (waiting === null || this.#bytes < waiting.bytes) return
    this.#waiting = null
    waiting.resolve()
  }

  async #need(bytes: number): Promise<boolean> {
    this.#throwFailure()
    if (this.#bytes < bytes && this.#waiting !== null) throw new Error('assertion: a stream has one reader')
    if (this.#bytes < bytes && (!this.#ended || this.#paused)) {
      // Waiting comes first: resuming delivers at once, and what is awaited must not make the stream pause again.
      const arrived = new Promise<void>((resolve) => {
        this.#waiting = { bytes, resolve }
      })
      this.#resume()
      await arrived
    }
    // A cut must not look like an end; `arrived` is also what a cut resolves.
    this.#throwFailure()
    return this.#bytes >= bytes
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure
  }

  #peekLength(): number {
    if (this.#chunks[0]!.length < prefixBytes) this.#chunks = [Buffer.concat(this.#chunks)]
    const head = this.#chunks[0]!
    return (head[0]! | (head[1]! << 8) | (head[2]! << 16) | (head[3]! << 24)) >>> 0
  }

  #take(count: number): Uint8Array {
    const head = this.#chunks[0]!
    this.#bytes -= count
    if (head.length === count) {
      this.#chunks.shift()
      return head
    }
    if (head.length > count) {
      this.#chunks[0] = head.subarray(count)
      return head.subarray(0, count)
    }
    const taken = Buffer.allocUnsafeSlow(count)
    let at = 0
    let whole = 0
    while (at < count) {
      const chunk = this.#chunks[whole]!
      const part = Math.min(chunk.length, count - at)
      taken.set(part === chunk.length ? chunk : chunk.subarray(0, part), at)
      at += part
      if (part < chunk.length) this.#chunks[whole] = chunk.subarray(part)
      else whole++
    }
    this.#chunks.splice(0, whole)
    return taken
  }

  #pauseWhenFull(): void {
    if (this.#waiting !== null || this.#bytes <= readAheadBytesMax) return
    if (this.#paused || this.#resuming || this.stream.readStatus !== 'readable') return
    this.#paused = true
    this.stream.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    // resume() delivers what had piled up before it tells the muxer; a pause from within would be undone there.
    this.#resuming = true
    try {
      this.stream.resume()
    } catch {
      // It was closed while it waited; what was read stays readable.
    }
    this.#resuming = false
    if (this.stream.readableEnded || this.stream.readStatus === 'closed') this.#onEnd(this.#cut())
    else this.#pauseWhenFull()
  }
}

/** A payload with its length before it. */
export function frameOf(payload: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafeSlow(prefixBytes + payload.length)
  frame.writeUInt32LE(payload.length, 0)
  frame.set(payload, prefixBytes)
  return frame
}

function nextDrain(stream: Stream, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (action: () => void) => {
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
      signal?.removeEventListener('abort', onAbort)
      action()
    }
    const onDrain = () => finish(resolve)
    const onClose = () => finish(() => reject(new StreamClosed('the stream was closed while it was full')))
    const onAbort = () => finish(() => reject(signal?.reason instanceof Error ? signal.reason : new StreamClosed('given up')))
    if (signal?.aborted === true) return onAbort()
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    signal?.addEventListener('abort', onAbort)
  })
}

// The asking side of the request stream to one peer: pending requests by number, and the ping that measures the way.
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { FrameStream } from './framing.ts'
import { decodeRequestFrame, encodeRequestFrame, errorOfFrame, requestBodyBytesMax, requestFrameBytesMax, type RequestFrame } from './request-codec.ts'

export const pendingRequestsMax = 1024
const queuedRequestBytesMax = 32 * 1024 * 1024

export type RequestOptions = { readonly timeoutMs: number; readonly signal?: AbortSignal }
type Pending = { readonly resolve: (body: Uint8Array) => void; readonly reject: (error: Error) => void }

export class RequestClient {
  readonly #stream: FrameStream
  readonly #clock: Clock
  readonly #peerNodeId: string
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #pingSent: { readonly id: number; readonly atMs: number } | null = null
  #rttMs: number | null = null
  #closed = false

  constructor(stream: FrameStream, options: { readonly clock: Clock; readonly peerNodeId: string }) {
    this.#stream = stream
    this.#clock = options.clock
    this.#peerNodeId = options.peerNodeId
  }

  /** Smoothed round trip in milliseconds; null before the first pong. */
  get rttMs(): number | null {
    return this.#rttMs
  }

  /** Milliseconds since a ping that is still not answered; 0 where there is none. */
  silentMs(): number {
    return this.#pingSent === null ? 0 : this.#clock.monotonicMs() - this.#pingSent.atMs
  }

  /** Sends a ping unless one is still out. */
  ping(): void {
    if (this.#pingSent !== null || !this.#stream.open) return
    this.#pingSent = { id: this.#nextId++, atMs: this.#clock.monotonicMs() }
    this.#stream.sendFrame(encodeRequestFrame({ kind: 'ping', id: this.#pingSent.id }))
  }

  /** Reads answers until the stream ends. @throws Malformed, StreamClosed */
  async run(): Promise<void> {
    for (;;) {
      const bytes = await this.#stream.frame(requestFrameBytesMax)
      if (bytes === null) return
      this.#onFrame(decodeRequestFrame(bytes))
    }
  }

  /** @throws OperationalError PEER_UNREACHABLE (`data.sent` tells whether it may have arrived), OVERLOADED, BODY_TOO_LARGE, or as the peer answered */
  async request(method: string, body: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    if (body.length > requestBodyBytesMax) throw new OperationalError('BODY_TOO_LARGE', `A request between nodes has at most ${requestBodyBytesMax} bytes.`)
    if (this.#pending.size >= pendingRequestsMax || this.#stream.stream.writeBufferLength + body.length > queuedRequestBytesMax) {
      throw new OperationalError('OVERLOADED', 'Too many requests to another node are waiting. Nothing was done; try again.')
    }
    if (this.#closed || !this.#stream.open) throw unreachable(this.#peerNodeId, false)
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const cancelTimer = this.#clock.after(options.timeoutMs, () => reject(unreachable(this.#peerNodeId, true)))
    const onAbort = () => reject(options.signal?.reason instanceof Error ? options.signal.reason : new Error('aborted'))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    this.#pending.set(id, { resolve, reject })
    try {
      this.#stream.sendFrame(encodeRequestFrame({ kind: 'request', id, method, body }))
      return await promise
    } catch (error) {
      if (error instanceof Error && error.name === 'StreamClosed') throw unreachable(this.#peerNodeId, true)
      throw error
    } finally {
      this.#pending.delete(id)
      cancelTimer()
      options.signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Fails everything that is waiting: the answers can no longer come. */
  close(): void {
    this.#closed = true
    for (const pending of this.#pending.values()) pending.reject(unreachable(this.#peerNodeId, true))
    this.#pending.clear()
  }

  #onFrame(frame: RequestFrame): void {
    switch (frame.kind) {
      case 'answer':
        this.#pending.get(frame.id)?.resolve(frame.body)
        return
      case 'error':
        this.#pending.get(frame.id)?.reject(errorOfFrame(frame))
        return
      case 'pong':
        this.#onPong(frame.id)
        return
      case 'ping':
      case 'request':
        // A peer asks on the stream that it opened itself; here it only answers.
        return
      default:
        frame satisfies never
    }
  }

  #onPong(id: number): void {
    if (this.#pingSent?.id !== id) return
    const sampleMs = this.#clock.monotonicMs() - this.#pingSent.atMs
    this.#pingSent = null
    this.#rttMs = this.#rttMs === null ? sampleMs : this.#rttMs * 0.75 + sampleMs * 0.25
  }
}

/** @param sent false: the request surely never left this node */
export function unreachable(nodeId: string, sent: boolean): OperationalError {
  return new OperationalError('PEER_UNREACHABLE', `Node ${nodeId} does not answer. Check that it runs and that the network between the nodes works.`, { data: { nodeId, sent } })
}

// Simulated byte streams: in order, with back-pressure and half-close; a stream that would have to cross a cut breaks.
import { OperationalError } from '../../model/error.ts'
import type { ByteStream, PeerStreams, StreamHeader } from '../../ports/transport.ts'
import { unreachable } from './network-fault.ts'

const windowBytes = 256 * 1024

/** Something on its way between two nodes. */
export type Cargo = {
  readonly from: string
  readonly to: string
  readonly bytes: number
  /** Raft messages and gossip are; halves of requests are never duplicated, byte streams never harmed in silence. */
  readonly class: 'message' | 'request' | 'stream'
  readonly deliver: () => void
  readonly lost?: () => void
}

/** What streams see of the node they belong to, of the node at their other end, and of the network between. */
type StreamHost = { readonly nodeId: string; connectedTo(nodeId: string): boolean; onClock(action: () => void): void }
type StreamPeer = { readonly streams: SimStreams; admits(nodeId: string): boolean; onClock(action: () => void): void }
type StreamWire = { carry(cargo: Cargo): void; find(nodeId: string): StreamPeer | undefined }

type Handler = (from: string, header: StreamHeader, stream: ByteStream) => Promise<void>

export class SimStreams implements PeerStreams {
  readonly #endpoint: StreamHost
  readonly #network: StreamWire
  readonly #handlers = new Map<string, Handler>()
  readonly #open = new Map<SimHalf, string>()

  constructor(endpoint: StreamHost, network: StreamWire) {
    this.#endpoint = endpoint
    this.#network = network
  }

  handle(purpose: string, handler: Handler): void {
    if (this.#handlers.has(purpose)) throw new Error(`assertion: purpose ${purpose} is handled already`)
    this.#handlers.set(purpose, handler)
  }

  async open(to: string, header: StreamHeader, signal: AbortSignal): Promise<ByteStream> {
    signal.throwIfAborted()
    if (!this.#endpoint.connectedTo(to)) throw unreachable(to, false)
    const { promise, resolve, reject } = Promise.withResolvers<ByteStream>()
    const half = this.half(to)
    const onAbort = () => half.abort(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    half.onBroken = (reason) => reject(signal.aborted ? signal.reason : reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const answered = (error: OperationalError | null) => half.carryBack(() => (error === null ? resolve(half) : half.break(error)))
    half.carry(64, () => {
      const peer = this.#network.find(to)
      if (peer === undefined || !peer.admits(this.#endpoint.nodeId)) return half.break(unreachable(to, true))
      peer.onClock(() => peer.streams.serve(this.#endpoint.nodeId, structuredClone(header), half, answered))
    })
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** This end of a new stream with the peer. */
  half(peer: string): SimHalf {
    const half = new SimHalf(this.#endpoint, this.#network, peer, () => this.#open.delete(half))
    this.#open.set(half, peer)
    return half
  }

  serve(from: string, header: StreamHeader, far: SimHalf, answered: (error: OperationalError | null) => void): void {
    const half = this.half(from)
    half.pair(far)
    let accepted = false
    const accept = () => {
      if (accepted) return
      accepted = true
      answered(null)
    }
    const handler = this.#handlers.get(header.purpose)
    const handling = handler === undefined
      ? Promise.reject(new OperationalError('NOT_FOUND', 'The other node does not offer this kind of stream.'))
      : Promise.resolve().then(() => handler(from, header, half.acceptedOnUse(accept)))
    handling.then(
      () => {
        accept()
        return half.end()
      },
      (error: unknown) => {
        if (accepted) return half.abort(error instanceof Error ? error : new Error(String(error)))
        answered(error instanceof OperationalError ? new OperationalError(error.code, error.message) : new OperationalError('OUTCOME_UNKNOWN', 'The other node failed; its log says why.'))
      },
    ).catch(() => undefined)
  }

  /** The peer is lost: its streams break here. */
  lose(peer: string): void {
    for (const [half, of] of this.#open) if (of === peer) half.break(unreachable(peer, true))
  }

  die(): void {
    for (const half of this.#open.keys()) half.break(new OperationalError('STOPPING', 'This node is gone.'))
  }
}

/** One end of a stream. What is written here is read at the other end. */
class SimHalf implements ByteStream {
  readonly readable: AsyncIterable<Uint8Array>
  onBroken: ((reason: Error) => void) | null = null
  readonly #endpoint: StreamHost
  readonly #network: StreamWire
  readonly #peer: string
  readonly #onOver: () => void
  #far: SimHalf | null = null
  #inbox: Uint8Array[] = []
  #unread = 0
  #inboxEnded = false
  #writeEnded = false
  #broken: Error | null = null
  #waiters: (() => void)[] = []

  constructor(endpoint: StreamHost, network: StreamWire, peer: string, onOver: () => void) {
    this.#endpoint = endpoint
    this.#network = network
    this.#peer = peer
    this.#onOver = onOver
    this.readable = { [Symbol.asyncIterator]: () => this.#read() }
  }

  pair(far: SimHalf): void {
    this.#far = far
    far.#far = this
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#check()
    if (this.#writeEnded) throw new Error('write after end')
    const far = this.#far
    if (far === null) throw new Error('assertion: a stream is used before it was opened')
    const copy = new Uint8Array(chunk)
    far.#unread += copy.length
    this.carry(copy.length, () => far.#put(copy))
    while (far.#unread > windowBytes) {
      this.#check()
      await far.#change(this)
    }
    this.#check()
  }

  async end(): Promise<void> {
    if (this.#writeEnded || this.#broken !== null) return
    this.#writeEnded = true
    const far = this.#far
    if (far !== null) this.carry(1, () => far.#finish())
    this.#overWhenBothEnded()
  }

  abort(reason?: Error): void {
    const far = this.#far
    if (far !== null && this.#broken === null) this.carry(1, () => far.break(new Error('the other side aborted the stream')))
    this.break(reason ?? new Error('aborted'))
  }

  /** Ends this side at once, both directions. */
  break(reason: Error): void {
    if (this.#broken !== null) return
    this.#broken = reason
    this.#inbox = []
    this.#onOver()
    this.onBroken?.(reason)
    this.#wake()
    if (this.#far !== null) this.#far.#wake()
  }

  carry(bytes: number, deliver: () => void): void {
    this.#network.carry({ from: this.#endpoint.nodeId, to: this.#peer, bytes, class: 'stream', deliver, lost: () => this.#snap() })
  }

  carryBack(deliver: () => void): void {
    this.#network.carry({ from: this.#peer, to: this.#endpoint.nodeId, bytes: 64, class: 'stream', deliver: () => this.#endpoint.onClock(deliver), lost: () => this.#snap() })
  }

  acceptedOnUse(accept: () => void): ByteStream {
    return {
      readable: {
        [Symbol.asyncIterator]: () => {
          accept()
          return this.readable[Symbol.asyncIterator]()
        },
      },
      write: (chunk) => {
        accept()
        return this.write(chunk)
      },
      end: () => {
        accept()
        return this.end()
      },
      abort: (reason) => this.abort(reason),
    }
  }

  async *#read(): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      this.#check()
      const chunk = this.#inbox.shift()
      if (chunk !== undefined) {
        this.#unread -= chunk.length
        this.#wake()
        yield chunk
      } else if (this.#inboxEnded) return
      else await this.#change(this)
    }
  }

  #check(): void {
    if (this.#broken !== null) throw this.#broken
  }

  #put(chunk: Uint8Array): void {
    this.#endpoint.onClock(() => {
      if (this.#broken !== null) return
      this.#inbox.push(chunk)
      this.#wake()
    })
  }

  #finish(): void {
    this.#endpoint.onClock(() => {
      this.#inboxEnded = true
      this.#wake()
      this.#overWhenBothEnded()
    })
  }

  #overWhenBothEnded(): void {
    if (this.#writeEnded && this.#inboxEnded) this.#onOver()
  }

  /** A chunk met a cut: TCP would retry for a while, here both ends break at once. */
  #snap(): void {
    this.break(unreachable(this.#peer, true))
    this.#far?.break(unreachable(this.#endpoint.nodeId, true))
  }

  /** Until something about this end changes, or the one who waits breaks. */
  #change(who: SimHalf): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      if (who !== this) who.#waiters.push(resolve)
    })
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}

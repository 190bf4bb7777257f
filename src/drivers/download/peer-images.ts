// The PeerImages port: an image straight from another node's HTTPS port, over the system's TLS into buffers that are used again and again.
import { isIP, type OnReadOpts } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { OperationalError } from '../../model/error.ts'
import type { PeerImages } from '../../ports/image-supply.ts'
import { splitAddress } from '../node-https.ts'
import { BlockQueue } from './block-queue.ts'
import { HeadReader } from './response-head.ts'

/** TLS gives pieces of 16 KiB: they are handed on together, for each step beyond costs as much for a small piece. After a pause it gives what one read of 64 KiB brought. */
const sizes = { blocksMax: 3, blockBytes: 1024 * 1024, slackBytes: 128 * 1024 }
const recordBytes = 64 * 1024
const path = '/peer/image'

export type PeerImageLimits = {
  /** From the beginning until the head of the answer is whole. */
  readonly answerMsMax: number
  /** Without a byte, while we wait for one. */
  readonly silenceMsMax: number
}

export class HttpsPeerImages implements PeerImages {
  readonly #ca: () => string
  readonly #limits: PeerImageLimits

  /** @param ca PEM of the cluster's authority: nobody else is trusted */
  constructor(ca: () => string, limits: PeerImageLimits = { answerMsMax: 5_000, silenceMsMax: 10_000 }) {
    this.#ca = ca
    this.#limits = limits
  }

  async open(address: string, ticket: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    signal.throwIfAborted()
    const download = new Download({ address, ticket, ca: this.#ca(), signal }, this.#limits)
    await download.answered
    return download.pieces()
  }
}

type Order = { readonly address: string; readonly ticket: string; readonly ca: string; readonly signal: AbortSignal }

/** One request and its answer, on a connection of its own. Node's HTTP client would allocate for every record; here none is. */
class Download {
  readonly answered: Promise<void>
  readonly #order: Order
  readonly #limits: PeerImageLimits
  readonly #socket: TLSSocket
  readonly #queue = new BlockQueue(sizes, () => this.#goOn())
  readonly #onAbort = (): void => this.#end(this.#order.signal.reason as Error)
  readonly #answer = Promise.withResolvers<void>()
  readonly #answerTimer: NodeJS.Timeout
  #head: HeadReader | null = new HeadReader()
  #leftBytes = 0
  #asked = false
  #over = false

  constructor(order: Order, limits: PeerImageLimits) {
    this.#order = order
    this.#limits = limits
    this.answered = this.#answer.promise
    const { host, port } = splitAddress(order.address)
    const buffer = Buffer.allocUnsafeSlow(recordBytes)
    const onread: OnReadOpts = { buffer, callback: (bytes) => this.#take(buffer, bytes) }
    // @types/node does not know that tls.connect has it too (Node documents it).
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
      host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ca: order.ca, rejectUnauthorized: true, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'], onread,
    }
    this.#socket = connect(options)
    this.#answerTimer = setTimeout(() => this.#end(new Error('no answer in time')), limits.answerMsMax)
    this.#socket.on('secureConnect', () => this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${order.address}\r\nAuthorization: Bearer ${order.ticket}\r\nConnection: close\r\n\r\n`))
    this.#socket.on('timeout', () => this.#end(new Error('nothing came for a while')))
    this.#socket.on('error', (error) => this.#end(error))
    this.#socket.on('end', () => this.#end(new Error('the connection was closed')))
    this.#socket.on('close', () => this.#end(new Error('the connection was closed')))
    order.signal.addEventListener('abort', this.#onAbort)
  }

  /** Each is valid until the next one is asked for. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { signal } = this.#order
    this.#asked = true
    try {
      for (;;) {
        const piece = await this.#queue.next().catch((error: unknown) => {
          throw this.#fault(error)
        })
        signal.throwIfAborted()
        if (piece === null) return
        yield piece
      }
    } finally {
      this.#end(null)
    }
  }

  /** @returns whether more may come */
  #take(buffer: Buffer, bytes: number): boolean {
    if (this.#over) return false
    try {
      const from = this.#head === null ? 0 : this.#takeHead(this.#head, buffer.subarray(0, bytes))
      if (this.#head !== null) return true
      if (bytes - from > this.#leftBytes) throw new Error('it gave more than it said')
      this.#leftBytes -= bytes - from
      const room = this.#queue.put(buffer, from, bytes)
      if (this.#leftBytes === 0) this.#end(null)
      // The time that the disk takes does not count; but one that never asks has to come to an end.
      else if (!room && this.#asked) this.#socket.setTimeout(0)
      return room
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
      return false
    }
  }

  /** @returns where the body begins */
  #takeHead(reader: HeadReader, bytes: Uint8Array): number {
    const found = reader.take(bytes)
    if (found === null) return bytes.length
    if (found.head.status !== 200 || found.head.bodyBytes === null) throw new Error(`it answered ${found.head.status}`)
    this.#head = null
    this.#leftBytes = found.head.bodyBytes
    clearTimeout(this.#answerTimer)
    this.#socket.setTimeout(this.#limits.silenceMsMax)
    this.#answer.resolve()
    return found.bodyAt
  }

  #goOn(): void {
    if (this.#over) return
    this.#socket.setTimeout(this.#limits.silenceMsMax)
    this.#socket.resume()
  }

  /** The first call counts. */
  #end(fault: Error | null): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#answerTimer)
    this.#order.signal.removeEventListener('abort', this.#onAbort)
    this.#queue.end(fault)
    this.#answer.reject(this.#fault(fault))
    this.#socket.destroy()
  }

  #fault(cause: unknown): Error {
    const { signal, address } = this.#order
    if (signal.aborted) return signal.reason as Error
    return new OperationalError('PEER_UNREACHABLE', `${address} did not give the image: ${cause instanceof Error ? cause.message : String(cause)}.`, { cause })
  }
}

// Byte streams between members for consoles, images and logs: a JSON header says what for, the handler's first use or refusal answers it.
import { z } from 'zod'
import { isErrorCode, OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream, Member, PeerStreams, StreamHeader } from '../ports/transport.ts'
import { byteStreamOf } from './byte-stream.ts'
import { startDeadline } from './deadline.ts'
import { StreamClosed, type FrameStream } from './framing.ts'
import { decodeJson, encodeJson } from './hello.ts'
import { Malformed } from './malformed.ts'
import { streamProtocol } from './protocols.ts'
import { unreachable } from './request-client.ts'

const headerBytesMax = 32 * 1024
const answerBytesMax = 8 * 1024
const headerMsMax = 5_000
const leftoverMsMax = 10_000

const headerSchema = z.object({ purpose: z.string().min(1).max(64), parameters: z.record(z.string().max(64), z.string().max(8192)) })
const answerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), code: z.string().max(64), message: z.string().max(4096) }),
])

type Handler = (from: string, header: StreamHeader, stream: ByteStream) => Promise<void>
/** Opens a stream to a member on its bulk connection, hello answered. */
export type StreamOpener = (nodeId: string, protocol: string, signal: AbortSignal) => Promise<FrameStream>

export class P2pStreams implements PeerStreams {
  readonly #opener: StreamOpener
  readonly #clock: Clock
  readonly #log: Log
  readonly #handlers = new Map<string, Handler>()

  constructor(opener: StreamOpener, options: { readonly clock: Clock; readonly log: Log }) {
    this.#opener = opener
    this.#clock = options.clock
    this.#log = options.log
  }

  /** @throws OperationalError PEER_UNREACHABLE, NOT_FOUND where nobody there handles the purpose, or as the handler refused; the signal's reason */
  async open(to: string, header: StreamHeader, signal: AbortSignal): Promise<ByteStream> {
    signal.throwIfAborted()
    const bytes = encodeJson(header)
    if (bytes.length > headerBytesMax) throw new RangeError('the header of a stream is too long')
    const stream = await this.#opener(to, streamProtocol, signal)
    const cut = () => stream.abort(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    signal.addEventListener('abort', cut, { once: true })
    try {
      signal.throwIfAborted()
      stream.sendFrame(bytes)
      const answer = decodeJson(await stream.frame(answerBytesMax), answerSchema)
      if (!answer.ok) throw new OperationalError(isErrorCode(answer.code) ? answer.code : 'OUTCOME_UNKNOWN', answer.message)
      return byteStreamOf(stream, this.#clock)
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      if (signal.aborted) throw signal.reason
      if (error instanceof StreamClosed || error instanceof Malformed) throw unreachable(to, true)
      throw error
    } finally {
      signal.removeEventListener('abort', cut)
    }
  }

  handle(purpose: string, handler: Handler): void {
    if (this.#handlers.has(purpose)) throw new Error(`assertion: purpose ${purpose} is handled already`)
    this.#handlers.set(purpose, handler)
  }

  /** Serves one incoming stream whose hello was answered; never throws for what a peer or a handler does. */
  async serve(stream: FrameStream, member: Member): Promise<void> {
    const header = await this.#header(stream)
    const handler = this.#handlers.get(header.purpose)
    const bytes = byteStreamOf(stream, this.#clock)
    let accepted = false
    const accept = () => {
      if (accepted) return
      accepted = true
      stream.sendFrame(encodeJson({ ok: true }))
    }
    try {
      if (handler === undefined) throw new OperationalError('NOT_FOUND', 'The other node does not offer this kind of stream.')
      await handler(member.nodeId, header, acceptedOnUse(bytes, accept))
      accept()
      await bytes.end()
      await this.#discard(stream)
    } catch (error) {
      const operational = error instanceof OperationalError ? error : null
      if (operational === null && !(error instanceof StreamClosed)) this.#log.warn('stream handler failed', { purpose: header.purpose, peer: member.nodeId, error: String(error) })
      if (accepted || !stream.open) return stream.abort(error instanceof Error ? error : new Error(String(error)))
      stream.sendFrame(encodeJson({ ok: false, code: operational?.code ?? 'OUTCOME_UNKNOWN', message: (operational?.message ?? 'The other node failed; its log says why.').slice(0, 1000) }))
      await bytes.end()
      await this.#discard(stream)
    }
  }

  async #header(stream: FrameStream): Promise<StreamHeader> {
    const deadline = startDeadline(this.#clock, headerMsMax, 'reading a stream header')
    deadline.signal.addEventListener('abort', () => stream.abort(deadline.signal.reason as Error), { once: true })
    try {
      return decodeJson(await stream.frame(headerBytesMax), headerSchema)
    } finally {
      deadline.cancel()
    }
  }

  /** The handler is done; the peer gets a while to notice before it is cut. */
  async #discard(stream: FrameStream): Promise<void> {
    const deadline = startDeadline(this.#clock, leftoverMsMax, 'waiting for the other side to end')
    deadline.signal.addEventListener('abort', () => stream.abort(deadline.signal.reason as Error), { once: true })
    try {
      while ((await stream.chunk()) !== null);
    } catch {
      // Cut from either side: it is over, which is all we waited for.
    } finally {
      deadline.cancel()
    }
  }
}

/** Using the stream in any way says yes to the opener; a handler that throws before has refused. */
function acceptedOnUse(bytes: ByteStream, accept: () => void): ByteStream {
  return {
    readable: {
      [Symbol.asyncIterator]() {
        accept()
        return bytes.readable[Symbol.asyncIterator]()
      },
    },
    async write(chunk) {
      accept()
      await bytes.write(chunk)
    },
    async end() {
      accept()
      await bytes.end()
    },
    abort(reason) {
      bytes.abort(reason)
    },
  }
}
